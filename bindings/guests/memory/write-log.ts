/**
 * The dirty log of a guest whose every write is known: one byte per page and cursor would do, one bitmap per cursor is
 * smaller. A write sets the page's bit in every open cursor.
 */
import { Bitmap } from "../../engine/bitmap.ts";
import type { Engine } from "../../engine/engine.ts";
import type { DirtyCursor, DirtyLog, DirtyPages, PageBits } from "../../ports/guest.ts";

/** See the head of this file. */
export class WriteLog implements DirtyLog {
	readonly tracker = "writes";
	readonly #engine: Engine;
	readonly #maximumPageCount: number;
	readonly #pageCount: () => number;
	readonly #open = new Set<Bitmap>();
	/** Bitmaps of closed cursors: regions of an engine are never freed, so they are used again. */
	readonly #idle: Bitmap[] = [];

	constructor(engine: Engine, maximumPageCount: number, pageCount: () => number) {
		this.#engine = engine;
		this.#maximumPageCount = maximumPageCount;
		this.#pageCount = pageCount;
	}

	/** Notes that these pages changed, or came into being. */
	note(firstPage: number, pageCount: number): void {
		for (const bits of this.#open) bits.setRange(firstPage, pageCount);
	}

	open(): Promise<DirtyCursor> {
		const bits = this.#idle.pop() ?? new Bitmap(this.#engine, this.#maximumPageCount);
		bits.clearAll();
		this.#open.add(bits);
		return Promise.resolve({
			peek: (firstPage, count, candidates) => Promise.resolve(peek(bits, firstPage, count, candidates)),
			harvest: () => Promise.resolve(this.#harvest(bits)),
			putBack: (harvested) => {
				bits.orRange(0, Math.min(harvested.byteLength * 8, this.#maximumPageCount), harvested);
				return Promise.resolve();
			},
			close: () => {
				if (this.#open.delete(bits)) this.#idle.push(bits);
				return Promise.resolve();
			},
		});
	}

	#harvest(bits: Bitmap): DirtyPages {
		const pageCount = this.#pageCount();
		const harvest = { bits: bits.rangeBytes(0, pageCount), dirtyCount: bits.countRange(0, pageCount), pageCount };
		bits.clearAll();
		return harvest;
	}
}

function peek(bits: Bitmap, firstPage: number, pageCount: number, candidates: PageBits | undefined): PageBits {
	const range = bits.rangeBytes(firstPage, pageCount);
	if (candidates !== undefined) for (let i = 0; i < range.length; i++) range[i]! &= candidates[i]!;
	return range;
}
