// The balloon of a wasm guest, seen from the host: every call is a job in the guest's worker, between two calls of the program.
import type { BalloonReport, GuestBalloon } from "../../ports/ballooning-guest.ts";
import type { PageBits } from "../../ports/guest.ts";
import { forEachRun } from "../page-bits.ts";
import type { BalloonAct } from "./program-balloon.ts";
import type { WorkerClient } from "./worker-client.ts";

/** See the head of this file. */
export class WasmBalloon implements GuestBalloon {
	readonly #worker: WorkerClient;

	constructor(worker: WorkerClient) {
		this.#worker = worker;
	}

	async report(): Promise<BalloonReport> {
		const { freePages, pressurePages } = await this.#worker.run({ name: "balloon", act: "report", pages: 0 });
		return { freePages, pressurePages };
	}

	inflate(pages: number): Promise<Uint32Array> {
		return this.#move("inflate", pages);
	}

	deflate(pages: number): Promise<Uint32Array> {
		return this.#move("deflate", pages);
	}

	async out(): Promise<PageBits> {
		return (await this.#worker.run({ name: "balloon", act: "out", pages: 0 })).bits;
	}

	async #move(act: BalloonAct, pages: number): Promise<Uint32Array> {
		const { bits } = await this.#worker.run({ name: "balloon", act, pages });
		const moved: number[] = [];
		forEachRun(bits, bits.byteLength * 8, (first, count) => {
			for (let page = first; page < first + count; page++) moved.push(page);
		});
		return Uint32Array.from(moved);
	}
}
