// Decodes, verifies and installs batches; the format is drawn in batch.ts, the kernel is assembly/batch-decode.ts.
import {
	BATCH_ENTRY_BYTES,
	BATCH_HEADER_BYTES,
	BATCH_LIMIT_PAGES,
	BatchError,
	type BatchErrorCode,
	type BatchOptions,
	batchLimitBytes,
} from "./batch-layout.ts";
import { DELTA_SLACK_BYTES } from "./delta.ts";
import { checkInteger, type Engine, type Region } from "./engine.ts";
import { hash64Region } from "./hash.ts";
import { PAGE_BYTES, SECRET_OFFSET } from "./layout.ts";

/** Status codes of assembly/batch.ts, by value. */
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
const NEEDS_BASES = 9;
/** Position that the kernel reports when no single page is to blame. */
const WHOLE_BATCH = 0xffff_ffff;
/** Instead of an address in the install table. */
const INSTALL_ZERO = 0;
const INSTALL_NOTHING = 0xffff_ffff;

/** Words of the request: `class Request` of assembly/batch-decode.ts. */
const Word = {
	hasBases: 7,
	pages: 8,
	zeroPages: 9,
	rawPages: 10,
	lz4Pages: 11,
	unchangedPages: 12,
	deltaPages: 13,
	count: 18,
} as const;

/** What a batch is decoded for. */
export interface DecodeOptions {
	/** Pages of the memory that the batch is for: it may name no other. */
	readonly pageCount: number;
	/**
	 * XXH3-64 of the bytes, where a frame carried one: a page's hash covers its content, only the checksum covers where it
	 * belongs.
	 */
	readonly checksum?: bigint;
	/**
	 * The memory as it is, page 0 first: what deltas are applied to. Batches with deltas are refused without it. It is only
	 * read, and must not change until the batch is installed.
	 */
	readonly base?: Uint8Array;
}

/** Decodes and verifies batches; see batch.ts. */
export class BatchDecoder {
	readonly #engine: Engine;
	readonly #maxPages: number;
	readonly #request: Region;
	readonly #input: Region;
	readonly #installs: Region;
	readonly #staging: Region;
	#generation = 0;

