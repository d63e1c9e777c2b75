/**
 * The pages that a source still owes, in push order. Every owed page comes out exactly once, by a fault or by the push;
 * what is out counts as in flight.
 */
import { Bitmap } from "../engine/bitmap.ts";
import { type BubbleFault, BubblingQueue } from "../engine/bubble.ts";
import type { Engine } from "../engine/engine.ts";
import { PageList } from "../engine/page-list.ts";
import type { PushOrder } from "../policies/push-order.ts";
import type { PageBits } from "../ports/guest.ts";

/** See the head of this file. {@link BubblingQueue} is one. */
export interface PageQueue {
	/** Pages not yet handed out. */
	readonly remaining: number;
	/** The guest waits for this page: hands it out if it is owed and still here. */
	fault(page: number): BubbleFault;
	/** Hands out the next pages in push order. @returns how many; 0 only when nothing is left. */
	push(into: PageList, count: number): number;
}

/**
 * Room for the queue of a guest of this size, made before it is known what will be owed: the queue is filled while the
 * guest stands still, and the first touch of fresh memory takes longer than that (4 ms for 131 072 pages).
 */
export class PageQueueRoom {
	readonly pageCount: number;
	readonly #engine: Engine;
	readonly #owed: Bitmap;
	readonly #positions: PageList;
	readonly #queue: BubblingQueue | PositionQueue;

	constructor(engine: Engine, pageCount: number, push: PushOrder) {
		this.pageCount = pageCount;
		this.#engine = engine;
		this.#owed = new Bitmap(engine, pageCount);
		this.#positions = new PageList(engine, pageCount);
		if (push.variant === "prepaging") {
			const { pivots, direction, order } = push;
			this.#queue = new BubblingQueue(engine, pageCount, pageCount, { pivots, direction, pushOrder: order });
		} else this.#queue = new PositionQueue(pageCount);
	}

	/**
	 * The queue of what is owed. One at a time: the one before ends.
	 * @param owed - one bit per page.
	 * @param recent - pages by last use, the most recent first, as far as it is known; others follow in address order.
	 */
	fill(owed: PageBits, recent: Uint32Array): PageQueue {
		this.#queue.start(this.#order(owed, recent));
		return this.#queue;
	}

	/** Owed pages by position, densely: position 0 is the most recently used end. Free and copied pages are no walls between. */
	#order(owed: PageBits, recent: Uint32Array): Uint32Array {
		const { pageCount } = this;
		const first = owedAmong(recent, owed, pageCount);
		this.#owed.loadRange(0, pageCount, owed);
		for (const page of first) this.#owed.clear(page);
		this.#owed.listInto(this.#positions);
		const { length: others } = this.#positions;
		const { words } = this.#engine;
		const start = this.#positions.region.offset >>> 2;
		if (first.length > 0) words.copyWithin(start + first.length, start, start + others);
		words.set(first, start);
		return words.subarray(start, start + first.length + others);
	}
}

/** @see PageQueueRoom.fill */
export function createPageQueue(
	engine: Engine,
	owed: PageBits,
	pageCount: number,
	recent: Uint32Array,
	push: PushOrder,
): PageQueue {
	return new PageQueueRoom(engine, pageCount, push).fill(owed, recent);
}

/** Those of the pages that are owed, each once. */
function owedAmong(pages: Uint32Array, owed: PageBits, pageCount: number): Uint32Array {
	if (pages.length === 0) return pages;
	const left = owed.slice();
	return pages.filter((page) => {
		const bit = 1 << (page & 7);
		if (page >= pageCount || ((left[page >>> 3] ?? 0) & bit) === 0) return false;
		left[page >>> 3]! &= ~bit;
		return true;
	});
}

/** Hands pages out by position alone: active push, and demand paging, which only asks for faults. */
class PositionQueue implements PageQueue {
	remaining = 0;
	readonly #room: Uint32Array<ArrayBuffer>;
	#order: Uint32Array;
	/** Per page: not owed, owed, handed out. */
	readonly #status: Uint8Array;
	#cursor = 0;

	constructor(pageCount: number) {
		this.#room = new Uint32Array(pageCount).fill(0);
		this.#order = this.#room;
		this.#status = new Uint8Array(pageCount).fill(0);
	}

	start(order: Uint32Array): void {
		this.#room.set(order);
		this.#order = this.#room.subarray(0, order.length);
		this.#status.fill(0);
		for (let i = 0; i < order.length; i++) this.#status[order[i]!] = OWED;
		this.remaining = order.length;
		this.#cursor = 0;
	}

	fault(page: number): BubbleFault {
		const status = this.#status[page];
		if (status === OUT) return "in-flight";
		if (status !== OWED) return "not-owed";
		this.#handOut(page);
		return "send";
	}

	push(into: PageList, count: number): number {
		const pages: number[] = [];
		for (; this.#cursor < this.#order.length && pages.length < count; this.#cursor++) {
			const page = this.#order[this.#cursor]!;
			if (this.#status[page] !== OWED) continue;
			this.#handOut(page);
			pages.push(page);
		}
		into.load(pages);
		return pages.length;
	}

	#handOut(page: number): void {
		this.#status[page] = OUT;
		this.remaining--;
	}
}

const OWED = 1;
const OUT = 2;
