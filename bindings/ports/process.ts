/** Processes as a port: for guests that are processes, and for tools that start peers. */
export interface ProcessPort {
	/**
	 * Starts a program with its standard input closed.
	 * @throws {ProcessError} `not-started` with what the system said.
	 */
	start(command: ProcessCommand): Promise<RunningProcess>;
}

/** What to start. No shell is involved. */
export interface ProcessCommand {
	readonly executable: string;
	readonly args: readonly string[];
	readonly env?: Readonly<Record<string, string>>;
}

/** A started process. */
export interface RunningProcess {
	readonly pid: number;
	/** Standard output line by line; ends with the process. */
	readonly lines: AsyncIterable<string>;
	/** What it wrote to standard error so far, at most the last 64 KiB. */
	errorText(): string;
	/** Resolves when it has ended. */
	readonly ended: Promise<ProcessEnd>;
	/** Sends a signal; a process that has ended is no error. */
	kill(signal: "SIGTERM" | "SIGKILL" | "SIGSTOP" | "SIGCONT"): void;
}

/** How a process ended: its exit code, or the signal. */
export interface ProcessEnd {
	readonly code: number | undefined;
	readonly signal: string | undefined;
}

/** A process could not be started. */
export class ProcessError extends Error {
	override readonly name = "ProcessError";
	readonly code = "not-started";
}
