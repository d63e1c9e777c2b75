/**
 * A host seen from the command: its process, its control connection, and what it says.
 *
 *   start ─▶ process ─▶ it connects and proves its token ─▶ orders and events ─▶ stop: the connection closes, it ends
 *
 * Invariant: after {@link HostProcess.stop} the process is gone. It also goes when the command is killed, because its
 * connection closes then.
 */
import type { ByteStreamListener } from "../ports/byte-stream.ts";
import type { Platform } from "../ports/platform.ts";
import type { ProcessCommand, ProcessEnd, RunningProcess } from "../ports/process.ts";
import { toHex } from "../wire/digest.ts";
import { TOKEN_VARIABLE } from "./host-config.ts";
import { LineStream } from "./line-stream.ts";
import type { FailureReport, HostEvent, HostHello, HostNews, HostOrder, HostOrders } from "./messages.ts";

/** How long a host may take to report, in ms: a cold Deno takes about 1 s on a busy machine. */
const START_MS = 30_000;
/** How long a host may take to end in order, in ms. */
const STOP_MS = 3_000;

/** What a host refused, in its own words. */
class HostRefusal extends Error {
	override readonly name = "HostRefusal";
	readonly code: string;
	constructor(failure: FailureReport) {
		super(failure.message);
		this.code = failure.code;
	}
}

/** The host's process has ended, or never came up. */
export class HostEndedError extends Error {
	override readonly name = "HostEndedError";
	readonly code = "ended";
	/** What it wrote to standard error. */
	readonly errorText: string;
	constructor(message: string, errorText: string) {
		super(message);
		this.errorText = errorText;
	}
}

/** What starts a host. */
export interface HostStart {
	readonly platform: Platform;
	/** What people call it: `source`, `target`. */
	readonly role: string;
	/** Executable and arguments; the port is added at the end. */
	readonly command: Pick<ProcessCommand, "executable" | "args">;
	readonly signal?: AbortSignal;
}

type Control = LineStream<HostOrder, HostNews>;

interface Pending {
	resolve(result: unknown): void;
	reject(error: Error): void;
}

/** See the head of this file. */
export class HostProcess {
	readonly role: string;
	readonly hello: HostHello;
	/** Resolves when the process has ended, however it came about. */
	readonly ended: Promise<HostEndedError>;
	readonly #platform: Platform;
	readonly #process: RunningProcess;
	readonly #control: Control;
	readonly #pending = new Map<number, Pending>();
	readonly #listeners = new Set<(event: HostEvent) => void>();
	#nextId = 1;
	#end: HostEndedError | undefined;
	#stopping = false;

	private constructor(start: HostStart, process: RunningProcess, connected: Connected) {
		this.role = start.role;
		this.hello = connected.hello;
		this.#platform = start.platform;
		this.#process = process;
		this.#control = connected.control;
		this.ended = process.ended.then((end) => this.#finish(end));
		void this.#listen(connected.news);
	}

	/** Starts a host and waits for its first word. @throws {HostEndedError}, {ProcessError}; nothing is left behind then. */
	static async start(start: HostStart): Promise<HostProcess> {
		const { platform, role, command } = start;
		const listener = await platform.listen({ transport: "tcp", host: "127.0.0.1", port: 0 });
		const { address } = listener;
		const port = address.transport === "tcp" ? address.port : 0;
		const token = toHex(platform.random.fill(new Uint8Array(16)));
		try {
			const args = [...command.args, String(port)];
			const process = await platform.processes.start({ ...command, args, env: { [TOKEN_VARIABLE]: token } });
			try {
				return new HostProcess(start, process, await connection(start, process, listener, token));
			} catch (error) {
				process.kill("SIGKILL");
				await process.ended;
				if (error instanceof HostEndedError || error === start.signal?.reason) throw error;
				throw endedError(role, await process.ended, process.errorText(), error);
			}
		} finally {
			await listener.close();
		}
	}

	get pid(): number {
		return this.#process.pid;
	}

	/** Whether the process has ended. */
	get gone(): boolean {
		return this.#end !== undefined;
	}

	/** Gives an order. @throws {HostRefusal} in the host's words, {@link HostEndedError} when it ends first. */
	order<Name extends keyof HostOrders>(
		name: Name,
		order: HostOrders[Name]["order"],
	): Promise<HostOrders[Name]["result"]> {
		return new Promise((resolve, reject) => {
			if (this.#end !== undefined) return reject(this.#end);
			const id = this.#nextId++;
			// allowed (cast): the reply to an order has the type that messages.ts gives it
			this.#pending.set(id, { resolve: (result) => resolve(result as HostOrders[Name]["result"]), reject });
			// allowed (cast): name and order belong together by this method's own type
			const message = { id, name, order } as HostOrder;
			this.#control.send(message).catch((error: unknown) => this.#control.abort(error)); // `ended` says the rest
		});
	}

	/** Listens to events until the returned function is called. */
	on(listener: (event: HostEvent) => void): () => void {
		this.#listeners.add(listener);
		return () => this.#listeners.delete(listener);
	}

	/** Sends a signal to the process. */
	kill(signal: Parameters<RunningProcess["kill"]>[0]): void {
		this.#process.kill(signal);
	}

	/** Ends the process: in order if it can, by force if not. */
	async stop(): Promise<void> {
		this.#stopping = true;
		this.#control.abort("the command has finished");
		const timer = new AbortController();
		const late = this.#platform.clock.sleep(STOP_MS, timer.signal).then(
			() => this.kill("SIGKILL"),
			() => undefined, // it ended in time
		);
		await this.ended;
		timer.abort();
		await late;
	}

	async #listen(news: AsyncIterator<HostNews>): Promise<void> {
		try {
			for (let next = await news.next(); next.done !== true; next = await news.next()) this.#take(next.value);
		} catch (error) {
			this.#control.abort(error); // the process is ending: `ended` says how
		}
	}

