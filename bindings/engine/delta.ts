// Deltas of one page against an older version of it, as XBZRLE or as a word mask (the formats: assembly/delta.ts). Pages
// inside batches do not pass here: the batch coder keeps what it sent and encodes deltas within its own call.
import type { Engine, Region } from "./engine.ts";
import { PAGE_BYTES } from "./layout.ts";

/**
 * `xbzrle`: QEMU's format, smaller; `word-mask`: of our own, for links that are faster than the difference in size is worth.
 */
export type DeltaFormat = "xbzrle" | "word-mask";

/** Bytes that the kernels may touch behind a delta (DELTA_SLACK_BYTES in assembly/delta.ts). */
export const DELTA_SLACK_BYTES: number = 64;

/** A delta that the format does not allow. No page was made from it. */
export class DeltaError extends Error {
	override readonly name = "DeltaError";
	readonly code = "malformed";
	constructor(format: DeltaFormat) {
		super(`no ${format} delta of a page`);
	}
}

function checkFormat(format: DeltaFormat): void {
	if (format !== "xbzrle" && format !== "word-mask")
		throw new RangeError(`format must be xbzrle or word-mask, got ${String(format)}`);
}

function checkPage(name: string, page: Uint8Array): void {
	if (!(page instanceof Uint8Array)) throw new TypeError(`${name} must be a Uint8Array`);
	if (page.byteLength !== PAGE_BYTES)
		throw new RangeError(`${name}.byteLength must be ${PAGE_BYTES}, got ${page.byteLength}`);
}

/**
 * Encodes and decodes deltas of single pages.
 *
 * @example
 * ```ts
 * import { Delta } from "./delta.ts";
 * import { createEngine } from "./engine.ts";
 * const delta = new Delta(createEngine());
 * const before = new Uint8Array(4096);
 * const after = before.slice().fill(7, 100, 108);
 * const bytes = delta.encode("xbzrle", before, after)!; // 10 bytes
 * delta.decode("xbzrle", bytes, before); // equals `after`
 * ```
 */
export class Delta {
	readonly #engine: Engine;
	readonly #before: Region;
	readonly #after: Region;
	readonly #delta: Region;

	constructor(engine: Engine) {
		this.#engine = engine;
		this.#before = engine.allocate(PAGE_BYTES);
		this.#after = engine.allocate(PAGE_BYTES);
		this.#delta = engine.allocate(PAGE_BYTES + DELTA_SLACK_BYTES);
	}

	/**
	 * @param before the page as the receiver has it
	 * @param after the page as it is to be
	 * @returns a fresh array: empty when the pages are equal; undefined when the delta would be larger than a page
	 * @throws RangeError for a page that is none, or another format
	 */
	encode(format: DeltaFormat, before: Uint8Array, after: Uint8Array): Uint8Array<ArrayBuffer> | undefined {
		checkFormat(format);
		checkPage("before", before);
		checkPage("after", after);
		const { bytes, exports } = this.#engine;
		bytes.set(before, this.#before.offset);
		bytes.set(after, this.#after.offset);
		const encode = format === "xbzrle" ? exports.xbzrleEncode : exports.wordMaskEncode;
		const { offset } = this.#delta;
		const length = encode(this.#before.offset, this.#after.offset, offset, PAGE_BYTES);
		return length < 0 ? undefined : bytes.slice(offset, offset + length);
	}

	/**
	 * @param delta any bytes: they are not trusted; no bytes mean no change
	 * @param before the page that it was made against
	 * @returns the page after the change, a fresh array
	 * @throws {@link DeltaError}; RangeError for a page that is none, or another format
	 */
	decode(format: DeltaFormat, delta: Uint8Array, before: Uint8Array): Uint8Array<ArrayBuffer> {
		checkFormat(format);
		if (!(delta instanceof Uint8Array)) throw new TypeError("delta must be a Uint8Array");
		checkPage("before", before);
		if (delta.byteLength > PAGE_BYTES) throw new DeltaError(format);
		const { bytes, exports } = this.#engine;
		const { offset } = this.#before;
		bytes.set(before, offset);
		bytes.set(delta, this.#delta.offset);
		const decode = format === "xbzrle" ? exports.xbzrleDecode : exports.wordMaskDecode;
		if (delta.byteLength > 0 && decode(this.#delta.offset, delta.byteLength, offset) < 0) throw new DeltaError(format);
		return bytes.slice(offset, offset + PAGE_BYTES);
	}
}
