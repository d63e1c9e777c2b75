// Batches: many pages as one run of bytes, encoded and decoded by the engine in one call each.
//
// Little-endian, no padding:
//
//   0        4            8               12                 16
//   +--------+------------+---------------+------------------+
//   | pages  | reserved 0 | table bytes   | payload bytes    |  header
//   +--------+------------+---------------+------------------+
//   +--------+--------+------+------------------------------+
//   | page   | length | kind | XXH3-128 of the page's       |  table, 24 bytes a page
//   | index  |  u24   |  u8  | content: low u64, high u64   |
//   +--------+--------+------+------------------------------+
//   0        4        7      8                             24
//   | payload of page 0 | payload of page 1 | …               payloads, without gaps
//
//   kind  payload                                    length
//   0     zero: none, the page is all zeros          0
//   1     raw: the page                              4096
//   2     LZ4: a block that expands to 4096 bytes    1 … 4095
//
// Invariants: page indices ascend strictly, so a batch names a page at most once; table bytes = 24 × pages; the payload
// lengths add up to payload bytes and these end the batch. A decoder verifies all of it, and every page against its hash,
// before a byte is installed: a batch is applied whole or not at all. A batch holds at most 1024 pages, about 4 MiB.
import { checkInteger, type Engine, type Region } from "./engine.ts";
import { hash64Region } from "./hash.ts";
import { CELL_OFFSET, PAGE_BYTES, SECRET_OFFSET } from "./layout.ts";
import { LZ4_TABLE_BYTES } from "./lz4.ts";

/** Pages of a batch: 4 MiB bounds what a receiver must hold before it can verify. */
export const BATCH_LIMIT_PAGES: number = 1024;
/** Bytes of a batch's header. */
export const BATCH_HEADER_BYTES: number = 16;
/** Bytes of a page's entry in a batch's table. */
export const BATCH_ENTRY_BYTES: number = 24;
/** Bytes of a page's hash in the table. */
export const PAGE_HASH_BYTES: number = 16;

/** Wide stores of the encoder touch up to this many bytes behind the batch. */
const OUTPUT_SLACK_BYTES = 64;

/**
 * @param pages pages of a batch
 * @returns the bytes that a batch of so many pages has at most
 */
export function batchLimitBytes(pages: number): number {
	return BATCH_HEADER_BYTES + pages * (BATCH_ENTRY_BYTES + PAGE_BYTES);
}

/** Where the encoder finds its pages. */
export type PageSource =
	/** A contiguous copy in the engine's memory, such as a shadow: page `firstPage` lies at the region's start. */
	| { readonly kind: "region"; readonly region: Region; readonly firstPage: number }
	/** Memory outside the engine, page 0 first: the pages are copied once, run by run, and all is done from the copy. */
	| { readonly kind: "memory"; readonly bytes: Uint8Array }
	/** Pages that the caller has put into {@link BatchEncoder.staging}, in the order of the list. */
	| { readonly kind: "staged" };

/** What to encode. */
export interface BatchRequest {
	/** Page indices, strictly ascending, at most the encoder's `maxPages`. */
	readonly pageIndices: Uint32Array;
	readonly source: PageSource;
	/** Try LZ4 on pages that are not zero. Default true. */
	readonly compress?: boolean;
	/**
	 * Where the bytes go: an array of at least {@link batchLimitBytes}(pages), `"fresh"` (the default) for a new array, or
	 * `"view"` for a view of the engine's memory without a copy, valid until the next call of this encoder or the next
	 * allocation in its engine.
	 */
	readonly into?: Uint8Array | "fresh" | "view";
}

/** An encoded batch. */
export interface EncodedBatch {
	/** Exactly the batch's bytes. */
	readonly bytes: Uint8Array;
	readonly byteLength: number;
	/** XXH3-64 of the bytes, taken while they were in the cache. */
	readonly checksum: bigint;
	readonly zeroPages: number;
	readonly rawPages: number;
	readonly lz4Pages: number;
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
	const hashes = new Uint8Array(pages * PAGE_HASH_BYTES);
	for (let page = 0, from = BATCH_HEADER_BYTES + 8; page < pages; page++, from += BATCH_ENTRY_BYTES)
		for (let i = 0; i < PAGE_HASH_BYTES; i++) hashes[page * PAGE_HASH_BYTES + i] = bytes[from + i]!;
	return hashes;
}

const SOURCE_STAGED = 1;
const COMPRESS = 2;