	#take(news: HostNews): void {
		if (news.news === "hello") return;
		if (news.news !== "reply" && news.news !== "refusal") {
			for (const listener of this.#listeners) listener(news);
			return;
		}
		const pending = this.#pending.get(news.id);
		this.#pending.delete(news.id);
		if (news.news === "reply") pending?.resolve(news.result);
		else pending?.reject(new HostRefusal(news.failure));
	}

	#finish(end: ProcessEnd): HostEndedError {
		const errorText = this.#process.errorText();
		this.#end = this.#stopping
			? new HostEndedError(`the ${this.role} process was ended by the command`, errorText)
			: endedError(this.role, end, errorText);
		for (const { reject } of this.#pending.values()) reject(this.#end);
		this.#pending.clear();
		return this.#end;
	}
}

interface Connected {
	readonly control: Control;
	readonly news: AsyncIterator<HostNews>;
	readonly hello: HostHello;
}

/** The host's connection, proven by its token. Anybody on this machine can connect, so others are turned away. */
async function connection(
	start: HostStart,
	process: RunningProcess,
	listener: ByteStreamListener,
	token: string,
): Promise<Connected> {
	const { platform, role, signal } = start;
	const giveUp = new AbortController();
	const onAbort = (): void => giveUp.abort(signal?.reason);
	signal?.addEventListener("abort", onAbort, { once: true });
	const tooLate = platform.clock.sleep(START_MS, giveUp.signal).then(() => {
		throw new HostEndedError(`the ${role} process did not report within ${START_MS} ms`, process.errorText());
	});
	const ended = process.ended.then((end) => {
		throw endedError(role, end, process.errorText());
	});
	const connected = (async (): Promise<Connected> => {
		for (;;) {
			const stream = await listener.accept();
			if (stream === undefined) throw new HostEndedError(`the ${role} process came too late`, process.errorText());
			const control: Control = new LineStream(stream);
			const news = control.messages();
			const first = await news.next();
			if (first.done !== true && first.value.news === "hello" && first.value.token === token)
				return { control, news, hello: first.value };
			control.abort("not the process that was started");
		}
	})();
	for (const loser of [tooLate, ended, connected]) loser.catch(() => undefined); // the race below has the first word
	try {
		signal?.throwIfAborted();
		return await Promise.race([connected, ended, tooLate]);
	} finally {
		signal?.removeEventListener("abort", onAbort);
		giveUp.abort();
	}
}

/** The error for a host that has ended by itself. */
export function endedError(
	role: string,
	{ code, signal }: ProcessEnd,
	errorText: string,
	cause?: unknown,
): HostEndedError {
	const how = signal === undefined ? `with exit code ${code ?? "unknown"}` : `by ${signal}`;
	const why = cause instanceof Error ? `: ${cause.message}` : "";
	return new HostEndedError(`the ${role} process ended ${how}${why}`, errorText);
}
