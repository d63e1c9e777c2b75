/**
 * The pages of a memory guest that its program has free, and its balloon. A program that wants one says which pages it does
 * not need ({@link PageAllocator.free}) and takes pages from here ({@link PageAllocator.allocate}).
 *
 * Invariant: a page is in use, free or out; what is out is zero.
 */
import type { BalloonReport, GuestBalloon } from "../../ports/ballooning-guest.ts";
import { GuestError, type PageBits } from "../../ports/guest.ts";
import { bitsByteLength } from "../page-bits.ts";

/** Taken back from the balloon at a time when nothing is free. */
const PRESSURE_PAGES = 128;

/** What the allocator needs of its guest. */
interface AllocatorHost {
	pageCount(): number;
	/** @throws {GuestError} unless the guest runs */
	requireRunning(): void;
	/** @throws {GuestError} when the guest is gone */
	requirePresent(): void;
	/** Makes pages zero, and notes the change. */
	wipe(firstPage: number, pageCount: number): void;
}

/** See the head of this file. */
export class PageAllocator implements GuestBalloon {
	readonly #host: AllocatorHost;
	readonly #free = new Set<number>();
	readonly #out = new Set<number>();
	#pressurePages = 0;

	/** Made by the guest. */
	constructor(host: AllocatorHost) {
		this.#host = host;
	}

	/** The program does not need these pages any more: what they hold may be lost. @throws RangeError, {GuestError} `not-running` */
	free(firstPage: number, pageCount: number): void {
		this.#host.requireRunning();
		if (firstPage < 0 || firstPage + pageCount > this.#host.pageCount())
			throw new RangeError(`firstPage: pages ${firstPage} … ${firstPage + pageCount - 1} do not all exist`);
		for (let page = firstPage; page < firstPage + pageCount; page++) if (!this.#out.has(page)) this.#free.add(page);
	}

	/**
	 * A page for the program; its contents are undefined. Under pressure pages come back from the balloon.
	 * @returns its index; `undefined` when there is none. @throws {GuestError} `not-running`
	 */
	allocate(): number | undefined {
		this.#host.requireRunning();
		if (this.#free.size === 0 && this.#out.size > 0) this.#pressurePages += this.#takeBack(PRESSURE_PAGES).length;
		const [page] = this.#free;
		if (page !== undefined) this.#free.delete(page);
		return page;
	}

	async report(): Promise<BalloonReport> {
		this.#host.requirePresent();
		const pressurePages = this.#pressurePages;
		this.#pressurePages = 0;
		return { freePages: this.#free.size, pressurePages };
	}

	async inflate(pages: number): Promise<Uint32Array> {
		this.#host.requireRunning();
		const chosen = first(this.#free, pages);
		for (const page of chosen) {
			this.#host.wipe(page, 1);
			this.#free.delete(page);
			this.#out.add(page);
		}
		return chosen;
	}

	async deflate(pages: number): Promise<Uint32Array> {
		this.#host.requireRunning();
		return this.#takeBack(pages);
	}

	async out(): Promise<PageBits> {
		this.#host.requirePresent();
		const bits = new Uint8Array(bitsByteLength(this.#host.pageCount()));
		for (const page of this.#out) bits[page >>> 3]! |= 1 << (page & 7);
		return bits;
	}

	/** Before a write. @throws {GuestError} `state` for a page that is out: what is written there would be lost */
	checkUse(firstPage: number, pageCount: number): void {
		if (this.#out.size === 0) return;
		for (let page = firstPage; page < firstPage + pageCount; page++)
			if (this.#out.has(page))
				throw new GuestError("state", `page ${page} is in the balloon: allocate it before it is written to`);
	}

	#takeBack(pages: number): Uint32Array {
		const chosen = first(this.#out, pages);
		for (const page of chosen) {
			this.#out.delete(page);
			this.#free.add(page);
		}
		return chosen;
	}
}

function first(pages: ReadonlySet<number>, count: number): Uint32Array {
	const chosen: number[] = [];
	for (const page of pages) {
		if (chosen.length >= count) break;
		chosen.push(page);
	}
	return Uint32Array.from(chosen).sort();
}
