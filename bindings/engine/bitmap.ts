// Sets of pages as bitmaps in the engine's memory. assembly/bitmap.ts has the layout and its invariants.
import { checkInteger, type Engine, type Region } from "./engine.ts";
import {
	BITMAP_BLOCK_BITS,
	BITMAP_LIMIT_BITS,
	bitmapLayout,
	CELL_OFFSET,
	STAGING_BYTES,
	STAGING_OFFSET,
} from "./layout.ts";
import type { PageList } from "./page-list.ts";

const UNKNOWN = -1;

/**
 * A bitmap over page indices 0 … bitCount − 1. All bits are clear at first.
 *
 * A summary level makes sparse sets fast: at 1 bit in 10 000 most operations touch a 64th of the memory. Every method
 * validates its arguments once and throws RangeError naming the argument.
 *
 * @example
 * ```ts
 * import { Bitmap } from "./bitmap.ts";
 * import { createEngine } from "./engine.ts";
 * const dirty = new Bitmap(createEngine(), 65536);
 * dirty.set(7);
 * dirty.setRange(100, 3);
 * dirty.count(); // 4
 * dirty.harvestList(); // Uint32Array [7, 100, 101, 102], and the bitmap is empty
 * ```
 */
export class Bitmap {
	/** The engine that holds the bits. */
	readonly engine: Engine;
	/** Pages covered. */
	readonly bitCount: number;
	/** Blocks of 4096 bits: what kernels are told. */
	readonly blockCount: number;
	/** Where the words and the summary lie. */
	readonly region: Region;
	#count = 0;

	/**
	 * @param bitCount pages to cover, 1 … 2^30
	 * @throws RangeError for a wrong bit count or when the engine's memory is exhausted
	 */
	constructor(engine: Engine, bitCount: number) {
		checkInteger("bitCount", bitCount, 1, BITMAP_LIMIT_BITS);
		const { blockCount, byteLength } = bitmapLayout(bitCount);
		this.engine = engine;
		this.bitCount = bitCount;
		this.blockCount = blockCount;
		this.region = engine.allocate(byteLength);
	}

