/** What a page server works in, made and touched before the switch: in there, first touches cost milliseconds. */
import { createEngine, type Engine } from "../engine/engine.ts";
import { PageList } from "../engine/page-list.ts";
import type { PushOrder } from "../policies/push-order.ts";
import { PageQueueRoom } from "./page-queue.ts";

/** Most pages that are pushed in one batch. */
const LIST_PAGES = 64;

/** See the head of this file. For one server after another. */
export class ServingRoom {
	readonly engine: Engine = createEngine();
	readonly #push: PushOrder;
	/** The batch that is put together. */
	readonly list: PageList = new PageList(this.engine, LIST_PAGES);
	#queues: PageQueueRoom;

	/** @param pageCount of the guest now */
	constructor(pageCount: number, push: PushOrder) {
		this.#push = push;
		this.#queues = new PageQueueRoom(this.engine, pageCount, push);
		this.engine.prefault();
		// Code that runs for the first time is slow as well.
		const some = new Uint8Array(Math.ceil(pageCount / 8));
		some[0] = 1;
		this.#queues.fill(some, new Uint32Array(0));
	}

	/** Room for the queue of a guest that may have grown. */
	queues(pageCount: number): PageQueueRoom {
		if (pageCount !== this.#queues.pageCount) this.#queues = new PageQueueRoom(this.engine, pageCount, this.#push);
		return this.#queues;
	}
}
