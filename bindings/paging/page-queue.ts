/**
 * The pages that a source still owes, in push order. Every owed page comes out exactly once, by a fault or by the push;
 * what is out counts as in flight.
 */
import { type BubbleFault, BubblingQueue } from "../engine/bubble.ts";
import type { Engine } from "../engine/engine.ts";
import type { PageList } from "../engine/page-list.ts";
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
 * @param owed - one bit per page.
 * @param recent - pages by last use, the most recent first, as far as it is known; others follow in address order.
 */
export function createPageQueue(
	engine: Engine,
	owed: PageBits,
	pageCount: number,
	recent: Uint32Array,
	push: PushOrder,
): PageQueue {
	const order = pushPositions(owed, pageCount, recent);
	if (push.variant !== "prepaging") return new PositionQueue(order, pageCount);
	const { pivots, direction, order: pushOrder } = push;
	return new BubblingQueue(engine, pageCount, order, { pivots, direction, pushOrder });
}

/** Owed pages by position, densely: position 0 is the most recently used end. Free and copied pages are no walls between. */
function pushPositions(owed: PageBits, pageCount: number, recent: Uint32Array): Uint32Array<ArrayBuffer> {
	const left = owed.slice();
	const order: number[] = [];
	const take = (page: number): void => {
		const bit = 1 << (page & 7);
		if (page >= pageCount || ((left[page >>> 3] ?? 0) & bit) === 0) return;
		left[page >>> 3]! &= ~bit;
		order.push(page);
	};
	for (const page of recent) take(page);
	for (let page = 0; page < pageCount; page++) {
		if (left[page >>> 3] === 0) page |= 7;
		else take(page);
	}
	return Uint32Array.from(order);
}

/** Hands pages out by position alone: active push, and demand paging, which only asks for faults. */
class PositionQueue implements PageQueue {
	remaining: number;
	readonly #order: Uint32Array;
	/** Per page: not owed, owed, handed out. */
	readonly #status: Uint8Array;
	#cursor = 0;

	constructor(order: Uint32Array, pageCount: number) {
		this.#order = order;
		this.#status = new Uint8Array(pageCount);
		for (const page of order) this.#status[page] = OWED;
		this.remaining = order.length;
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