	/**
	 * Sets one bit.
	 *
	 * @returns whether it was clear before
	 * @throws RangeError
	 */
	set(index: number): boolean {
		this.#checkIndex(index);
		const changed = this.engine.exports.bitmapSet(this.region.offset, this.blockCount, index) === 1;
		if (changed && this.#count !== UNKNOWN) this.#count++;
		return changed;
	}

	/**
	 * Clears one bit.
	 *
	 * @returns whether it was set before
	 * @throws RangeError
	 */
	clear(index: number): boolean {
		this.#checkIndex(index);
		const changed = this.engine.exports.bitmapClear(this.region.offset, this.blockCount, index) === 1;
		if (changed && this.#count !== UNKNOWN) this.#count--;
		return changed;
	}

	/** @throws RangeError */
	has(index: number): boolean {
		this.#checkIndex(index);
		return this.engine.exports.bitmapHas(this.region.offset, index) === 1;
	}

	/**
	 * Sets the bits first … first + count − 1.
	 *
	 * @throws RangeError
	 */
	setRange(first: number, count: number): void {
		this.#fill(first, count, 1);
	}

	/**
	 * Clears the bits first … first + count − 1.
	 *
	 * @throws RangeError
	 */
	clearRange(first: number, count: number): void {
		this.#fill(first, count, 0);
	}

	/** Sets every bit. */
	setAll(): void {
		this.#fill(0, this.bitCount, 1);
		this.#count = this.bitCount;
	}

	/** Clears every bit. */
	clearAll(): void {
		// The whole region, so that the summary is exact again.
		this.engine.view(this.region).fill(0);
		this.#count = 0;
	}

	/** Number of set bits; kept while bits change one by one, counted anew after bulk operations. */
	count(): number {
		if (this.#count === UNKNOWN) this.#count = this.countRange(0, this.bitCount);
		return this.#count;
	}

	/**
	 * Number of set bits among first … first + count − 1.
	 *
	 * @throws RangeError
	 */
	countRange(first: number, count: number): number {
		this.checkRange(first, count);
		return this.engine.exports.bitmapCount(this.region.offset, this.blockCount, first, first + count);
	}

	/**
	 * First set bit at or after `first`; `bitCount` if there is none.
	 *
	 * @throws RangeError
	 */
	next(first: number): number {
		checkInteger("first", first, 0, this.bitCount);
		return this.engine.exports.bitmapNext(this.region.offset, this.blockCount, first, this.bitCount);
	}

	/** this := this and not other. @throws RangeError for a bitmap of another size, TypeError for another engine's */
	andNot(other: Bitmap): void {
		this.checkPeer("other", other);
		this.engine.exports.bitmapAndNot(this.region.offset, other.region.offset, this.blockCount);
		this.#count = UNKNOWN;
	}

	/** this := this or other. @throws RangeError for a bitmap of another size, TypeError for another engine's */
	or(other: Bitmap): void {
		this.checkPeer("other", other);
		this.engine.exports.bitmapOr(this.region.offset, other.region.offset, this.blockCount);
		this.#count = UNKNOWN;
	}

	/** this := this and other. @throws RangeError for a bitmap of another size, TypeError for another engine's */
	and(other: Bitmap): void {
		this.checkPeer("other", other);
		this.engine.exports.bitmapAnd(this.region.offset, other.region.offset, this.blockCount);
		this.#count = UNKNOWN;
	}

	/** this := other. @throws RangeError for a bitmap of another size, TypeError for another engine's */
	copyFrom(other: Bitmap): void {
		this.checkPeer("other", other);
		this.engine.exports.bitmapCopy(this.region.offset, other.region.offset, this.blockCount);
		this.#count = other.#count;
	}

	/** Whether both hold the same bits. @throws RangeError for another size, TypeError for another engine's */
	equals(other: Bitmap): boolean {
		this.checkPeer("other", other);
		return this.engine.exports.bitmapEqual(this.region.offset, other.region.offset, this.blockCount) === 1;
	}

	/**
	 * The set bits among first … first + count − 1, ascending, as page indices.
	 *
	 * @throws RangeError
	 */
	list(first = 0, count: number = this.bitCount - first): Uint32Array<ArrayBuffer> {
		this.checkRange(first, count);
		const total = count === this.bitCount ? this.count() : this.countRange(first, count);
		return this.#gather("bitmapList", first, first + count, total);
	}

	/** Reads and clears in one step. @returns the bits that were set, ascending, as page indices */
	harvestList(): Uint32Array<ArrayBuffer> {
		const indices = this.#gather("bitmapHarvest", 0, this.bitCount, this.count());
		this.#count = 0;
		return indices;
	}

	/**
	 * Reads and clears into a list that stays in the engine, as far as it has room: for sets larger than one batch.
	 *
	 * @param into is overwritten
	 * @param first bit to start from
	 * @returns the bit to go on from, `bitCount` when all is read
	 * @throws RangeError
	 */
	harvestInto(into: PageList, first = 0): number {
		const next = this.#into("bitmapHarvest", into, first, this.bitCount);
		if (this.#count !== UNKNOWN) this.#count -= into.length;
		return next;
	}

	/**
	 * Reads without clearing into a list that stays in the engine, as far as it has room.
	 *
	 * @param into is overwritten
	 * @returns the bit to go on from, first + count when all is read
	 * @throws RangeError
	 */
	listInto(into: PageList, first = 0, count: number = this.bitCount - first): number {
		this.checkRange(first, count);
		return this.#into("bitmapList", into, first, first + count);
	}

	/** The maximal runs of set bits as (first, length) pairs, ascending. */
	runs(): Uint32Array<ArrayBuffer> {
		return this.#gatherRuns("bitmapRuns");
	}

	/** Reads the runs of set bits and clears them in one step. @returns (first, length) pairs, ascending */
	harvestRuns(): Uint32Array<ArrayBuffer> {
		const runs = this.#gatherRuns("bitmapHarvestRuns");
		this.#count = 0;
		return runs;
	}

	/** The bits as bytes, bit i in byte i / 8 at position i mod 8: ⌈bitCount / 8⌉ bytes. A copy. */
	toBytes(): Uint8Array<ArrayBuffer> {
		const { offset } = this.region;
		return this.engine.bytes.slice(offset, offset + Math.ceil(this.bitCount / 8));
	}

	/**
	 * Replaces all bits.
	 *
	 * @param bytes as {@link toBytes} gives them
	 * @throws RangeError for another length, or when a bit beyond `bitCount` is set
	 */
	loadBytes(bytes: Uint8Array): void {
		const expected = Math.ceil(this.bitCount / 8);
		if (bytes.byteLength !== expected)
			throw new RangeError(`bytes must hold ${expected} bytes for ${this.bitCount} bits, got ${bytes.byteLength}`);
		const lastBits = this.bitCount % 8;
		if (lastBits !== 0 && bytes[expected - 1]! >>> lastBits !== 0)
			throw new RangeError(`bytes sets bits beyond ${this.bitCount}`);
		this.engine.bytes.set(bytes, this.region.offset);
		this.engine.exports.bitmapSummarize(this.region.offset, this.blockCount, 0, this.blockCount);
		this.#count = UNKNOWN;
	}

	/**
	 * The bits of a range as bytes: bit first + i in byte i / 8 at position i mod 8. A copy; bits behind the range are clear.
	 *
	 * @param first a multiple of 8
	 * @throws RangeError
	 */
	rangeBytes(first: number, count: number): Uint8Array<ArrayBuffer> {
		const from = this.#byteRange(first, count);
		const bytes = this.engine.bytes.slice(from, from + Math.ceil(count / 8));
		if (count % 8 !== 0) bytes[bytes.length - 1]! &= (1 << (count % 8)) - 1;
		return bytes;
	}

	/**
	 * Replaces the bits of a range.
	 *
	 * @param first a multiple of 8
	 * @param bytes as {@link rangeBytes} gives them; bits behind `count` are ignored
	 * @throws RangeError
	 */
	loadRange(first: number, count: number, bytes: Uint8Array): void {
		const from = this.#byteRange(first, count, bytes);
		const whole = count >>> 3;
		const to = this.engine.bytes;
		to.set(bytes.subarray(0, whole), from);
		// The last byte may hold bits of other pages, or of none: a bit beyond bitCount would break the bitmap.
		const mask = (1 << (count & 7)) - 1;
		if (mask !== 0) to[from + whole] = (to[from + whole]! & ~mask) | (bytes[whole]! & mask);
		this.#summarizeRange(first, count);
	}

	/**
	 * Adds the bits of a range to those that are set.
	 *
	 * @param first a multiple of 8
	 * @param bytes as {@link rangeBytes} gives them; bits behind `count` are ignored
	 * @throws RangeError
	 */
	orRange(first: number, count: number, bytes: Uint8Array): void {
		const from = this.#byteRange(first, count, bytes);
		const whole = count >>> 3;
		const to = this.engine.bytes;
		for (let i = 0; i < whole; i++) to[from + i]! |= bytes[i]!;
		const mask = (1 << (count & 7)) - 1;
		if (mask !== 0) to[from + whole]! |= bytes[whole]! & mask;
		this.#summarizeRange(first, count);
	}

	/** For kernels that write into the bitmap: the count is no longer known. */
	noteWritten(): void {
		this.#count = UNKNOWN;
	}

	/** @throws RangeError unless first … first + count − 1 lie in the bitmap */
	checkRange(first: number, count: number): void {
		checkInteger("first", first, 0, this.bitCount);
		checkInteger("count", count, 0, this.bitCount - first);
	}

	/** @throws TypeError for another engine's bitmap, RangeError for one of another size */
	checkPeer(name: string, other: Bitmap): void {
		if (other.engine !== this.engine) throw new TypeError(`${name} belongs to another engine`);
		if (other.bitCount !== this.bitCount)
			throw new RangeError(`${name} has ${other.bitCount} bits, expected ${this.bitCount}`);
	}

	#byteRange(first: number, count: number, bytes?: Uint8Array): number {
		this.checkRange(first, count);
		if (first % 8 !== 0) throw new RangeError(`first must be a multiple of 8, got ${first}`);
		if (bytes !== undefined && bytes.byteLength < Math.ceil(count / 8))
			throw new RangeError(`bytes must hold ${Math.ceil(count / 8)} bytes for ${count} bits, got ${bytes.byteLength}`);
		return this.region.offset + first / 8;
	}

	#summarizeRange(first: number, count: number): void {
		const firstBlock = Math.floor(first / BITMAP_BLOCK_BITS);
		const endBlock = Math.ceil((first + count) / BITMAP_BLOCK_BITS);
		this.engine.exports.bitmapSummarize(this.region.offset, this.blockCount, firstBlock, endBlock);
		this.#count = UNKNOWN;
	}

	#checkIndex(index: number): void {
		if (!(Number.isInteger(index) && index >= 0 && index < this.bitCount))
			throw new RangeError(`index must be an integer from 0 to ${this.bitCount - 1}, got ${index}`);
	}

	#fill(first: number, count: number, value: 0 | 1): void {
		this.checkRange(first, count);
		this.engine.exports.bitmapFill(this.region.offset, this.blockCount, first, first + count, value);
		this.#count = UNKNOWN;
	}

