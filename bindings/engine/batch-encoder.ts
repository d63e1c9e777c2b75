// Encodes batches; the format is drawn in batch.ts, the kernel is assembly/batch.ts.
import { BATCH_LIMIT_PAGES, type BatchOptions, batchLimitBytes } from "./batch-layout.ts";
import { checkInteger, type Engine, type Region } from "./engine.ts";
import { CELL_OFFSET, PAGE_BYTES, SECRET_OFFSET } from "./layout.ts";
import { LZ4_TABLE_BYTES } from "./lz4.ts";

/** Wide stores of the encoder touch up to this many bytes behind the batch. */
const OUTPUT_SLACK_BYTES = 64;

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

/** `BAD_ORDER` of assembly/batch.ts. */
const BAD_ORDER = 6;
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
		throw new RangeError(status === BAD_ORDER ? `${where} does not ascend` : `${where} lies outside the source`);
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
