// Zero pages: pages whose every byte is zero need not travel.
import type { Bitmap } from "./bitmap.ts";
import { checkPages } from "./compare.ts";
import type { Engine, Region } from "./engine.ts";
import { PAGE_BYTES } from "./layout.ts";

/**
 * Finds zero pages.
 *
 * @example
 * ```ts
 * import { Bitmap } from "./bitmap.ts";
 * import { createEngine } from "./engine.ts";
 * import { ZeroScanner } from "./zero.ts";
 * const engine = createEngine();
 * const pages = engine.allocate(4 * 4096);
 * engine.view(pages)[2 * 4096] = 1;
 * const zero = new Bitmap(engine, 4);
 * new ZeroScanner(engine).scan(pages, zero); // 3: all but page 2
 * ```
 */
export class ZeroScanner {
	readonly #engine: Engine;

	/** @param engine that holds the pages and the bitmap */
	constructor(engine: Engine) {
		this.#engine = engine;
	}

	/**
	 * Sets bit i of `into` for every page i of [first, first + count) that is all zero; other bits stay as they are.
	 *
	 * @param count pages, by default all that the region holds from `first`
	 * @returns zero pages
	 * @throws RangeError when the region or the bitmap is too small
	 */
	scan(
		pages: Region,
		into: Bitmap,
		first = 0,
		count: number = Math.floor(pages.byteLength / PAGE_BYTES) - first,
	): number {
		const offset = checkPages(this.#engine, "pages", pages, first, count);
		if (into.engine !== this.#engine) throw new TypeError("into belongs to another engine");
		into.checkRange(first, count);
		into.noteWritten();
		return this.#engine.exports.zeroPages(offset, count, into.region.offset, into.blockCount, first);
	}
}
