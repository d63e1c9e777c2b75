// Push order by multi-pivot bubbling. The rule, its invariants and its source stand in assembly/bubble.ts.
import { Bitmap } from "./bitmap.ts";
import { checkInteger, type Engine, type Region } from "./engine.ts";
import { BITMAP_LIMIT_BITS, LIST_SLACK_BYTES } from "./layout.ts";
import type { PageList } from "./page-list.ts";

/** What a fault found. */
export type BubbleFault =
	/** The page was owed: it is handed out by this call; send it ahead of everything pushed. */
	| "send"
	/** It was handed out before: wait for it, answer nothing twice. */
	| "in-flight"
	/** It was never owed: free, zero or copied earlier. */
	| "not-owed";

/** Options of a {@link BubblingQueue}. */
export interface BubblingOptions {
	/** Pivots kept, 1 … 64. 7 was best in the paper (PC-8); *turns* with 3. */
	readonly pivots?: number;
	/** Where bubbles grow. Default `dual`. */
	readonly direction?: "dual" | "forward" | "backward";
	/** `edges` is the paper's rotation (default); `turns` rotates over pivots that learn the guest's direction. */
	readonly pushOrder?: "edges" | "turns";
	/** Whether a cursor closes the gaps when every edge has stopped. Default true; false shows the paper's stall. */
	readonly sweep?: boolean;
}

const STATE_BYTES = 128;
const DIRECTIONS = { backward: 1, forward: 2, dual: 3 } as const;
const FAULTS = ["send", "in-flight", "not-owed"] as const;
const NONE = 0xffffffff;

/**
 * Decides which page is pushed next: bubbles grow around the most recent faults, and a sweep closes what they leave.
 *
 * Every owed page is handed out exactly once, by {@link fault} or by {@link push}, whatever the faults; a page given to
 * {@link putBack} once more. Nothing here sends: what is handed out counts as in flight.
 *
 * Source: Hines et al., Post-Copy Live Migration of Virtual Machines, prepaging by bubbling.
 *
 * @example
 * ```ts
 * import { BubblingQueue } from "./bubble.ts";
 * import { createEngine } from "./engine.ts";
 * import { PageList } from "./page-list.ts";
 * const engine = createEngine();
 * const queue = new BubblingQueue(engine, 100, Uint32Array.from({ length: 100 }, (_, i) => i), { pivots: 1 });
 * queue.fault(50); // "send"
 * const batch = new PageList(engine, 4);
 * queue.push(batch); // 4
 * batch.toArray(); // Uint32Array [49, 51, 48, 52]
 * ```
 */
export class BubblingQueue {
	readonly #engine: Engine;
	readonly #pageCount: number;
	readonly #state: Region;
	readonly #order: Region;
	readonly #inverse: Region;
	readonly #missing: Bitmap;
	readonly #pivots: number;
	readonly #directions: number;
	readonly #flags: number;
	#owed = 0;

	/**
	 * @param pageCount pages of the guest
	 * @param order the owed pages by position, position 0 the most recently used end; every page at most once. A bitmap
	 *   stands for its pages in ascending order. Positions are dense, so free, zero or copied pages between are no walls.
	 *   A number makes room for so many positions, none of them owed: see {@link start}.
	 * @throws RangeError for a wrong option, or a page that is out of range or comes twice
	 */
	constructor(engine: Engine, pageCount: number, order: Uint32Array | Bitmap | number, options: BubblingOptions = {}) {
		const { pivots = 7, direction = "dual", pushOrder = "edges", sweep = true } = options;
		checkInteger("pageCount", pageCount, 1, BITMAP_LIMIT_BITS);
		checkInteger("options.pivots", pivots, 1, 64);
		const directions = DIRECTIONS[direction];
		if (directions === undefined) throw new RangeError("options.direction must be dual, forward or backward");
		if (pushOrder !== "edges" && pushOrder !== "turns")
			throw new RangeError("options.pushOrder must be edges or turns");
		const pages = order instanceof Bitmap ? order.list() : order;
		const capacity = typeof pages === "number" ? pages : pages.length;
		checkInteger(typeof pages === "number" ? "order" : "order.length", capacity, 0, pageCount);
		this.#engine = engine;
		this.#pageCount = pageCount;
		this.#pivots = pivots;
		this.#directions = directions;
		this.#flags = (sweep ? 1 : 0) | (pushOrder === "turns" ? 2 : 0);
		this.#order = engine.allocate(capacity * 4 + LIST_SLACK_BYTES);
		this.#inverse = engine.allocate(pageCount * 4);
		this.#missing = new Bitmap(engine, Math.max(1, capacity));
		this.#state = engine.allocate(STATE_BYTES + pivots * 32);
		this.start(typeof pages === "number" ? new Uint32Array(0) : pages);
	}

