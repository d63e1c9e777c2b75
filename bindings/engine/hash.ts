// XXH3, bit-exact (assembly/hash.ts): page hashes, digests of byte arrays, and an incremental form for long inputs.
//
// A 128-bit result is 16 bytes, low 64 bits first, each little-endian, as the kernels store them. XXH3 detects accidents; it
// is no defence against a forger.
import { checkPages } from "./compare.ts";
import { checkInteger, type Engine, type Region } from "./engine.ts";
import {
	HASH_RESULT_OFFSET,
	HASH_STATE_OFFSET,
	LIST_SLACK_BYTES,
	PAGE_BYTES,
	SECRET_OFFSET,
	STAGING_BYTES,
	STAGING_OFFSET,
} from "./layout.ts";
import type { PageList } from "./page-list.ts";

/** Bytes of a page hash and of a digest. */
export const HASH_BYTES: number = 16;

/** Bytes of a streaming state. */
export const STATE_BYTES: number = 512;

/** Feeds bytes from outside the engine to a streaming state, a staging area at a time. */
function feed(engine: Engine, state: number, bytes: Uint8Array): void {
	for (let at = 0; at < bytes.byteLength; at += STAGING_BYTES) {
		const piece = bytes.subarray(at, at + STAGING_BYTES);
		engine.bytes.set(piece, STAGING_OFFSET);
		engine.exports.hashUpdate(SECRET_OFFSET, state, STAGING_OFFSET, piece.byteLength);
	}
}

/** Hashes bytes into HASH_RESULT_OFFSET. */
function hashOnce(engine: Engine, bytes: Uint8Array, bits: 64 | 128): void {
	const { exports } = engine;
	if (bytes.byteLength <= STAGING_BYTES) {
		engine.bytes.set(bytes, STAGING_OFFSET);
		const kernel = bits === 64 ? exports.hash64 : exports.hash128;
		kernel(SECRET_OFFSET, STAGING_OFFSET, bytes.byteLength, HASH_RESULT_OFFSET);
		return;
	}
	exports.hashStart(HASH_STATE_OFFSET);
	feed(engine, HASH_STATE_OFFSET, bytes);
	const kernel = bits === 64 ? exports.hashDigest64 : exports.hashDigest128;
	kernel(SECRET_OFFSET, HASH_STATE_OFFSET, HASH_RESULT_OFFSET);
}

/**
 * XXH3_64bits of any number of bytes.
 *
 * @returns the hash as an unsigned 64-bit integer
 * @example
 * ```ts
 * import { createEngine } from "./engine.ts";
 * import { hash64 } from "./hash.ts";
 * hash64(createEngine(), new Uint8Array(0)).toString(16); // "2d06800538d394c2"
 * ```
 */
export function hash64(engine: Engine, bytes: Uint8Array): bigint {
	hashOnce(engine, bytes, 64);
	const at = HASH_RESULT_OFFSET >>> 2;
	return (BigInt(engine.words[at + 1]!) << 32n) | BigInt(engine.words[at]!);
}

/**
 * XXH3_64bits of bytes that already lie in the engine: no copy.
 *
 * @returns the hash as an unsigned 64-bit integer
 * @throws RangeError when the region is not this engine's
 */
export function hash64Region(engine: Engine, region: Region): bigint {
	engine.checkRegion("region", region, region.byteLength);
	engine.exports.hash64(SECRET_OFFSET, region.offset, region.byteLength, HASH_RESULT_OFFSET);
	const at = HASH_RESULT_OFFSET >>> 2;
	return (BigInt(engine.words[at + 1]!) << 32n) | BigInt(engine.words[at]!);
}

/**
 * XXH3_128bits of any number of bytes.
 *
 * @returns 16 bytes: low 64 bits, high 64 bits, each little-endian
 */
export function hash128(engine: Engine, bytes: Uint8Array): Uint8Array<ArrayBuffer> {
	hashOnce(engine, bytes, 128);
	return engine.bytes.slice(HASH_RESULT_OFFSET, HASH_RESULT_OFFSET + HASH_BYTES);
}

/**
 * XXH3_128bits fed in pieces: bit-exact with {@link hash128} of their concatenation, whatever the pieces.
 *
 * @example
 * ```ts
 * import { createEngine } from "./engine.ts";
 * import { Hasher128 } from "./hash.ts";
 * const hasher = new Hasher128(createEngine());
 * hasher.update(new Uint8Array([1, 2])).update(new Uint8Array([3])).digest(); // 16 bytes
 * ```
 */
export class Hasher128 {
	readonly #engine: Engine;
	readonly #state: number;

	/** @param engine in which the state (512 bytes) is allocated */
	constructor(engine: Engine) {
		this.#engine = engine;
		this.#state = engine.allocate(STATE_BYTES).offset;
		this.reset();
	}

