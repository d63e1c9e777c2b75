// Which pages a guest has used lately, inside its worker, as a kernel with referenced bits would know it. Two ways:
//
//   accesses   code with presence checks runs, and every page that was not used in this turn counts as missing: its first
//              use calls `arrive`, which notes it and lets it pass. A turn's end arms the pages again that were used in it
//   writes     where there is no second memory: what a dirty cursor has found since the last turn counts as used
//
// So a page's place is that of its first use (accesses) in the last turn that used it: as fine as the turns are short.
//
// Source: spec section 1 (Hines et al., proactive LRU ordering by scanning referenced bits).
import type { Clock } from "../../ports/clock.ts";
import { PAGE_BYTES } from "../../ports/guest.ts";
import { RecentPages } from "../recent-pages.ts";
import { MISSING, MISSING_OFFSET } from "./module/page-map.ts";

/** A use costs a call out of the module once a turn and page, 0.1 µs: at 10 ms and 4096 pages in use 4 % of the time. */
export const ACCESS_TURN_MS = 10;
/** A turn by writes is a harvest of the dirty log, for a scan a comparison of all memory. */
export const WRITE_TURN_MS = 100;

const PASS = 0;

/** See the head of this file: `accesses`. */
export class AccessSampler {
	readonly #clock: Clock;
	/** Of the code that runs: MISSING for a page whose next use calls out. */
	readonly #armed: Uint8Array;
	readonly #recent: RecentPages;
	/** Pages that pass without a call in this turn. */
	readonly #passing: number[] = [];
	#armedPages: number;
	#turnEndsMs: number;

	/** @param map the second memory of the code that runs */
	constructor(clock: Clock, map: WebAssembly.Memory, pageCount: number) {
		this.#clock = clock;
		this.#armed = new Uint8Array(map.buffer, MISSING_OFFSET);
		this.#recent = new RecentPages(pageCount);
		this.#armedPages = pageCount;
		this.#turnEndsMs = clock.now() + ACCESS_TURN_MS;
		this.#armed.fill(MISSING, 0, pageCount);
	}

	/** What instrumented code calls at a page's first use in a turn. */
	arrive(page: number): void {
		if (this.#clock.now() >= this.#turnEndsMs) this.turn(this.#armedPages);
		this.#recent.note(page);
		this.#armed[page] = PASS;
		this.#passing.push(page);
	}

	/** Host code uses a range. */
	touch(pointer: number, byteLength: number): void {
		const last = Math.floor((pointer + byteLength - 1) / PAGE_BYTES);
		for (let page = Math.floor(pointer / PAGE_BYTES); page <= last; page++)
			if (this.#armed[page] === MISSING) this.arrive(page);
	}

	/** Ends a turn. @param pageCount of the guest now: pages that have come into being are watched from here on */
	turn(pageCount: number): void {
		for (const page of this.#passing) this.#armed[page] = MISSING;
		this.#passing.length = 0;
		if (pageCount > this.#armedPages) this.#armed.fill(MISSING, this.#armedPages, pageCount);
		this.#armedPages = Math.max(this.#armedPages, pageCount);
		this.#turnEndsMs = this.#clock.now() + ACCESS_TURN_MS;
	}

	recentFirst(): Uint32Array<ArrayBuffer> {
		return this.#recent.recentFirst();
	}

	/** Lets every page pass: the map is used again for pages that are really missing. */
	stop(): void {
		this.#armed.fill(PASS, 0, this.#armedPages);
	}
}

/** See the head of this file: `writes`. */
export class WriteSampler {
	readonly #recent: RecentPages;

	constructor(pageCount: number) {
		this.#recent = new RecentPages(pageCount);
	}

	/** Ends a turn. @param bits pages that were written in it; of these the order is not known */
	note(bits: Uint8Array): void {
		for (let byte = 0; byte < bits.length; byte++)
			for (let left = bits[byte]!; left !== 0; left &= left - 1)
				this.#recent.note(byte * 8 + 31 - Math.clz32(left & -left));
	}

	recentFirst(): Uint32Array<ArrayBuffer> {
		return this.#recent.recentFirst();
	}
}
