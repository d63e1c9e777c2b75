/**
 * The synthetic guest's dirty log: exact, one bit per page and cursor. Plain words instead of the engine's bitmaps, because
 * a workload marks a hundred million pages a run, one by one.
 */
import { type DirtyCursor, type DirtyLog, GuestError, type PageBits } from "../ports/guest.ts";

/** What the log needs from its guest. */
interface LogHost {
	/** Lets the workload catch up with the time: what it did until now is marked. */
	catchUp(): void;
	pageCount(): number;
	readonly maximumPageCount: number;
	gone(): boolean;
	/** Looks through so many pages: when it resolves there was CPU time for it; at once on a host without a CPU model. */
	scan(pages: number): Promise<void> | undefined;
}

/** See the head of this file. */
export class SyntheticDirtyLog implements DirtyLog {
	readonly tracker = "writes";
	readonly #host: LogHost;
	/** Bits of the open cursors. One cursor, the usual case, costs one store a mark. */
	#open: Uint8Array<ArrayBuffer>[] = [];

	constructor(host: LogHost) {
		this.#host = host;
	}

	/** Marks a page in every open cursor. */
	mark(page: number): void {
		const bit = 1 << (page & 7);
		for (const bits of this.#open) bits[page >>> 3]! |= bit;
	}

	/** The bits to mark in, for a workload's inner loop; `undefined` while nobody looks. */
	get only(): Uint8Array<ArrayBuffer> | undefined {
		return this.#open.length === 1 ? this.#open[0] : undefined;
	}

	/** Whether nobody looks. */
	get idle(): boolean {
		return this.#open.length === 0;
	}

	open(): Promise<DirtyCursor> {
		if (this.#host.gone()) return Promise.reject(new GuestError("gone", "the guest has been discarded"));
		this.#host.catchUp(); // changes count from now
		const bits = new Uint8Array(Math.ceil(this.#host.maximumPageCount / 32) * 4);
		this.#open.push(bits);
		return Promise.resolve({
			peek: async (firstPage, pageCount, candidates) => {
				const scanned = this.#host.scan(pageCount);
				if (scanned !== undefined) await scanned;
				return this.#peek(bits, firstPage, pageCount, candidates);
			},
			harvest: async () => {
				const scanned = this.#host.scan(this.#host.pageCount());
				if (scanned !== undefined) await scanned;
				this.#host.catchUp();
				const pageCount = this.#host.pageCount();
				const byteLength = Math.ceil(pageCount / 8);
				const harvested = bits.slice(0, byteLength);
				bits.fill(0, 0, byteLength);
				return { bits: harvested, dirtyCount: countWords(harvested), pageCount };
			},
			putBack: async (harvested) => {
				for (let i = 0; i < harvested.length; i++) bits[i]! |= harvested[i]!;
			},
			close: async () => {
				this.#open = this.#open.filter((other) => other !== bits);
			},
		});
	}

	#peek(bits: Uint8Array, firstPage: number, pageCount: number, candidates: PageBits | undefined): PageBits {
		this.#host.catchUp();
		const range = bits.slice(firstPage >>> 3, (firstPage >>> 3) + Math.ceil(pageCount / 8));
		if (pageCount % 8 !== 0) range[range.length - 1]! &= (1 << (pageCount & 7)) - 1;
		if (candidates !== undefined) for (let i = 0; i < range.length; i++) range[i]! &= candidates[i]!;
		return range;
	}
}

function countWords(bits: Uint8Array<ArrayBuffer>): number {
	const whole = bits.length >>> 2;
	const words = new Uint32Array(bits.buffer, 0, whole);
	let count = 0;
	for (let i = 0; i < whole; i++) if (words[i] !== 0) count += ones(words[i]!);
	for (let i = whole * 4; i < bits.length; i++) count += ones(bits[i]!);
	return count;
}

/** Set bits of a word. */
function ones(word: number): number {
	let bits = word - ((word >>> 1) & 0x55555555);
	bits = (bits & 0x33333333) + ((bits >>> 2) & 0x33333333);
	return Math.imul((bits + (bits >>> 4)) & 0x0f0f0f0f, 0x01010101) >>> 24;
}
