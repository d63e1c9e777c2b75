import type { Clock } from "./clock.ts";

/** Threads as a port: guests that live in a worker get theirs from the platform. */
export interface WorkerPort {
	/** Starts the platform's worker for this kind of guest. */
	start(role: WorkerRole): WorkerThread;
}

/** The worker entries that exist; each platform has one file per role. */
export type WorkerRole = "wasm-guest" | "v86-guest" | "qemu-ram";

/** The near side of a worker. */
export interface WorkerThread {
	/** Sends a message; buffers in `transfer` move without a copy and are detached here. */
	post(message: unknown, transfer?: readonly ArrayBuffer[]): void;
	/** Called for each message, in order. Set once, before the first {@link post}. */
	onMessage: ((message: unknown) => void) | undefined;
	/** Called once when the worker ends by itself or fails. */
	onEnd: ((error: unknown) => void) | undefined;
	/** Ends it. On some platforms a busy worker runs on for a while: never the only guard against two runners. */
	terminate(): Promise<void>;
}

/** The far side: what code inside a worker sees. */
export interface WorkerScope {
	post(message: unknown, transfer?: readonly ArrayBuffer[]): void;
	onMessage: ((message: unknown) => void) | undefined;
	/** Loads a program's module by URL. */
	load(url: string): Promise<unknown>;
	/** The worker's own time: how long a slice of work took, and turns of its event loop (`sleep(0)`). */
	readonly clock: Clock;
}
