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
import { STATE_BYTES } from "./hash.ts";
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
/** What a run is installed from (assembly/batch-decode.ts). */
const From = { zero: 0, batch: 1, staging: 2 } as const;
/** Words of a run: first page, pages, what it is installed from, where there. */
const RUN_WORDS = 4;
/** Pages of one call of the kernel: 256 KiB are hashed while the second-level cache still has them from the copy. */
const CALL_PAGES = 64;

/** Words of the request: `class Request` of assembly/batch-decode.ts. */
const Word = {
	payloads: 8,
	payloadBytes: 10,
	nextBytes: 12,
	runCount: 13,
	pages: 14,
	zeroPages: 15,
	rawPages: 16,
	lz4Pages: 17,
	unchangedPages: 18,
	deltaPages: 19,
	hash: 20,
	count: 24,
} as const;

/** What a batch is decoded for. */
export interface DecodeOptions {
	/** Pages of the memory that the batch is for: it may name no other. */
	readonly pageCount: number;
	/**
	 * The batch's checksum (batch-checksum.ts), where a frame carried one: a page's hash covers its content, only the checksum
	 * covers where it belongs.
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
	readonly #runs: Region;
	readonly #state: Region;
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
		this.#runs = engine.allocate(maxPages * RUN_WORDS * 4);
		this.#state = engine.allocate(STATE_BYTES);
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
	 * Decodes and verifies a whole batch and installs nothing, 64 pages to a call of the engine.
	 *
	 * @param bytes any bytes: they are not trusted. Pages that travel as they are, are installed from here: the bytes must
	 *   not change until then. Shared memory, which may, is copied first.
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
		let source = bytes;
		if (!(bytes.buffer instanceof ArrayBuffer)) {
			source = this.inbox(bytes.byteLength);
			source.set(bytes);
		}
		const tableEnd = this.#takeTable(source);
		const status = this.#check(source.byteLength, pageCount);
		if (status === NEEDS_BASES) {
			if (base === undefined) throw new BatchError("no-base");
			this.#stageBases(base);
		} else if (status !== 0) this.#refuse(status);
		this.#decodePages(source, tableEnd);
		if (checksum !== undefined && this.#hash() !== checksum) throw new BatchError("bad-checksum");
		return this.#result(source.subarray(tableEnd));
	}

	/** Whether bytes lie where {@link inbox} is. */
	#isInbox(bytes: Uint8Array): boolean {
		return bytes.buffer === this.#engine.bytes.buffer && bytes.byteOffset === this.#input.offset;
	}

	/** Brings header and table to where the kernel reads them, as far as there can be any. @returns where they end */
	#takeTable(source: Uint8Array): number {
		const count = source.byteLength < 4 ? 0 : new DataView(source.buffer, source.byteOffset, 4).getUint32(0, true);
		const tableEnd = BATCH_HEADER_BYTES + Math.min(count, this.#maxPages) * BATCH_ENTRY_BYTES;
		if (!this.#isInbox(source)) this.#engine.bytes.set(source.subarray(0, tableEnd), this.#input.offset);
		return tableEnd;
	}

	#check(byteLength: number, pageCount: number): number {
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
				this.#runs.offset,
				this.#state.offset,
			],
			at,
		);
		return exports.batchCheck(this.#request.offset, CALL_PAGES);
	}

	/** Copies the pages that the kernel has listed to where it wants them. */
	#stageBases(base: Uint8Array): void {
		const { bytes, words } = this.#engine;
		const first = this.#runs.offset / 4;
		const pages = words[this.#request.offset / 4 + Word.pages]!;
		for (let at = first; at < first + 2 * pages; at += 2) {
			const from = words[at]! * PAGE_BYTES;
			bytes.set(base.subarray(from, from + PAGE_BYTES), words[at + 1]!);
		}
	}

	/** The table has been checked: its lengths are those of the payloads. */
	#decodePages(source: Uint8Array, tableEnd: number): void {
		const { exports, bytes, words } = this.#engine;
		const at = this.#request.offset / 4;
		const count = words[this.#input.offset / 4]!;
		const isInbox = this.#isInbox(source);
		for (let from = tableEnd, done = 0; done < count; done += CALL_PAGES) {
			const end = from + words[at + Word.nextBytes]!;
			// Behind the table, which the kernel goes on reading; or where they are.
			words[at + Word.payloads] = this.#input.offset + (isInbox ? from : tableEnd);
			if (!isInbox) bytes.set(source.subarray(from, end), this.#input.offset + tableEnd);
			const status = exports.batchDecode(this.#request.offset, CALL_PAGES);
			if (status !== 0) this.#refuse(status);
			from = end;
		}
		if (count === 0) exports.batchDecode(this.#request.offset, CALL_PAGES);
	}

	/** What the checksum must be, once all pages are decoded. */
	#hash(): bigint {
		const { words } = this.#engine;
		const at = this.#request.offset / 4 + Word.hash;
		return BigInt(words[at]!) | (BigInt(words[at + 1]!) << 32n);
	}

	#refuse(status: number): never {
		const { words } = this.#engine;
		const at = this.#request.offset / 4;
		const [position, pageIndex] = [words[at + Word.pages]!, words[at + Word.zeroPages]!];
		throw new BatchError(CODES[status]!, position === WHOLE_BATCH ? undefined : { position, pageIndex });
	}

	#result(payloads: Uint8Array): DecodedBatch {
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
			runs: this.#runs.offset / 4,
			runCount: words[at + Word.runCount]!,
			table: (this.#input.offset + BATCH_HEADER_BYTES) / 4,
			payloads,
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
	/** Words in the engine's memory: what to install, and the batch's table. */
	readonly runs: number;
	readonly runCount: number;
	readonly table: number;
	/** The batch's own. */
	readonly payloads: Uint8Array;
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
		const indices = new Uint32Array(this.pages);
		for (let position = 0; position < indices.length; position++) indices[position] = this.#pageIndex(position);
		return indices;
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
		this.#checkRoom("target.byteLength", target.byteLength, PAGE_BYTES);
		this.forEachRun((firstPage, pages, contents) => {
			const to = firstPage * PAGE_BYTES;
			if (contents === undefined) target.fill(0, to, to + pages * PAGE_BYTES);
			else target.set(contents, to);
		});
	}

	/**
	 * Hands out every page but unchanged ones, run by run, for memory that is not an array.
	 *
	 * @param visit called with consecutive pages and their contents (a view, for the call only), or `undefined` for zeros
	 */
	forEachRun(visit: (firstPage: number, pages: number, contents: Uint8Array | undefined) => void): void {
		this.#check();
		const { bytes, words } = this.#engine;
		const { runs, runCount, payloads } = this.#parts;
		for (let run = runs; run < runs + runCount * RUN_WORDS; run += RUN_WORDS) {
			const [firstPage, pages, kind, at] = [words[run]!, words[run + 1]!, words[run + 2]!, words[run + 3]!];
			const source = kind === From.batch ? payloads : bytes;
			visit(firstPage, pages, kind === From.zero ? undefined : source.subarray(at, at + pages * PAGE_BYTES));
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
		this.#checkRoom("table.length", table.length, 4);
		const { words } = this.#engine;
		for (let position = 0; position < this.pages; position++) {
			const hash = this.#parts.table + (position * BATCH_ENTRY_BYTES) / 4 + 2;
			const at = this.#pageIndex(position) * 4;
			table[at] = words[hash]!;
			table[at + 1] = words[hash + 1]!;
			table[at + 2] = words[hash + 2]!;
			table[at + 3] = words[hash + 3]!;
		}
	}

	#pageIndex(position: number): number {
		return this.#engine.words[this.#parts.table + (position * BATCH_ENTRY_BYTES) / 4]!;
	}

	#checkRoom(name: string, length: number, perPage: number): void {
		if (this.pages > 0) checkInteger(name, length, (this.#pageIndex(this.pages - 1) + 1) * perPage, Infinity);
	}

	#check(): void {
		if (!this.#parts.isCurrent()) throw new TypeError("this batch is gone: its decoder has decoded another");
	}
}
