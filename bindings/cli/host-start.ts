/**
 * How the command starts a process of its own and knows it again.
 *
 *   listen ─▶ process ─▶ it connects, and its first word holds the token that it was given ─▶ its control connection
 *
 * The process connects, not the command: one whose command was killed meanwhile finds nobody and ends, so that no process
 * ever waits for a command that has gone.
 */
import type { ByteStreamListener } from "../ports/byte-stream.ts";
import type { Platform } from "../ports/platform.ts";
import type { ProcessCommand, ProcessEnd, RunningProcess } from "../ports/process.ts";
import { toHex } from "../wire/digest.ts";
import { TOKEN_VARIABLE } from "./host-config.ts";
import { LineStream } from "./line-stream.ts";

/** How long a process may take to report, in ms: a cold Deno takes about 1 s on a busy machine. */
const START_MS = 30_000;

/** The process has ended, or never came up. */
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

/** Ports that a process of ours is started and heard with. */
export type HostServices = Pick<Platform, "clock" | "random" | "processes" | "listen">;

/** What starts a process. */
export interface HostStart {
	readonly platform: HostServices;
	/** What people call it: `source`, `target`. */
	readonly role: string;
	/** Executable and arguments; the port is added at the end. */
	readonly command: Pick<ProcessCommand, "executable" | "args">;
	readonly signal?: AbortSignal;
}

/** A process that has reported: `Out` is what it is told, `In` what it says. */
export interface StartedHost<Out, In extends Word> {
	readonly process: RunningProcess;
	readonly control: LineStream<Out, In>;
	/** Everything after its first word. */
	readonly news: AsyncIterator<In>;
	readonly hello: HelloOf<In>;
}

interface Word {
	readonly news: string;
}

/** The first word of a process: proof that it is the one that was started. */
type HelloOf<In> = Extract<In, { readonly news: "hello"; readonly token: string }>;

/** Starts a process and waits for its first word. @throws {HostEndedError}, {ProcessError}, the signal's reason; nothing is left behind then. */
export async function startHost<Out, In extends Word>(start: HostStart): Promise<StartedHost<Out, In>> {
	const { platform, role, command, signal } = start;
	signal?.throwIfAborted();
	const listener = await platform.listen({ transport: "tcp", host: "127.0.0.1", port: 0 });
	const { address } = listener;
	const port = address.transport === "tcp" ? address.port : 0;
	const token = toHex(platform.random.fill(new Uint8Array(16)));
	try {
		const args = [...command.args, String(port)];
		const process = await platform.processes.start({ ...command, args, env: { [TOKEN_VARIABLE]: token } });
		try {
			return { process, ...(await connection<Out, In>(start, process, listener, token)) };
		} catch (error) {
			process.kill("SIGKILL");
			await process.ended;
			if (error instanceof HostEndedError || error === signal?.reason) throw error;
			throw endedError(role, await process.ended, process.errorText(), error);
		}
	} finally {
		await listener.close();
	}
}

/** The process's connection, proven by its token. Anybody on this machine can connect, so others are turned away. */
async function connection<Out, In extends Word>(
	{ platform, role, signal }: HostStart,
	process: RunningProcess,
	listener: ByteStreamListener,
	token: string,
): Promise<Omit<StartedHost<Out, In>, "process">> {
	const giveUp = new AbortController();
	const onAbort = (): void => giveUp.abort(signal?.reason);
	signal?.addEventListener("abort", onAbort, { once: true });
	const tooLate = platform.clock.sleep(START_MS, giveUp.signal).then(() => {
		throw new HostEndedError(`the ${role} process did not report within ${START_MS} ms`, process.errorText());
	});
	const ended = process.ended.then((end) => {
		throw endedError(role, end, process.errorText());
	});
	const connected = (async (): Promise<Omit<StartedHost<Out, In>, "process">> => {
		for (;;) {
			const stream = await listener.accept();
			if (stream === undefined) throw new HostEndedError(`the ${role} process came too late`, process.errorText());
			const control = new LineStream<Out, In>(stream);
			const news = control.messages();
			const first = await news.next();
			if (first.done !== true && isHello(first.value, token)) return { control, news, hello: first.value };
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

function isHello<In extends Word>(first: In, token: string): first is HelloOf<In> {
	return first.news === "hello" && "token" in first && first.token === token;
}

/** The error for a process that has ended by itself. */
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
