/** Processes on Deno by `Deno.Command`. */
import {
	type ProcessCommand,
	type ProcessEnd,
	ProcessError,
	type ProcessPort,
	type RunningProcess,
} from "../../ports/process.ts";
import { LineQueue, OutputTail } from "../process-output.ts";
import { messageOf } from "../stream-errors.ts";

/** How long the end waits for the rest of standard error, in ms: a grandchild may hold it open for ever. */
const ERROR_TEXT_MS = 200;

/** Processes that end with ours. */
const running = new Set<Deno.ChildProcess>();

function killAll(): void {
	for (const child of running) signalIfRunning(child, "SIGKILL");
}

function signalIfRunning(child: Deno.ChildProcess, signal: Deno.Signal): void {
	try {
		child.kill(signal);
	} catch {
		// It has ended, and `ended` says so.
	}
}

/**
 * Starts processes. `env` is added to our own environment. `lines` has one reader, and a process whose lines nobody
 * reads waits once 1 MiB of them is queued. When our process exits (not when it is killed), those that still run are
 * killed.
 */
export const denoProcesses: ProcessPort = { start };

async function start(command: ProcessCommand): Promise<RunningProcess> {
	try {
		const options: Deno.CommandOptions = {
			args: [...command.args],
			stdin: "null",
			stdout: "piped",
			stderr: "piped",
			...(command.env === undefined ? {} : { env: { ...command.env } }),
		};
		return new DenoProcess(new Deno.Command(command.executable, options).spawn());
	} catch (error) {
		throw new ProcessError(`cannot start ${command.executable}: ${messageOf(error)}`, { cause: error });
	}
}

class DenoProcess implements RunningProcess {
	readonly pid: number;
	readonly lines: LineQueue = new LineQueue();
	readonly ended: Promise<ProcessEnd>;
	readonly #child: Deno.ChildProcess;
	readonly #tail = new OutputTail();

	constructor(child: Deno.ChildProcess) {
		this.pid = child.pid;
		this.#child = child;
		if (running.size === 0) addEventListener("unload", killAll);
		running.add(child);
		void this.#passLines();
		this.ended = this.#end(this.#keepTail());
	}

	errorText(): string {
		return this.#tail.text();
	}

	kill(signal: "SIGTERM" | "SIGKILL" | "SIGSTOP" | "SIGCONT"): void {
		signalIfRunning(this.#child, signal);
	}

	async #end(tailKept: Promise<void>): Promise<ProcessEnd> {
		const { code, signal } = await this.#child.status;
		running.delete(this.#child);
		if (running.size === 0) removeEventListener("unload", killAll);
		let timer: ReturnType<typeof setTimeout> | undefined;
		const patience = new Promise<void>((resolve) => {
			timer = setTimeout(resolve, ERROR_TEXT_MS);
		});
		await Promise.race([tailKept, patience]);
		clearTimeout(timer);
		return signal === null ? { code, signal: undefined } : { code: undefined, signal };
	}

	async #passLines(): Promise<void> {
		try {
			for await (const chunk of this.#child.stdout) if (!this.lines.push(chunk)) await this.lines.hasRoom();
		} finally {
			this.lines.end();
		}
	}

	async #keepTail(): Promise<void> {
		for await (const chunk of this.#child.stderr) this.#tail.push(chunk);
	}
}
