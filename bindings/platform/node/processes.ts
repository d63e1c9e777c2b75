/** Processes on Node by `node:child_process`. */
import { type ChildProcessByStdio, spawn } from "node:child_process";
import process from "node:process";
import type { Readable } from "node:stream";
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

type Child = ChildProcessByStdio<null, Readable, Readable>;

/** Processes that end with ours. */
const running = new Set<Child>();

/** Ends all that was started and still runs, as an exit of ours does: for who ends this process otherwise. */
export function killStarted(): void {
	for (const child of running) child.kill("SIGKILL");
}

/**
 * Starts processes. `env` is added to our own environment. `lines` has one reader, and a process whose lines nobody
 * reads waits once 1 MiB of them is queued. When our process exits (not when it is killed), those that still run are
 * killed.
 */
export const nodeProcesses: ProcessPort = { start };

function start(command: ProcessCommand): Promise<RunningProcess> {
	return new Promise((resolve, reject) => {
		const notStarted = (error: unknown) =>
			reject(new ProcessError(`cannot start ${command.executable}: ${messageOf(error)}`, { cause: error }));
		try {
			const env = command.env === undefined ? process.env : { ...process.env, ...command.env };
			const child = spawn(command.executable, command.args, { env, stdio: ["ignore", "pipe", "pipe"] });
			child.once("error", notStarted);
			child.once("spawn", () => {
				child.off("error", notStarted);
				resolve(new NodeProcess(child));
			});
		} catch (error) {
			notStarted(error);
		}
	});
}

class NodeProcess implements RunningProcess {
	readonly pid: number;
	readonly lines: LineQueue = new LineQueue();
	readonly ended: Promise<ProcessEnd>;
	readonly #child: Child;
	readonly #tail = new OutputTail();

	constructor(child: Child) {
		this.pid = child.pid ?? 0;
		this.#child = child;
		child.on("error", () => {}); // a signal that could not be sent: the process has ended, and `ended` says so
		child.stdout.on("data", (chunk: Uint8Array) => this.#pass(chunk));
		child.stdout.on("close", () => this.lines.end());
		child.stderr.on("data", (chunk: Uint8Array) => this.#tail.push(chunk));
		if (running.size === 0) process.on("exit", killStarted);
		running.add(child);
		this.ended = new Promise((resolve) => {
			child.once("exit", (code, signal) => {
				running.delete(child);
				if (running.size === 0) process.off("exit", killStarted);
				const end = () => {
					clearTimeout(timer);
					resolve({ code: code ?? undefined, signal: signal ?? undefined });
				};
				const timer = setTimeout(end, ERROR_TEXT_MS);
				if (child.stderr.closed) end();
				else child.stderr.once("close", end);
			});
		});
	}

	errorText(): string {
		return this.#tail.text();
	}

	kill(signal: "SIGTERM" | "SIGKILL" | "SIGSTOP" | "SIGCONT"): void {
		this.#child.kill(signal);
	}

	#pass(chunk: Uint8Array): void {
		if (this.lines.push(chunk)) return;
		this.#child.stdout.pause();
		this.lines.hasRoom().then(() => this.#child.stdout.resume());
	}
}
