// What the contract suites need of the runtime they run on, beyond the platform they test.
import type { Platform } from "../../../bindings/ports/platform.ts";
import type { ProcessCommand } from "../../../bindings/ports/process.ts";
import type { WorkerThread } from "../../../bindings/ports/worker.ts";

export interface TestRuntime {
	readonly platform: Platform;
	/** A fresh empty folder; the path is short enough for a unix-domain socket in it. */
	temporaryFolder(): Promise<string>;
	removeFolder(path: string): Promise<void>;
	/** Starts `tests/programs/NAME.ts` on this runtime. */
	program(name: string, ...args: readonly string[]): ProcessCommand;
	/** The same on the other runtime, where that is possible from here. */
	foreignProgram?(name: string, ...args: readonly string[]): ProcessCommand;
	/** Where the module of `tests/programs/NAME.ts` lies on this runtime. */
	programUrl(name: string): URL;
	/** Starts a worker from `tests/programs/NAME.ts`. */
	workerOf(name: string): WorkerThread;
	/** The system's letter for a process's state (`T` stopped, `Z` zombie), `undefined` without such a process. Linux only. */
	processState(pid: number): Promise<string | undefined>;
	inode(path: string): Promise<number>;
	/** Whether a file exists, whatever it is. */
	exists(path: string): Promise<boolean>;
	writeFile(path: string, bytes: Uint8Array): Promise<void>;
	readFile(path: string): Promise<Uint8Array>;
	/** Names in a folder, sorted. */
	names(path: string): Promise<readonly string[]>;
}
