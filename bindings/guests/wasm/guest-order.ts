// The order in which pages of a wasm guest were used, seen from the host: its worker samples (use-sampler.ts).
import type { OrderCursor, PageOrder } from "../../ports/ordered-guest.ts";
import type { WorkerClient } from "./worker-client.ts";

/** See the head of this file. */
export class WasmPageOrder implements PageOrder {
	readonly source: "accesses" | "writes";
	readonly #worker: WorkerClient;

	constructor(worker: WorkerClient, source: "accesses" | "writes") {
		this.#worker = worker;
		this.source = source;
	}

	async open(): Promise<OrderCursor> {
		await this.#worker.run({ name: "open-order" });
		let open = true;
		return {
			recentFirst: async () => (await this.#worker.run({ name: "read-order" })).pages,
			close: async () => {
				// With the worker its samples are gone: nothing is left to close.
				if (open && this.#worker.ended === undefined) await this.#worker.run({ name: "close-order" });
				open = false;
			},
		};
	}
}
