// Page compare: which pages of two regions differ.
import type { Bitmap } from "./bitmap.ts";
import { checkInteger, type Engine, type Region } from "./engine.ts";
import { PAGE_BYTES } from "./layout.ts";

/**
 * Checks that `count` whole pages lie in the region from its page `first`.
 *
 * @returns the byte offset of page `first`
 * @throws RangeError naming the argument
 */
export function checkPages(engine: Engine, name: string, region: Region, first: number, count: number): number {
	engine.checkRegion(name, region, 0);
	const held = Math.floor(region.byteLength / PAGE_BYTES);
	checkInteger(`${name}: first page`, first, 0, held);
	checkInteger(`${name}: page count`, count, 0, held - first);
	return region.offset + first * PAGE_BYTES;
}

/**
 * Compares regions of whole pages.
 *
 * @example
 * ```ts
 * import { Bitmap } from "./bitmap.ts";
 * import { PageComparer } from "./compare.ts";
 * import { createEngine } from "./engine.ts";
 * const engine = createEngine();
 * const now = engine.allocate(8 * 4096);
 * const before = engine.allocate(8 * 4096);
 * engine.view(now)[5 * 4096 + 17] = 1;
 * const changed = new Bitmap(engine, 8);
 * new PageComparer(engine).compare(now, before, changed); // 1: page 5
 * ```
 */
export class PageComparer {
	readonly #engine: Engine;

	/** @param engine that holds both regions and the bitmap */
	constructor(engine: Engine) {
		this.#engine = engine;
	}

	/**
	 * Sets bit i of `into` for every page i of [first, first + count) that differs; other bits stay as they are.
	 *
	 * @param a region of pages
	 * @param b region of pages, compared index by index
	 * @param count pages, by default all that `a` holds from `first`
	 * @returns pages that differ
	 * @throws RangeError when a region or the bitmap is too small
	 */
	compare(
		a: Region,
		b: Region,
		into: Bitmap,
		first = 0,
		count: number = Math.floor(a.byteLength / PAGE_BYTES) - first,
	): number {
		const aOffset = checkPages(this.#engine, "a", a, first, count);
		const bOffset = checkPages(this.#engine, "b", b, first, count);
		if (into.engine !== this.#engine) throw new TypeError("into belongs to another engine");
		into.checkRange(first, count);
		into.noteWritten();
		return this.#engine.exports.comparePages(aOffset, bOffset, count, into.region.offset, into.blockCount, first);
	}
}
