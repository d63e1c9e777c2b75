// What encoder and decoder of batches share: sizes, options, and why a batch is refused. The format is drawn in batch.ts.
import { checkInteger } from "./engine.ts";
import { PAGE_BYTES } from "./layout.ts";

/** Pages of a batch: 4 MiB bounds what a receiver must hold before it can verify. */
export const BATCH_LIMIT_PAGES: number = 1024;
/** Bytes of a batch's header. */
export const BATCH_HEADER_BYTES: number = 16;
/** Bytes of a page's entry in a batch's table. */
export const BATCH_ENTRY_BYTES: number = 24;
/** Bytes of a page's hash in the table. */
const PAGE_HASH_BYTES = 16;

/**
 * @param pages pages of a batch
 * @returns the bytes that a batch of so many pages has at most
 */
export function batchLimitBytes(pages: number): number {
	return BATCH_HEADER_BYTES + pages * (BATCH_ENTRY_BYTES + PAGE_BYTES);
}

/** Options of encoder and decoder. */
export interface BatchOptions {
	/** Pages of a batch at most: sizes the regions. Default and limit {@link BATCH_LIMIT_PAGES}. */
	readonly maxPages?: number;
}

/**
 * The page hashes of a batch, one after another in its order: 16 bytes a page. A copy.
 *
 * @param bytes a batch of this side's encoder, or one that the decoder has verified
 * @param pages pages of the batch
 * @throws RangeError when the table is not there
 */
export function batchHashes(bytes: Uint8Array, pages: number): Uint8Array<ArrayBuffer> {
	checkInteger("bytes.byteLength", bytes.byteLength, BATCH_HEADER_BYTES + pages * BATCH_ENTRY_BYTES, Infinity);
	const table = bytes.subarray(BATCH_HEADER_BYTES, BATCH_HEADER_BYTES + pages * BATCH_ENTRY_BYTES);
	// Word by word, 4 times as fast as byte by byte; a batch in the middle of other bytes may not be aligned for that.
	const aligned = table.byteOffset % 4 === 0 ? table : table.slice();
	const words = new Uint32Array(aligned.buffer, aligned.byteOffset, aligned.byteLength / 4);
	const hashes = new Uint32Array(pages * (PAGE_HASH_BYTES / 4));
	for (let from = 2, to = 0; to < hashes.length; from += BATCH_ENTRY_BYTES / 4, to += 4) {
		hashes[to] = words[from]!;
		hashes[to + 1] = words[from + 1]!;
		hashes[to + 2] = words[from + 2]!;
		hashes[to + 3] = words[from + 3]!;
	}
	return new Uint8Array(hashes.buffer);
}

/**
 * Why a batch was refused:
 * `bad-checksum` the bytes are not what was sent; `truncated` it ends before its table or its payloads do; `bad-header`
 * reserved bits, a table length or a page count that cannot be; `bad-length` a payload length that its kind does not have,
 * or lengths that do not add up; `bad-kind` unknown; `bad-index` beyond the memory; `bad-order` indices that do not ascend;
 * `bad-payload` no LZ4 block or delta of a page; `no-base` it has deltas, and there is nothing to apply them to;
 * `corrupt-page` the content does not have its hash.
 */
export type BatchErrorCode =
	| "truncated"
	| "bad-checksum"
	| "bad-header"
	| "bad-length"
	| "bad-kind"
	| "bad-index"
	| "bad-order"
	| "bad-payload"
	| "no-base"
	| "corrupt-page";

/** A batch could not be decoded. Nothing of it was or will be installed. */
export class BatchError extends Error {
	override readonly name = "BatchError";
	readonly code: BatchErrorCode;
	/** Position in the batch of the page that is wrong; undefined when the batch as a whole is. */
	readonly position: number | undefined;
	/** Its page index as the batch gives it. */
	readonly pageIndex: number | undefined;
	constructor(code: BatchErrorCode, page?: { readonly position: number; readonly pageIndex: number }) {
		const where = page === undefined ? "" : ` at position ${page.position}, page ${page.pageIndex}`;
		super(`batch refused, nothing installed: ${code}${where}`);
		this.code = code;
		this.position = page?.position;
		this.pageIndex = page?.pageIndex;
	}
}

/**
 * The pages of a batch that was verified.
 *
 * @param batch where words may begin in its buffer
 */
export function batchPageIndices(batch: Uint8Array): Uint32Array<ArrayBuffer> {
	const words = new Uint32Array(batch.buffer, batch.byteOffset, batch.byteLength >>> 2);
	const indices = new Uint32Array(words[0]!);
	for (
		let position = 0, at = BATCH_HEADER_BYTES / 4;
		position < indices.length;
		position++, at += BATCH_ENTRY_BYTES / 4
	)
		indices[position] = words[at]!;
	return indices;
}
