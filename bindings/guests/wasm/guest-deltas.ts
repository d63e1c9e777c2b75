// Senders of a wasm guest, seen from the host: see delta-senders.ts for what the worker has of them.
import type { DeltaControl, PageSender, SendOptions } from "../../ports/delta-guest.ts";
import type { PageBatch } from "../../ports/guest.ts";
import type { WasmGuestPages } from "./guest-pages.ts";
import type { WorkerClient } from "./worker-client.ts";

/** See the head of this file. */
export class WasmDeltas implements DeltaControl {
	readonly #worker: WorkerClient;
	readonly #pages: WasmGuestPages;

	constructor(worker: WorkerClient, pages: WasmGuestPages) {
		this.#worker = worker;
		this.#pages = pages;
	}

	async open(sentPages: number): Promise<PageSender> {
		const { sender, memoryBytes } = await this.#worker.run({ name: "open-sender", sentPages });
		return new WasmSender(this.#worker, this.#pages, sender, memoryBytes);
	}
}

class WasmSender implements PageSender {
	readonly memoryBytes: number;
	readonly #worker: WorkerClient;
	readonly #pages: WasmGuestPages;
	readonly #sender: number;
	#isClosed = false;

	constructor(worker: WorkerClient, pages: WasmGuestPages, sender: number, memoryBytes: number) {
		this.#worker = worker;
		this.#pages = pages;
		this.#sender = sender;
		this.memoryBytes = memoryBytes;
	}

	encode(pageIndices: Uint32Array, { generation, remember, ...options }: SendOptions): Promise<PageBatch> {
		return this.#pages.encode(pageIndices, options, { sender: this.#sender, generation, remember });
	}

	async forget(): Promise<void> {
		await this.#worker.run({ name: "forget-sent", sender: this.#sender });
	}

	async close(): Promise<void> {
		if (this.#isClosed) return;
		this.#isClosed = true;
		await this.#worker.run({ name: "close-sender", sender: this.#sender });
	}
}
