// The other side of watched code (`module/instrument.ts`): harvesting the pages it marked, and filling those it waits
// for. Code judges an access by the page it starts on, and an access is at most 16 bytes long; what crosses into the
// next page is seen to here, by the first bytes of each page, its *prefix*.
import { DIRTY_OFFSET, MAP_BYTES, MISSING_OFFSET } from "./module/page-map.ts";

export const PAGE_BYTES = 4096;
/** The longest access is a vector's. */
export const PREFIX_BYTES = 16;
/** What travels for one page that watched code waits for: the page, then the prefix of the page behind it. */
export const UNIT_BYTES: number = PAGE_BYTES + PREFIX_BYTES;

/**
 * Pages that watched code has written to since the last harvest. A store that crosses marks only the page it starts
 * on, so a copy of every prefix is kept (1/256 of the memory), and the one behind each marked page is compared with it.
 * Harvest only between calls into the guest, or in a call that it makes.
 */
export class MarkedPages {
	readonly #map: WebAssembly.Memory;
	/** The marks of the pages there are. */
	#marks: Uint8Array;
	#prefixes: Uint8Array;

	/**
	 * @param map the instance's second memory (`WATCHED.map`)
	 * @param memory the guest's memory now; everything in it counts as clean
	 */
	constructor(map: WebAssembly.Memory, memory: Uint8Array) {
		const pageCount = memory.length / PAGE_BYTES;
		this.#map = map;
		this.#marks = new Uint8Array(map.buffer, DIRTY_OFFSET, pageCount).fill(0);
		this.#prefixes = new Uint8Array(pageCount * PREFIX_BYTES);
		for (let pageIndex = 0; pageIndex < pageCount; pageIndex++) this.#keepPrefix(memory, pageIndex);
	}

	/**
	 * Reads and clears the marks in one step.
	 * @param memory the guest's memory now; it may have grown
	 * @returns indices of the pages written to, ascending
	 */
	harvest(memory: Uint8Array): number[] {
		const pageCount = memory.length / PAGE_BYTES;
		this.#growTo(pageCount);
		const pages: number[] = [];
		const marks = this.#marks;
		for (let pageIndex = this.#nextMark(0, pageCount); pageIndex < pageCount; ) {
			marks[pageIndex] = 0;
			pages.push(pageIndex);
			const next = pageIndex + 1;
			if (next < pageCount && marks[next] === 0 && this.#prefixChanged(memory, next)) pages.push(next);
			pageIndex = this.#nextMark(next, pageCount);
		}
		for (const pageIndex of pages) this.#keepPrefix(memory, pageIndex);
		return pages;
	}

	#nextMark(from: number, pageCount: number): number {
		const next = this.#marks.indexOf(1, from);
		return next < 0 ? pageCount : next;
	}

	/** Pages that memory has grown by are zero. */
	#growTo(pageCount: number): void {
		if (this.#prefixes.length >= pageCount * PREFIX_BYTES) return;
		this.#marks = new Uint8Array(this.#map.buffer, DIRTY_OFFSET, pageCount);
		const grown = new Uint8Array(pageCount * PREFIX_BYTES);
		grown.set(this.#prefixes);
		this.#prefixes = grown;
	}

	#prefixChanged(memory: Uint8Array, pageIndex: number): boolean {
		const start = pageIndex * PAGE_BYTES;
		const kept = pageIndex * PREFIX_BYTES;
		for (let i = 0; i < PREFIX_BYTES; i++) if (memory[start + i] !== this.#prefixes[kept + i]) return true;
		return false;
	}

	#keepPrefix(memory: Uint8Array, pageIndex: number): void {
		const start = pageIndex * PAGE_BYTES;
		this.#prefixes.set(memory.subarray(start, start + PREFIX_BYTES), pageIndex * PREFIX_BYTES);
	}
}

/**
 * Pages that have not arrived yet. With page p arrives the prefix of page p + 1, so that an access which starts on p
 * finds all it needs. Each prefix is written once, by whichever unit comes first: the guest may have changed it since.
 */
export class MissingPages {
	readonly #missing: Uint8Array;
	readonly #prefixFilled: Uint8Array;
	readonly #pageCount: number;
	#remaining = 0;

	/**
	 * @param map the instance's second memory (`WATCHED.map`)
	 * @param pageCount pages of the guest's memory
	 * @param missing indices of the pages that are to come; all others are there
	 */
	constructor(map: WebAssembly.Memory, pageCount: number, missing: Iterable<number>) {
		this.#missing = new Uint8Array(map.buffer, MISSING_OFFSET, MAP_BYTES).fill(0);
		this.#pageCount = pageCount;
		this.#prefixFilled = new Uint8Array(pageCount);
		for (const pageIndex of missing) {
			if (!Number.isInteger(pageIndex) || pageIndex < 0 || pageIndex >= pageCount)
				throw new RangeError(`page ${pageIndex} is missing from a memory of ${pageCount} pages`);
			if (this.#missing[pageIndex] === 0) this.#remaining++;
			this.#missing[pageIndex] = 1;
		}
	}

	/** How many pages are still to come. */
	get remaining(): number {
		return this.#remaining;
	}

	isMissing(pageIndex: number): boolean {
		return this.#missing[pageIndex] === 1;
	}

	/**
	 * Writes a page that has arrived into the guest's memory.
	 * @param unit the page and the prefix of the page behind it (absent for the last page), UNIT_BYTES long
	 * @returns false when the page was there already: nothing was written
	 */
	place(memory: Uint8Array, pageIndex: number, unit: Uint8Array): boolean {
		if (unit.length !== UNIT_BYTES) throw new RangeError(`unit must be ${UNIT_BYTES} bytes, not ${unit.length}`);
		if (!this.isMissing(pageIndex)) return false;
		const start = pageIndex * PAGE_BYTES;
		const filled = this.#prefixFilled[pageIndex] === 1 ? PREFIX_BYTES : 0;
		memory.set(unit.subarray(filled, PAGE_BYTES), start + filled);
		const next = pageIndex + 1;
		if (next < this.#pageCount && this.isMissing(next)) {
			memory.set(unit.subarray(PAGE_BYTES), start + PAGE_BYTES);
			this.#prefixFilled[next] = 1;
		}
		this.#missing[pageIndex] = 0;
		this.#remaining--;
		return true;
	}
}
