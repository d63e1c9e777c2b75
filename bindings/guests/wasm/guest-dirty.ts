// The dirty log of a wasm guest, seen from the host: cursors are numbers in the worker, where the scan tracker lives.
import type { DirtyCursor, DirtyLog, DirtyPages, PageBits } from "../../ports/guest.ts";
import { compact, type WorkerClient } from "./worker-client.ts";

/** See the head of this file. */
export class WasmDirtyLog implements DirtyLog {
	/** Known once the guest has started. */
	tracker: "scan" | "barrier" = "scan";
	readonly #worker: WorkerClient;

	constructor(worker: WorkerClient) {
		this.#worker = worker;
	}

	async open(): Promise<DirtyCursor> {
		const { cursor } = await this.#worker.run({ name: "open" });
		return new WasmDirtyCursor(this.#worker, cursor);
	}
}

class WasmDirtyCursor implements DirtyCursor {
	readonly #worker: WorkerClient;
	readonly #cursor: number;
	#closed = false;

	constructor(worker: WorkerClient, cursor: number) {
		this.#worker = worker;
		this.#cursor = cursor;
	}

	async peek(firstPage: number, pageCount: number, candidates?: PageBits): Promise<PageBits> {
		if (firstPage % 8 !== 0) throw new RangeError(`firstPage must be a multiple of 8, got ${firstPage}`);
		const order = { firstPage, pageCount, candidates: candidates && compact(candidates) };
		return (await this.#worker.run({ name: "peek", cursor: this.#cursor, ...order })).bits;
	}

	async harvest(): Promise<DirtyPages> {
		return this.#worker.run({ name: "harvest", cursor: this.#cursor });
	}

	async putBack(bits: PageBits): Promise<void> {
		await this.#worker.run({ name: "put-back", cursor: this.#cursor, bits: compact(bits) });
	}

	async close(): Promise<void> {
		if (this.#closed) return;
		this.#closed = true;
		// With the worker its cursors are gone: nothing is left to close.
		if (this.#worker.ended === undefined) await this.#worker.run({ name: "close", cursor: this.#cursor });
	}
}