/**
 * Turns lists of pages into batches.
 *
 * @example
 * ```ts
 * import { BatchDecoder, BatchEncoder } from "./batch.ts";
 * import { createEngine } from "./engine.ts";
 * const memory = new Uint8Array(8 * 4096).fill(7, 4096, 5000);
 * const encoder = new BatchEncoder(createEngine());
 * const batch = encoder.encode({ pageIndices: Uint32Array.of(0, 1), source: { kind: "memory", bytes: memory } });
 * const target = new Uint8Array(8 * 4096);
 * new BatchDecoder(createEngine()).decode(batch.bytes, { pageCount: 8 }).install(target);
 * ```
 */
export class BatchEncoder {
	readonly #engine: Engine;
	readonly #maxPages: number;
	readonly #indices: Region;
	readonly #table: Region;
	readonly #output: Region;
	#staging: Region | undefined;

	/** @throws RangeError for `maxPages` out of range */
	constructor(engine: Engine, options: BatchOptions = {}) {
		const { maxPages = BATCH_LIMIT_PAGES } = options;
		checkInteger("maxPages", maxPages, 1, BATCH_LIMIT_PAGES);
		this.#engine = engine;
		this.#maxPages = maxPages;
		this.#indices = engine.allocate(maxPages * 4);
		this.#table = engine.allocate(LZ4_TABLE_BYTES);
		this.#output = engine.allocate(batchLimitBytes(maxPages) + OUTPUT_SLACK_BYTES);
	}