	/** Forgets everything fed so far, to use the state again. */
	reset(): this {
		this.#engine.exports.hashStart(this.#state);
		return this;
	}

	/** Feeds bytes from outside the engine. */
	update(bytes: Uint8Array): this {
		feed(this.#engine, this.#state, bytes);
		return this;
	}

	/** Feeds bytes that already lie in the engine. @throws RangeError when the region is not this engine's */
	updateRegion(region: Region): this {
		this.#engine.checkRegion("region", region, region.byteLength);
		this.#engine.exports.hashUpdate(SECRET_OFFSET, this.#state, region.offset, region.byteLength);
		return this;
	}

	/** The hash of all that was fed: 16 bytes as {@link hash128} gives them. Feeding may go on. */
	digest(): Uint8Array<ArrayBuffer> {
		this.#engine.exports.hashDigest128(SECRET_OFFSET, this.#state, HASH_RESULT_OFFSET);
		return this.#engine.bytes.slice(HASH_RESULT_OFFSET, HASH_RESULT_OFFSET + HASH_BYTES);
	}
}

/**
 * Hashes whole pages, many per call.
 *
 * @example
 * ```ts
 * import { createEngine } from "./engine.ts";
 * import { PageHasher } from "./hash.ts";
 * const engine = createEngine();
 * const pages = engine.allocate(4 * 4096);
 * new PageHasher(engine).hashPages(pages, 1, 2).byteLength; // 32: pages 1 and 2
 * ```
 */
export class PageHasher {
	readonly #engine: Engine;
	// Results leave in pieces through staging.
	readonly #pieceHashes = Math.floor((STAGING_BYTES - LIST_SLACK_BYTES) / HASH_BYTES);

	/** @param engine that holds the pages */
	constructor(engine: Engine) {
		this.#engine = engine;
	}

	/**
	 * XXH3-128 of pages first … first + count − 1.
	 *
	 * @param count pages, by default all that the region holds from `first`
	 * @returns 16 bytes per page, in order
	 * @throws RangeError when the region holds fewer pages
	 */
	hashPages(
		pages: Region,
		first = 0,
		count: number = Math.floor(pages.byteLength / PAGE_BYTES) - first,
	): Uint8Array<ArrayBuffer> {
		const offset = checkPages(this.#engine, "pages", pages, first, count);
		const result = new Uint8Array(count * HASH_BYTES);
		const { bytes, exports } = this.#engine;
		for (let done = 0; done < count; done += this.#pieceHashes) {
			const piece = Math.min(count - done, this.#pieceHashes);
			exports.hashPages128(SECRET_OFFSET, offset + done * PAGE_BYTES, piece, STAGING_OFFSET);
			result.set(bytes.subarray(STAGING_OFFSET, STAGING_OFFSET + piece * HASH_BYTES), done * HASH_BYTES);
		}
		return result;
	}

	/**
	 * XXH3-128 of pages first … first + count − 1 into a region that stays in the engine.
	 *
	 * @param into at least 16 × count bytes; hash i of the call at byte 16 i
	 * @throws RangeError when a region is too small
	 */
	hashPagesInto(pages: Region, first: number, count: number, into: Region): void {
		const offset = checkPages(this.#engine, "pages", pages, first, count);
		this.#engine.checkRegion("into", into, count * HASH_BYTES);
		this.#engine.exports.hashPages128(SECRET_OFFSET, offset, count, into.offset);
	}

	/**
	 * XXH3-128 of the listed pages.
	 *
	 * @param list page indices within the region, in any order
	 * @returns 16 bytes per entry, in the list's order
	 * @throws RangeError when an index lies outside the region
	 */
	hashList(pages: Region, list: PageList): Uint8Array<ArrayBuffer> {
		if (list.engine !== this.#engine) throw new TypeError("list belongs to another engine");
		const held = Math.floor(pages.byteLength / PAGE_BYTES);
		const offset = checkPages(this.#engine, "pages", pages, 0, held);
		for (const index of list.view()) if (index >= held) checkInteger("list: page index", index, 0, held - 1);
		const result = new Uint8Array(list.length * HASH_BYTES);
		const { bytes, exports } = this.#engine;
		for (let done = 0; done < list.length; done += this.#pieceHashes) {
			const piece = Math.min(list.length - done, this.#pieceHashes);
			exports.hashPages128List(SECRET_OFFSET, offset, list.region.offset + done * 4, piece, STAGING_OFFSET);
			result.set(bytes.subarray(STAGING_OFFSET, STAGING_OFFSET + piece * HASH_BYTES), done * HASH_BYTES);
		}
		return result;
	}
}
