// A list of page indices (u32) in the engine's memory: what bitmaps are harvested into and batches are made from, so that a
// set of pages never has to cross the edge.
import { checkInteger, type Engine, type Region } from "./engine.ts";
import { LIST_SLACK_BYTES } from "./layout.ts";

/**
 * A list of u32 page indices with a fixed capacity.
 *
 * @example
 * ```ts
 * import { createEngine } from "./engine.ts";
 * import { PageList } from "./page-list.ts";
 * const list = new PageList(createEngine(), 1024);
 * list.load([3, 1, 4]);
 * list.toArray(); // Uint32Array [3, 1, 4]
 * ```
 */
export class PageList {
	/** The engine that holds the list. */
	readonly engine: Engine;
	/** Entries it can hold. */
	readonly capacity: number;
	/** Where its entries lie. */
	readonly region: Region;
	/** Entries it holds now. Kernels of this folder set it. */
	length = 0;

	/**
	 * @param capacity entries, 1 or more
	 * @throws RangeError for a wrong capacity
	 */
	constructor(engine: Engine, capacity: number) {
		checkInteger("capacity", capacity, 1, 2 ** 29);
		this.engine = engine;
		this.capacity = capacity;
		this.region = engine.allocate(capacity * 4 + LIST_SLACK_BYTES);
	}

	/** The entries, without a copy. Valid until the engine allocates or the list is written again. */
	view(): Uint32Array<ArrayBuffer> {
		const start = this.region.offset >>> 2;
		return this.engine.words.subarray(start, start + this.length);
	}

	/** A copy of the entries. */
	toArray(): Uint32Array<ArrayBuffer> {
		return this.view().slice();
	}

	/**
	 * Replaces the entries.
	 *
	 * @throws RangeError when they are more than the capacity, or an index is no u32
	 */
	load(indices: ArrayLike<number>): void {
		checkInteger("indices.length", indices.length, 0, this.capacity);
		if (!(indices instanceof Uint32Array))
			for (let i = 0; i < indices.length; i++) checkInteger(`indices[${i}]`, indices[i]!, 0, 0xffffffff);
		this.length = indices.length;
		this.engine.words.set(indices, this.region.offset >>> 2);
	}
}
