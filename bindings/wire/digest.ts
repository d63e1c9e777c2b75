/**
 * The digest of a whole guest, and the table of page hashes it is made from.
 *
 *   digest = XXH3-128 over  u32 page count | u32 state byte length | state | 16 bytes per page, page 0 first
 *
 * Both sides keep a table while pages travel: the source of what it sent last, the target of what it installed. Equal
 * digests mean that every page, the state and the size agree. It detects accidents, not forgers.
 */
import type { Engine } from "../engine/engine.ts";
import { HASH_BYTES, Hasher128, hash128 } from "../engine/hash.ts";
import { PAGE_BYTES } from "../ports/guest.ts";

/** Hashes by page. A page that never travelled counts as zero: that is what a target's memory holds. */
export class PageHashTable {
	readonly #engine: Engine;
	readonly #zeroHash: Uint32Array;
	#words: Uint32Array<ArrayBuffer>;
	#pageCount: number;

	constructor(engine: Engine, pageCount: number) {
		this.#engine = engine;
		this.#zeroHash = wordsOf(hash128(engine, new Uint8Array(PAGE_BYTES)));
		this.#words = new Uint32Array(0);
		this.#pageCount = 0;
		this.grow(pageCount);
	}

	/** Pages covered. */
	get pageCount(): number {
		return this.#pageCount;
	}

	/** What the table itself costs. */
	get byteLength(): number {
		return this.#words.byteLength;
	}

	/** Adds pages at the end. A smaller number changes nothing: guests never shrink. */
	grow(pageCount: number): void {
		if (pageCount <= this.#pageCount) return;
		const grown = new Uint32Array(pageCount * 4);
		grown.set(this.#words);
		// The zero hash once, then what is there doubled: for a guest of 16 GB 15 ms instead of 400.
		const start = this.#pageCount * 4;
		grown.set(this.#zeroHash, start);
		for (let filled = 4; start + filled < grown.length; filled *= 2)
			grown.copyWithin(start + filled, start, start + filled);
		this.#words = grown;
		this.#pageCount = pageCount;
	}

	/**
	 * Notes the hashes of some pages.
	 * @param hashes - 16 bytes a page, in the order of `pageIndices`.
	 * @throws RangeError if the two do not fit each other or a page is not in the table.
	 */
	set(pageIndices: Uint32Array, hashes: Uint8Array): void {
		if (hashes.byteLength !== pageIndices.length * HASH_BYTES)
			throw new RangeError(
				`hashes: ${pageIndices.length} pages need ${pageIndices.length * HASH_BYTES} bytes, got ${hashes.byteLength}`,
			);
		const from = wordsOf(hashes);
		const [first, last] = [pageIndices[0], pageIndices.at(-1)];
		if (first !== undefined && last === first + pageIndices.length - 1 && isAscending(pageIndices)) {
			if (last >= this.#pageCount) throw new RangeError(`pageIndices: page ${last} of ${this.#pageCount}`);
			this.#words.set(from, first * 4);
			return;
		}
		for (let i = 0; i < pageIndices.length; i++) {
			const page = pageIndices[i]!;
			if (page >= this.#pageCount) throw new RangeError(`pageIndices: page ${page} of ${this.#pageCount}`);
			for (let k = 0; k < 4; k++) this.#words[page * 4 + k] = from[i * 4 + k]!;
		}
	}

	/**
	 * What is held of these pages is not what was noted: they are not zero, and differ from any page, until they are noted again.
	 * @param pages - a bit per page; those that are not in the table are not looked at.
	 */
	forget(pages: Uint8Array): void {
		for (const [i, byte] of pages.entries())
			for (let bits = byte; bits !== 0; bits &= bits - 1) {
				const page = i * 8 + 31 - Math.clz32(bits & -bits);
				if (page < this.#pageCount) this.#words.fill(0xffff_ffff, page * 4, page * 4 + 4);
			}
	}

	/** Whether a page has never travelled, or has travelled as zeros. */
	isZero(page: number): boolean {
		for (let k = 0; k < 4; k++) if (this.#words[page * 4 + k] !== this.#zeroHash[k]) return false;
		return true;
	}

	/** The first page whose hash differs from `hashes`, which begin at `firstPage`; `undefined` if none does. */
	firstDifference(firstPage: number, hashes: Uint8Array): number | undefined {
		const other = wordsOf(hashes);
		for (let i = 0; i < other.length; i++)
			if (other[i] !== this.#words[firstPage * 4 + i]) return firstPage + (i >>> 2);
		return undefined;
	}

	/** Every page from `firstPage` on whose hash differs from `hashes`. */
	differences(firstPage: number, hashes: Uint8Array): number[] {
		const other = wordsOf(hashes);
		const pages: number[] = [];
		for (let i = 0; i < other.length; i++) {
			if (other[i] === this.#words[firstPage * 4 + i]) continue;
			pages.push(firstPage + (i >>> 2));
			i |= 3; // one word is enough
		}
		return pages;
	}

	/** The hashes of some pages, 16 bytes each. A copy. */
	rangeBytes(firstPage: number, pageCount: number): Uint8Array<ArrayBuffer> {
		return new Uint8Array(this.#words.slice(firstPage * 4, (firstPage + pageCount) * 4).buffer);
	}

	/** The digest of the guest with this state, as 32 lower-case hex digits. */
	digest(state: Uint8Array): string {
		const hasher = new Hasher128(this.#engine);
		hasher.update(new Uint8Array(Uint32Array.of(this.#pageCount, state.byteLength).buffer));
		hasher.update(state);
		hasher.update(new Uint8Array(this.#words.buffer));
		return toHex(hasher.digest());
	}
}

function isAscending(pageIndices: Uint32Array): boolean {
	for (let i = 1; i < pageIndices.length; i++) if (pageIndices[i]! <= pageIndices[i - 1]!) return false;
	return true;
}

/** The bytes as u32, copied only where they are not aligned for it. */
function wordsOf(bytes: Uint8Array): Uint32Array {
	if (bytes.byteOffset % 4 === 0) return new Uint32Array(bytes.buffer, bytes.byteOffset, bytes.byteLength >>> 2);
	return new Uint32Array(bytes.slice().buffer);
}

/** Lower-case hex. */
export function toHex(bytes: Uint8Array): string {
	return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
}

/**
 * What makes a checkpoint one thing: XXH3-128 over u32 epoch | u32 page count | u64 checksum of each batch, in order | state.
 * The batches' checksums cover their pages.
 */
export function checkpointDigest(
	engine: Engine,
	epoch: number,
	pageCount: number,
	checksums: readonly bigint[],
	state: Uint8Array,
): string {
	const bytes = new Uint8Array(8 + checksums.length * 8 + state.byteLength);
	const view = new DataView(bytes.buffer);
	view.setUint32(0, epoch, true);
	view.setUint32(4, pageCount, true);
	for (const [i, checksum] of checksums.entries()) view.setBigUint64(8 + i * 8, checksum, true);
	bytes.set(state, 8 + checksums.length * 8);
	return toHex(hash128(engine, bytes));
}
