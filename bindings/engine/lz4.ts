// LZ4 blocks, interchangeable with liblz4's: one handle, two calls. Pages inside batches do not pass here: the batch coder
// compresses and expands them within its own call.
import { checkInteger, type Engine, type Region } from "./engine.ts";
import { PAGE_BYTES } from "./layout.ts";

/** Largest block, in bytes: the encoder's table holds 16-bit positions. */
const LZ4_LIMIT_BYTES = 65536;

/** Bytes of the encoder's hash table (LZ4_TABLE_BYTES in assembly/lz4.ts). */
export const LZ4_TABLE_BYTES: number = 16384;

/** Room that the encoder never finds too small (its check is coarse: a 128th instead of a 255th). */
const encodedLimit = (byteLength: number): number => byteLength + (byteLength >> 7) + 64;

/** `malformed`: no LZ4 block, or one that expands beyond the length asked for; `wrong-length`: it expands to less. */
export type Lz4ErrorCode = "malformed" | "wrong-length";

/** A block could not be decoded. Nothing of it was returned. */
export class Lz4Error extends Error {
	override readonly name = "Lz4Error";
	readonly code: Lz4ErrorCode;
	constructor(code: Lz4ErrorCode, message: string) {
		super(message);
		this.code = code;
	}
}

/**
 * Encodes and decodes LZ4 blocks of up to 64 KiB.
 *
 * @example
 * ```ts
 * import { createEngine } from "./engine.ts";
 * import { Lz4 } from "./lz4.ts";
 * const lz4 = new Lz4(createEngine());
 * const block = lz4.encode(new Uint8Array(4096));
 * const page = lz4.decode(block, 4096);
 * ```
 */
export class Lz4 {
	readonly #engine: Engine;
	readonly #table: Region;
	readonly #plain: Region;
	readonly #block: Region;

	constructor(engine: Engine) {
		this.#engine = engine;
		this.#table = engine.allocate(LZ4_TABLE_BYTES);
		this.#plain = engine.allocate(LZ4_LIMIT_BYTES);
		this.#block = engine.allocate(encodedLimit(LZ4_LIMIT_BYTES));
	}

	/**
	 * @param bytes up to 64 KiB
	 * @returns a fresh array: at most byteLength + byteLength / 255 + 16 bytes
	 * @throws RangeError for more than 64 KiB
	 */
	encode(bytes: Uint8Array): Uint8Array<ArrayBuffer> {
		if (!(bytes instanceof Uint8Array)) throw new TypeError("bytes must be a Uint8Array");
		checkInteger("bytes.byteLength", bytes.byteLength, 0, LZ4_LIMIT_BYTES);
		const { offset } = this.#block;
		this.#engine.bytes.set(bytes, this.#plain.offset);
		const { exports } = this.#engine;
		const [source, capacity, table] = [this.#plain.offset, this.#block.byteLength, this.#table.offset];
		// A page has an encoder of its own, with a smaller table to clear.
		const length =
			bytes.byteLength === PAGE_BYTES
				? exports.lz4EncodePage(source, offset, capacity, table)
				: exports.lz4Encode(source, bytes.byteLength, offset, capacity, table);
		return this.#engine.bytes.slice(offset, offset + length);
	}

	/**
	 * @param block any bytes: they are not trusted
	 * @param byteLength what it must expand to, up to 64 KiB
	 * @returns a fresh array of exactly that length
	 * @throws {@link Lz4Error}; RangeError for a length out of range
	 */
	decode(block: Uint8Array, byteLength: number): Uint8Array<ArrayBuffer> {
		if (!(block instanceof Uint8Array)) throw new TypeError("block must be a Uint8Array");
		checkInteger("byteLength", byteLength, 0, LZ4_LIMIT_BYTES);
		checkInteger("block.byteLength", block.byteLength, 0, this.#block.byteLength);
		const { offset } = this.#plain;
		this.#engine.bytes.set(block, this.#block.offset);
		const length = this.#engine.exports.lz4Decode(this.#block.offset, block.byteLength, offset, byteLength);
		if (length < 0) throw new Lz4Error("malformed", `no LZ4 block of ${byteLength} bytes`);
		if (length !== byteLength)
			throw new Lz4Error("wrong-length", `the LZ4 block expands to ${length} bytes, not ${byteLength}`);
		return this.#engine.bytes.slice(offset, offset + length);
	}
}
