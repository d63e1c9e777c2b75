// Dirty pages by the marks of code with a write barrier. The code marks in a map of its own (module/page-map.ts); host code
// marks what it says it has written. Attached only while a cursor is open: then the guest's code is the variant with the
// barrier, and else it is plain.
//
// Invariant: a mark is taken into every cursor's bits before anything reads them, and cleared before the page can be read.
import { GuestError } from "../../ports/guest.ts";
import { bitsByteLength, countBits, orBits, setBits } from "../page-bits.ts";
import type { Harvest } from "../scan-tracker.ts";
import type { DirtyTracker } from "./dirty-tracker.ts";
import { MarkedPages } from "./marked-pages.ts";
import { DIRTY_OFFSET } from "./module/page-map.ts";

const PAGE_BYTES = 4096;

/** See the head of this file. */
export class BarrierTracker implements DirtyTracker {
	readonly #memory: WebAssembly.Memory;
	readonly #cursors: Map<number, Uint8Array<ArrayBuffer>> = new Map();
	#map: WebAssembly.Memory | undefined;
	#marked: MarkedPages | undefined;
	#nextCursor = 1;

	constructor(memory: WebAssembly.Memory) {
		this.#memory = memory;
	}

	/** Pages are encoded from the memory itself. */
	get attached(): boolean {
		return false;
	}

	/** Cursors that are open. */
	get cursors(): number {
		return this.#cursors.size;
	}

	get #bytes(): Uint8Array {
		return new Uint8Array(this.#memory.buffer);
	}

	/** From now on the marks are in this map: that of the code that is about to run. Undefined: no code marks anything. */
	bind(map: WebAssembly.Memory | undefined): void {
		if (map === this.#map) return;
		this.#collect();
		this.#map = map;
		this.#marked = map && new MarkedPages(map, this.#bytes);
	}

	/** Host code has written here. */
	wrote(pointer: number, byteLength: number): void {
		if (this.#map === undefined || byteLength === 0) return;
		const first = Math.floor(pointer / PAGE_BYTES);
		const last = Math.floor((pointer + byteLength - 1) / PAGE_BYTES);
		new Uint8Array(this.#map.buffer, DIRTY_OFFSET).fill(1, first, last + 1);
	}

	// biome-ignore lint/correctness/useYield: it has the shape of a tracker whose work is long
	*open(): Generator<void, number> {
		if (this.#marked === undefined) throw new GuestError("state", "a cursor of the barrier without its code");
		this.#collect();
		const cursor = this.#nextCursor++;
		this.#cursors.set(cursor, new Uint8Array(bitsByteLength(this.#pageCount)));
		return cursor;
	}

	get #pageCount(): number {
		return this.#memory.buffer.byteLength / PAGE_BYTES;
	}

	// biome-ignore lint/correctness/useYield: see open
	*peek(
		cursor: number,
		firstPage: number,
		pageCount: number,
		candidates?: Uint8Array,
	): Generator<void, Uint8Array<ArrayBuffer>> {
		this.#collect();
		const from = firstPage >>> 3;
		const result = new Uint8Array(bitsByteLength(pageCount));
		result.set(this.#bits(cursor).subarray(from, from + result.length));
		if (candidates !== undefined) for (let i = 0; i < result.length; i++) result[i]! &= candidates[i]!;
		if (pageCount % 8 !== 0) result[result.length - 1]! &= (1 << (pageCount % 8)) - 1;
		return result;
	}

	// biome-ignore lint/correctness/useYield: see open
	*harvest(cursor: number): Generator<void, Harvest> {
		this.#collect();
		const own = this.#bits(cursor);
		const bits = own.slice();
		own.fill(0);
		return { bits, dirtyCount: countBits(bits), pageCount: this.#pageCount };
	}

	putBack(cursor: number, bits: Uint8Array): void {
		const own = this.#bits(cursor);
		if (bits.length > own.length) throw new RangeError(`bits has ${bits.length} bytes, the memory only ${own.length}`);
		orBits(own, bits);
	}

	close(cursor: number): void {
		this.#cursors.delete(cursor);
	}

	*cover(): Generator<void, void> {}

	/** Takes the marks into every cursor's bits; pages that have come into being are dirty for all. */
	#collect(): void {
		if (this.#marked === undefined) return;
		const pages = this.#marked.harvest(this.#bytes);
		const byteLength = bitsByteLength(this.#pageCount);
		for (const [cursor, bits] of this.#cursors) {
			const own = bits.length < byteLength ? this.#grown(cursor, bits, byteLength) : bits;
			for (const page of pages) own[page >>> 3]! |= 1 << (page & 7);
		}
	}

	#grown(cursor: number, bits: Uint8Array, byteLength: number): Uint8Array<ArrayBuffer> {
		const grown = new Uint8Array(byteLength);
		grown.set(bits);
		setBits(grown, bits.length * 8, this.#pageCount - bits.length * 8);
		this.#cursors.set(cursor, grown);
		return grown;
	}

	#bits(cursor: number): Uint8Array<ArrayBuffer> {
		const bits = this.#cursors.get(cursor);
		if (bits === undefined) throw new TypeError("this cursor is closed");
		return bits;
	}
}
