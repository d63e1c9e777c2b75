/**
 * A host seen from the command: its process, its control connection, and what it says.
 *
 *   start ─▶ process ─▶ it connects and proves its token ─▶ orders and events ─▶ stop: the connection closes, it ends
 *
 * Invariant: after {@link HostProcess.stop} the process is gone. It also goes when the command is killed, because its
 * connection closes then.
 */
import type { ProcessEnd, RunningProcess } from "../ports/process.ts";
import {
	endedError,
	HostEndedError,
	type HostServices,
	type HostStart,
	type StartedHost,
	startHost,
} from "./host-start.ts";
import type { LineStream } from "./line-stream.ts";
import type { FailureReport, HostEvent, HostHello, HostNews, HostOrder, HostOrders } from "./messages.ts";

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
	readonly #platform: HostServices;
	readonly #process: RunningProcess;
	readonly #control: Control;
	readonly #pending = new Map<number, Pending>();
	readonly #listeners = new Set<(event: HostEvent) => void>();
	#nextId = 1;
	#end: HostEndedError | undefined;
	#stopping = false;

	private constructor({ platform, role }: HostStart, started: StartedHost<HostOrder, HostNews>) {
		this.role = role;
		this.hello = started.hello;
		this.#platform = platform;
		this.#process = started.process;
		this.#control = started.control;
		this.ended = started.process.ended.then((end) => this.#finish(end));
		void this.#listen(started.news);
	}

	/** Starts a host and waits for its first word. @throws {HostEndedError}, {ProcessError}; nothing is left behind then. */
	static async start(start: HostStart): Promise<HostProcess> {
		return new HostProcess(start, await startHost<HostOrder, HostNews>(start));
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