	/** @throws RangeError for `maxPages` out of range */
	constructor(engine: Engine, options: BatchOptions = {}) {
		const { maxPages = BATCH_LIMIT_PAGES } = options;
		checkInteger("maxPages", maxPages, 1, BATCH_LIMIT_PAGES);
		this.#engine = engine;
		this.#maxPages = maxPages;
		this.#request = engine.allocate(Word.count * 4);
		this.#input = engine.allocate(batchLimitBytes(maxPages) + DELTA_SLACK_BYTES);
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
		checkInteger("byteLength", byteLength, 0, batchLimitBytes(this.#maxPages));
		return this.#engine.view(this.#input).subarray(0, byteLength);
	}

	/**
	 * Decodes and verifies a whole batch and installs nothing: one call of the engine, two if it has deltas.
	 *
	 * @param bytes any bytes: they are not trusted
	 * @returns the verified batch, valid until the next decode
	 * @throws {@link BatchError}; RangeError for a base of fewer than `pageCount` pages
	 */
	decode(bytes: Uint8Array, options: DecodeOptions): DecodedBatch {
		if (!(bytes instanceof Uint8Array)) throw new TypeError("bytes must be a Uint8Array");
		const { pageCount, checksum, base } = options;
		checkInteger("pageCount", pageCount, 0, 0xffff_ffff);
		if (base !== undefined) checkInteger("base.byteLength", base.byteLength, pageCount * PAGE_BYTES, Infinity);
		this.#generation++;
		if (bytes.byteLength > batchLimitBytes(this.#maxPages)) throw new BatchError("bad-length");
		if (bytes.buffer !== this.#engine.bytes.buffer || bytes.byteOffset !== this.#input.offset)
			this.#engine.bytes.set(bytes, this.#input.offset);
		if (checksum !== undefined) {
			const found = hash64Region(this.#engine, { offset: this.#input.offset, byteLength: bytes.byteLength });
			if (found !== checksum) throw new BatchError("bad-checksum");
		}
		let status = this.#call(bytes.byteLength, pageCount, false);
		if (status === NEEDS_BASES) {
			if (base === undefined) throw new BatchError("no-base");
			this.#stageBases(base);
			status = this.#call(bytes.byteLength, pageCount, true);
		}
		if (status !== 0) this.#refuse(status);
		return this.#result();
	}

	#call(byteLength: number, pageCount: number, hasBases: boolean): number {
		const { exports, words } = this.#engine;
		const at = this.#request.offset / 4;
		words.fill(0, at, at + Word.count);
		words.set(
			[
				SECRET_OFFSET,
				this.#input.offset,
				byteLength,
				pageCount,
				this.#maxPages,
				this.#staging.offset,
				this.#installs.offset,
				hasBases ? 1 : 0,
			],
			at,
		);
		return exports.batchDecode(this.#request.offset);
	}

	/** Copies the pages that the kernel has listed to where it wants them. */
	#stageBases(base: Uint8Array): void {
		const { bytes, words } = this.#engine;
		const first = this.#installs.offset / 4;
		const pages = words[this.#request.offset / 4 + Word.pages]!;
		for (let at = first; at < first + 2 * pages; at += 2) {
			const from = words[at]! * PAGE_BYTES;
			bytes.set(base.subarray(from, from + PAGE_BYTES), words[at + 1]!);
		}
	}

	#refuse(status: number): never {
		const { words } = this.#engine;
		const at = this.#request.offset / 4;
		const [position, pageIndex] = [words[at + Word.pages]!, words[at + Word.zeroPages]!];
		throw new BatchError(CODES[status]!, position === WHOLE_BATCH ? undefined : { position, pageIndex });
	}

	#result(): DecodedBatch {
		const { words } = this.#engine;
		const at = this.#request.offset / 4;
		const generation = this.#generation;
		return new DecodedBatch(this.#engine, {
			pages: words[at + Word.pages]!,
			zeroPages: words[at + Word.zeroPages]!,
			rawPages: words[at + Word.rawPages]!,
			lz4Pages: words[at + Word.lz4Pages]!,
			unchangedPages: words[at + Word.unchangedPages]!,
			deltaPages: words[at + Word.deltaPages]!,
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
	readonly unchangedPages: number;
	readonly deltaPages: number;
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
	readonly unchangedPages: number;
	readonly deltaPages: number;
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
		this.unchangedPages = parts.unchangedPages;
		this.deltaPages = parts.deltaPages;
	}

	/** @returns the page indices, ascending: a fresh array */
	pageIndices(): Uint32Array<ArrayBuffer> {
		this.#check();
		const { words } = this.#engine;
		const first = this.#parts.installs / 4;
		return Uint32Array.from({ length: this.pages }, (_, position) => words[first + 2 * position]!);
	}

	/**
	 * Copies every page to its place: consecutive pages whose contents lie together in one copy, zeros by filling, unchanged
	 * pages not at all.
	 *
	 * @param target the memory from page 0 on
	 * @throws RangeError, before anything is copied, when the target ends before the last page
	 */
	install(target: Uint8Array): void {
		this.#check();
		const { words } = this.#engine;
		const end = this.#parts.installs / 4 + 2 * this.pages;
		if (this.pages > 0)
			checkInteger("target.byteLength", target.byteLength, (words[end - 2]! + 1) * PAGE_BYTES, Infinity);
		this.forEachRun((firstPage, pages, contents) => {
			const at = firstPage * PAGE_BYTES;
			if (contents === undefined) target.fill(0, at, at + pages * PAGE_BYTES);
			else target.set(contents, at);
		});
	}

	/**
	 * Hands out every page but unchanged ones, run by run, for memory that is not an array.
	 *
	 * @param visit called with consecutive pages and their contents (a view of the engine's memory, for the call only), or
	 *   `undefined` for zeros
	 */
	forEachRun(visit: (firstPage: number, pages: number, contents: Uint8Array<ArrayBuffer> | undefined) => void): void {
		this.#check();
		const { bytes, words } = this.#engine;
		const end = this.#parts.installs / 4 + 2 * this.pages;
		for (let from = this.#parts.installs / 4; from < end; ) {
			const pageIndex = words[from]!;
			const offset = words[from + 1]!;
			const step = offset === INSTALL_ZERO || offset === INSTALL_NOTHING ? 0 : PAGE_BYTES;
			let pages = 1;
			for (from += 2; from < end; from += 2, pages++)
				if (words[from] !== pageIndex + pages || words[from + 1] !== offset + pages * step) break;
			if (offset === INSTALL_NOTHING) continue;
			visit(
				pageIndex,
				pages,
				offset === INSTALL_ZERO ? undefined : bytes.subarray(offset, offset + pages * PAGE_BYTES),
			);
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