	/**
	 * Forgets everything and owes these pages: no memory is allocated, so that a queue can be made ready ahead of time (on
	 * fresh memory the first touch of 131 072 positions took 4 ms, inside the switch of a move).
	 *
	 * @param order as the constructor takes it; at most as many as there is room for
	 * @throws RangeError for more, or a page that is out of range or comes twice
	 */
	start(order: Uint32Array): void {
		const engine = this.#engine;
		checkInteger("order.length", order.length, 0, (this.#order.byteLength - LIST_SLACK_BYTES) / 4);
		this.#owed = order.length;
		this.#missing.clearAll();
		engine.words.set(order, this.#order.offset >>> 2);
		const { offset: inverse } = this.#inverse;
		const wrong = engine.exports.bubbleInvert(this.#order.offset, order.length, inverse, this.#pageCount) >>> 0;
		if (wrong !== NONE)
			throw new RangeError(`order[${wrong}] is ${order[wrong]}: twice, or not below pageCount ${this.#pageCount}`);
		engine.exports.bubbleStart(
			this.#state.offset,
			order.length,
			this.#pageCount,
			this.#pivots,
			this.#directions,
			this.#flags,
			this.#missing.region.offset,
			this.#missing.blockCount,
			this.#order.offset,
			inverse,
		);
	}

	/** Pages owed at the start. */
	get owed(): number {
		return this.#owed;
	}

	/** Pages not yet handed out. */
	get remaining(): number {
		return this.#engine.words[(this.#state.offset + 20) >>> 2]!;
	}

	/** Pages the sweep handed out so far: what the bubbles alone would have left behind. */
	get swept(): number {
		return this.#engine.words[(this.#state.offset + 36) >>> 2]!;
	}

	/**
	 * A network fault of the guest: hands the page out if it is owed, and makes it a pivot.
	 *
	 * @param page page index
	 * @throws RangeError when it is no u32
	 */
	fault(page: number): BubbleFault {
		checkInteger("page", page, 0, NONE);
		return FAULTS[this.#engine.exports.bubbleFault(this.#state.offset, page)]!;
	}

	/**
	 * Hands out the next pages in push order.
	 *
	 * @param into receives page indices, in order
	 * @param count at most this many, and at most the list's capacity
	 * @returns pages handed out; 0 only when nothing is left
	 * @throws RangeError
	 */
	push(into: PageList, count: number = into.capacity): number {
		checkInteger("count", count, 0, into.capacity);
		if (into.engine !== this.#engine) throw new TypeError("into belongs to another engine");
		into.length = this.#engine.exports.bubblePush(this.#state.offset, into.region.offset, count);
		return into.length;
	}

	/**
	 * Owes a page again that was handed out but never acknowledged: after a lost link.
	 *
	 * @returns whether it had been handed out
	 * @throws RangeError when it is no u32
	 */
	putBack(page: number): boolean {
		checkInteger("page", page, 0, NONE);
		return this.#engine.exports.bubblePutBack(this.#state.offset, page) === 1;
	}
}
