// Harvesting the pages that code with a write barrier marked (`module/instrument.ts`). Code judges a store by the page it
// starts on, and a store is at most 16 bytes long; what crosses into the next page is seen by that page's first bytes, its
// *prefix*.
import { DIRTY_OFFSET } from "./module/page-map.ts";

const PAGE_BYTES = 4096;
/** The longest access is a vector's. */
const PREFIX_BYTES = 16;

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