	#into(kernel: "bitmapList" | "bitmapHarvest", into: PageList, first: number, end: number): number {
		checkInteger("first", first, 0, this.bitCount);
		if (into.engine !== this.engine) throw new TypeError("into belongs to another engine");
		const { words, exports } = this.engine;
		words[CELL_OFFSET >>> 2] = first;
		into.length = exports[kernel](
			this.region.offset,
			this.blockCount,
			CELL_OFFSET,
			end,
			into.region.offset,
			into.capacity,
		);
		return words[CELL_OFFSET >>> 2]!;
	}

	#gather(kernel: "bitmapList" | "bitmapHarvest", first: number, end: number, total: number): Uint32Array<ArrayBuffer> {
		const { words, exports } = this.engine;
		const result = new Uint32Array(total);
		const staging = STAGING_OFFSET >>> 2;
		words[CELL_OFFSET >>> 2] = first;
		for (let filled = 0; filled < total; ) {
			const got = exports[kernel](
				this.region.offset,
				this.blockCount,
				CELL_OFFSET,
				end,
				STAGING_OFFSET,
				STAGING_BYTES / 4,
			);
			// allowed (bare-error): an invariant of this folder's own code, which no caller can break
			if (got === 0) throw new Error(`bitmap: ${total} bits counted, ${filled} found: written without noteWritten`);
			result.set(words.subarray(staging, staging + got), filled);
			filled += got;
		}
		return result;
	}

	#gatherRuns(kernel: "bitmapRuns" | "bitmapHarvestRuns"): Uint32Array<ArrayBuffer> {
		const { words, exports } = this.engine;
		const parts: Uint32Array<ArrayBuffer>[] = [];
		const staging = STAGING_OFFSET >>> 2;
		const capacity = STAGING_BYTES / 8;
		words[CELL_OFFSET >>> 2] = 0;
		for (let got = capacity; got === capacity; ) {
			got = exports[kernel](this.region.offset, this.blockCount, CELL_OFFSET, this.bitCount, STAGING_OFFSET, capacity);
			parts.push(words.slice(staging, staging + got * 2));
		}
		if (parts.length === 1) return parts[0]!;
		const result = new Uint32Array(parts.reduce((sum, part) => sum + part.length, 0));
		let at = 0;
		for (const part of parts) {
			result.set(part, at);
			at += part.length;
		}
		return result;
	}
}