	/**
	 * Room for pages in list order, for callers that read a guest's memory themselves. Valid until the next allocation in
	 * the engine: fill it and call {@link encode} with `{ kind: "staged" }`.
	 *
	 * @throws RangeError for more than `maxPages`
	 */
	staging(pages: number): Uint8Array<ArrayBuffer> {
		checkInteger("pages", pages, 0, this.#maxPages);
		this.#staging ??= this.#engine.allocate(this.#maxPages * PAGE_BYTES);
		return this.#engine.view(this.#staging).subarray(0, pages * PAGE_BYTES);
	}

	/**
	 * Encodes one batch in one call of the engine.
	 *
	 * @throws RangeError naming the argument: indices that do not ascend or lie outside the source, too many of them, a
	 * source or an array that is too small; TypeError for a source of no known kind. Nothing is encoded then.
	 */
	encode(request: BatchRequest): EncodedBatch {
		const { pageIndices, source, compress = true, into = "fresh" } = request;
		if (!(pageIndices instanceof Uint32Array)) throw new TypeError("pageIndices must be a Uint32Array");
		const count = pageIndices.length;
		checkInteger("pageIndices.length", count, 0, this.#maxPages);
		if (into instanceof Uint8Array) checkInteger("into.byteLength", into.byteLength, batchLimitBytes(count), Infinity);
		const { base, firstPage, pageCount, staged } = this.#locate(pageIndices, source);
		const { exports } = this.#engine;
		this.#engine.words.set(pageIndices, this.#indices.offset / 4);
		const status = exports.batchEncode(
			SECRET_OFFSET,
			this.#indices.offset,
			count,
			base,
			firstPage,
			pageCount,
			(staged ? SOURCE_STAGED : 0) | (compress ? COMPRESS : 0),
			this.#output.offset,
			this.#table.offset,
			CELL_OFFSET,
		);
		if (status !== 0) this.#refuse(status);
		return this.#result(into);
	}

	#locate(
		pageIndices: Uint32Array,
		source: PageSource,
	): { base: number; firstPage: number; pageCount: number; staged: boolean } {
		switch (source.kind) {
			case "region": {
				const { region, firstPage } = source;
				this.#engine.checkRegion("source.region", region, 0);
				checkInteger("source.firstPage", firstPage, 0, 0xffff_ffff);
				return { base: region.offset, firstPage, pageCount: Math.floor(region.byteLength / PAGE_BYTES), staged: false };
			}
			case "memory": {
				const pageCount = Math.floor(source.bytes.byteLength / PAGE_BYTES);
				stagePages(source.bytes, pageIndices, pageCount, this.staging(pageIndices.length));
				return { base: this.#staging!.offset, firstPage: 0, pageCount, staged: true };
			}
			case "staged":
				this.staging(pageIndices.length);
				return { base: this.#staging!.offset, firstPage: 0, pageCount: 0xffff_ffff, staged: true };
			default:
				throw new TypeError(`source.kind must be "region", "memory" or "staged"`);
		}
	}

	#refuse(status: number): never {
		const words = this.#engine.words;
		const where = `pageIndices[${words[CELL_OFFSET / 4]}] = ${words[CELL_OFFSET / 4 + 1]}`;
		throw new RangeError(status === Status.badOrder ? `${where} does not ascend` : `${where} lies outside the source`);
	}

	#result(into: Uint8Array | "fresh" | "view"): EncodedBatch {
		const { bytes, words } = this.#engine;
		const cell = CELL_OFFSET / 4;
		const byteLength = words[cell]!;
		const encoded = bytes.subarray(this.#output.offset, this.#output.offset + byteLength);
		let result: Uint8Array = encoded;
		if (into instanceof Uint8Array) {
			into.set(encoded);
			result = into.subarray(0, byteLength);
		} else if (into === "fresh") result = encoded.slice();
		return {
			bytes: result,
			byteLength,
			zeroPages: words[cell + 1]!,
			rawPages: words[cell + 2]!,
			lz4Pages: words[cell + 3]!,
			checksum: BigInt(words[cell + 4]!) | (BigInt(words[cell + 5]!) << 32n),
		};
	}
}

/** Copies the listed pages one after the other, a run of consecutive pages at a time. */
function stagePages(memory: Uint8Array, pageIndices: Uint32Array, pageCount: number, staging: Uint8Array): void {
	for (let from = 0; from < pageIndices.length; ) {
		const first = pageIndices[from]!;
		let to = from + 1;
		while (to < pageIndices.length && pageIndices[to] === first + (to - from)) to++;
		if (first + (to - from) > pageCount)
			throw new RangeError(`pageIndices[${to - 1}] = ${pageIndices[to - 1]} lies outside the source`);
		staging.set(memory.subarray(first * PAGE_BYTES, (first + to - from) * PAGE_BYTES), from * PAGE_BYTES);
		from = to;
	}
}

/**
 * Why a batch was refused:
 * `bad-checksum` the bytes are not what was sent; `truncated` it ends before its table or its payloads do; `bad-header` reserved bits, a table length or a page count that
 * cannot be; `bad-length` a payload length that its kind does not have, or lengths that do not add up; `bad-kind` unknown;
 * `bad-index` beyond the memory; `bad-order` indices that do not ascend; `bad-payload` no LZ4 block of a page;
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

/** Status codes of assembly/batch.ts. */
const Status = { badOrder: 6 } as const;
const CODES: readonly (BatchErrorCode | undefined)[] = [
	undefined,
	"truncated",
	"bad-header",
	"bad-length",
	"bad-kind",
	"bad-index",
	"bad-order",
	"bad-payload",
	"corrupt-page",
];
/** Position that the kernel reports when no single page is to blame. */
const WHOLE_BATCH = 0xffff_ffff;

/** One page of a decoded batch. */
export interface DecodedPage {
	readonly pageIndex: number;
	/** Where its content lies in the engine's memory; 0 for a page of zeros. */
	readonly offset: number;
}

/** Decodes and verifies batches; see the header of this file. */
export class BatchDecoder {
	readonly #engine: Engine;
	readonly #maxPages: number;
	readonly #input: Region;
	readonly #installs: Region;
	#staging: Region;
	#generation = 0;

	/** @throws RangeError for `maxPages` out of range */
	constructor(engine: Engine, options: BatchOptions = {}) {
		const { maxPages = BATCH_LIMIT_PAGES } = options;
		checkInteger("maxPages", maxPages, 1, BATCH_LIMIT_PAGES);
		this.#engine = engine;
		this.#maxPages = maxPages;
		this.#input = engine.allocate(batchLimitBytes(maxPages));
		this.#installs = engine.allocate(maxPages * 8);
		this.#staging = engine.allocate(maxPages * PAGE_BYTES);
	}

	/**
	 * Room for a batch's bytes in the engine's memory, so that a link can read straight into it: {@link decode} takes bytes
	 * that lie there without a copy. Valid until the next allocation in the engine.
	 *
	 * @throws RangeError for more than a batch can have
	 */
	inbox(byteLength: number): Uint8Array<ArrayBuffer> {
		checkInteger("byteLength", byteLength, 0, this.#input.byteLength);
		return this.#engine.view(this.#input).subarray(0, byteLength);
	}

	/**
	 * Decodes and verifies a whole batch in one call of the engine, and installs nothing.
	 *
	 * @param bytes any bytes: they are not trusted
	 * @param memory pages of the memory that it is for, and the XXH3-64 of the bytes where a frame carried one: a page's hash
	 * covers its content, only the checksum covers where it belongs
	 * @returns the verified batch, valid until the next decode
	 * @throws {@link BatchError}
	 */
	decode(bytes: Uint8Array, memory: { readonly pageCount: number; readonly checksum?: bigint }): DecodedBatch {
		if (!(bytes instanceof Uint8Array)) throw new TypeError("bytes must be a Uint8Array");
		checkInteger("pageCount", memory.pageCount, 0, 0xffff_ffff);
		this.#generation++;
		if (bytes.byteLength > this.#input.byteLength) throw new BatchError("bad-length");
		if (bytes.buffer !== this.#engine.bytes.buffer || bytes.byteOffset !== this.#input.offset)
			this.#engine.bytes.set(bytes, this.#input.offset);
		if (memory.checksum !== undefined) {
			const found = hash64Region(this.#engine, { offset: this.#input.offset, byteLength: bytes.byteLength });
			if (found !== memory.checksum) throw new BatchError("bad-checksum");
		}
		const status = this.#engine.exports.batchDecode(
			SECRET_OFFSET,
			this.#input.offset,
			bytes.byteLength,
			memory.pageCount,
			this.#maxPages,
			this.#staging.offset,
			this.#installs.offset,
			CELL_OFFSET,
		);
		const words = this.#engine.words;
		const cell = CELL_OFFSET / 4;
		if (status !== 0) {
			const [position, pageIndex] = [words[cell]!, words[cell + 1]!];
			throw new BatchError(CODES[status]!, position === WHOLE_BATCH ? undefined : { position, pageIndex });
		}
		const generation = this.#generation;
		return new DecodedBatch(this.#engine, {
			pages: words[cell]!,
			zeroPages: words[cell + 1]!,
			rawPages: words[cell + 2]!,
			lz4Pages: words[cell + 3]!,
			installs: this.#installs.offset,
			hashes: this.#input.offset + BATCH_HEADER_BYTES + 8,
			isCurrent: () => this.#generation === generation,
		});
	}
}

interface DecodedParts {
	readonly pages: number;
	readonly zeroPages: number;
	readonly rawPages: number;
	readonly lz4Pages: number;
	readonly installs: number;
	readonly hashes: number;
	readonly isCurrent: () => boolean;
}

/** A verified batch in the engine's memory. Its methods throw TypeError once the decoder has decoded another. */
export class DecodedBatch {
	readonly pages: number;
	readonly zeroPages: number;
	readonly rawPages: number;
	readonly lz4Pages: number;
	readonly #engine: Engine;
	readonly #parts: DecodedParts;

	/** Made by {@link BatchDecoder.decode}. */
	constructor(engine: Engine, parts: DecodedParts) {
		this.#engine = engine;
		this.#parts = parts;
		this.pages = parts.pages;
		this.zeroPages = parts.zeroPages;
		this.rawPages = parts.rawPages;
		this.lz4Pages = parts.lz4Pages;
	}

	/** @returns the page indices, ascending: a fresh array */
	pageIndices(): Uint32Array<ArrayBuffer> {
		this.#check();
		const { words } = this.#engine;
		const first = this.#parts.installs / 4;
		return Uint32Array.from({ length: this.pages }, (_, position) => words[first + 2 * position]!);
	}

	/**
	 * Copies every page to its place: consecutive pages whose contents lie together in one copy, zeros by filling.
	 *
	 * @param target the memory from page 0 on
	 * @throws RangeError, before anything is copied, when the target ends before the last page
	 */
	install(target: Uint8Array): void {
		this.#check();
		const { bytes, words } = this.#engine;
		const end = this.#parts.installs / 4 + 2 * this.pages;
		if (this.pages > 0)
			checkInteger("target.byteLength", target.byteLength, (words[end - 2]! + 1) * PAGE_BYTES, Infinity);
		for (let from = this.#parts.installs / 4; from < end; ) {
			const pageIndex = words[from]!;
			const offset = words[from + 1]!;
			const step = offset === 0 ? 0 : PAGE_BYTES;
			let pages = 1;
			for (from += 2; from < end; from += 2, pages++)
				if (words[from] !== pageIndex + pages || words[from + 1] !== offset + pages * step) break;
			const at = pageIndex * PAGE_BYTES;
			if (offset === 0) target.fill(0, at, at + pages * PAGE_BYTES);
			else target.set(bytes.subarray(offset, offset + pages * PAGE_BYTES), at);
		}
	}

	/**
	 * Writes each page's hash at 16 × its index: the receiver's table of arrival hashes.
	 *
	 * @param table 4 words a page, from page 0 on
	 * @throws RangeError, before anything is written, when the table ends before the last page
	 */
	recordHashes(table: Uint32Array): void {
		this.#check();
		const { words } = this.#engine;
		const first = this.#parts.installs / 4;
		if (this.pages > 0)
			checkInteger("table.length", table.length, (words[first + 2 * this.pages - 2]! + 1) * 4, Infinity);
		for (let position = 0; position < this.pages; position++) {
			const hash = (this.#parts.hashes + position * BATCH_ENTRY_BYTES) / 4;
			const at = words[first + 2 * position]! * 4;
			table[at] = words[hash]!;
			table[at + 1] = words[hash + 1]!;
			table[at + 2] = words[hash + 2]!;
			table[at + 3] = words[hash + 3]!;
		}
	}

	#check(): void {
		if (!this.#parts.isCurrent()) throw new TypeError("this batch is gone: its decoder has decoded another");
	}
}
