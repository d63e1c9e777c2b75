/** Workers on Deno by the web's `Worker`. */
import type { WorkerPort, WorkerRole, WorkerThread } from "../../ports/worker.ts";
import { WorkerEndError } from "../worker-end.ts";

/** Where the code of a role lies. Bundles are one flat folder, so the entry is beside this module there as it is here. */
const ENTRIES: Readonly<Record<WorkerRole, URL>> = {
	"wasm-guest": new URL(
		import.meta.url.endsWith(".ts") ? "./wasm-guest-deno-worker.ts" : "./wasm-guest-deno-worker.js",
		import.meta.url,
	),
	"v86-guest": new URL(
		import.meta.url.endsWith(".ts") ? "./v86-guest-deno-worker.ts" : "./v86-guest-deno-worker.js",
		import.meta.url,
	),
	"qemu-ram": new URL(
		import.meta.url.endsWith(".ts") ? "./qemu-ram-deno-worker.ts" : "./qemu-ram-deno-worker.js",
		import.meta.url,
	),
};

/** @param entries - which module a role starts, in place of pageferry's own. */
export function denoWorkers(entries: Readonly<Partial<Record<WorkerRole, URL>>> = {}): WorkerPort {
	return { start: (role) => new DenoWorker(entries[role] ?? ENTRIES[role]) };
}

/** Deno tells of a worker that fails, not of one that calls `close()` in silence: pageferry's entries never do. */
class DenoWorker implements WorkerThread {
	onMessage: ((message: unknown) => void) | undefined;
	onEnd: ((error: unknown) => void) | undefined;
	readonly #worker: Worker;
	#hasEnded = false;

	constructor(entry: URL) {
		this.#worker = new Worker(entry, { type: "module" });
		this.#worker.onmessage = (event) => this.onMessage?.(event.data);
		this.#worker.onmessageerror = () => this.#end(new WorkerEndError("a message of the worker could not be read"));
		this.#worker.onerror = (event) => {
			// Otherwise Deno ends our own process for the worker's failure.
			event.preventDefault();
			this.#end(event.error ?? new WorkerEndError(event.message));
		};
	}

	post(message: unknown, transfer: readonly ArrayBuffer[] = []): void {
		if (!this.#hasEnded) this.#worker.postMessage(message, [...transfer]);
	}

	terminate(): Promise<void> {
		this.#hasEnded = true;
		this.#worker.terminate();
		return Promise.resolve();
	}

	#end(error: unknown): void {
		if (this.#hasEnded) return;
		this.#hasEnded = true;
		this.onEnd?.(error);
	}
}
