/** Workers on Node by `node:worker_threads`. */
import { Worker } from "node:worker_threads";
import type { WorkerPort, WorkerRole, WorkerThread } from "../../ports/worker.ts";
import { WorkerEndError } from "../worker-end.ts";

/** Where the code of a role lies. Bundles are one flat folder, so the entry is beside this module there as it is here. */
const ENTRIES: Readonly<Record<WorkerRole, URL>> = {
	"wasm-guest": new URL(
		import.meta.url.endsWith(".ts") ? "./wasm-guest-node-worker.ts" : "./wasm-guest-node-worker.js",
		import.meta.url,
	),
	"v86-guest": new URL(
		import.meta.url.endsWith(".ts") ? "./v86-guest-node-worker.ts" : "./v86-guest-node-worker.js",
		import.meta.url,
	),
	"qemu-ram": new URL(
		import.meta.url.endsWith(".ts") ? "./qemu-ram-node-worker.ts" : "./qemu-ram-node-worker.js",
		import.meta.url,
	),
};

/** @param entries - which module a role starts, in place of pageferry's own. */
export function nodeWorkers(entries: Readonly<Partial<Record<WorkerRole, URL>>> = {}): WorkerPort {
	return { start: (role) => new NodeWorker(entries[role] ?? ENTRIES[role]) };
}

class NodeWorker implements WorkerThread {
	onMessage: ((message: unknown) => void) | undefined;
	onEnd: ((error: unknown) => void) | undefined;
	readonly #worker: Worker;
	#hasEnded = false;

	constructor(entry: URL) {
		this.#worker = new Worker(entry);
		this.#worker.on("message", (message: unknown) => this.onMessage?.(message));
		this.#worker.on("messageerror", (error) => this.#end(error));
		this.#worker.on("error", (error) => this.#end(error));
		this.#worker.on("exit", (code) => this.#end(new WorkerEndError(`the worker ended by itself, exit code ${code}`)));
	}

	post(message: unknown, transfer: readonly ArrayBuffer[] = []): void {
		this.#worker.postMessage(message, transfer);
	}

	async terminate(): Promise<void> {
		this.#hasEnded = true;
		await this.#worker.terminate();
	}

	#end(error: unknown): void {
		if (this.#hasEnded) return;
		this.#hasEnded = true;
		this.onEnd?.(error);
	}
}
