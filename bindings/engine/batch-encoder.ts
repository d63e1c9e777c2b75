// Encodes batches; the format is drawn in batch.ts, the kernel is assembly/batch-encode.ts.
import { BATCH_LIMIT_PAGES, type BatchOptions, batchLimitBytes } from "./batch-layout.ts";
import { CompressionPolicy } from "./compression-choice.ts";
import { checkInteger, type Engine, type Region } from "./engine.ts";
import { PAGE_BYTES, SECRET_OFFSET } from "./layout.ts";
import { LZ4_TABLE_BYTES } from "./lz4.ts";

/** Trials and wide stores of the encoder touch up to this many bytes behind the batch. */
const OUTPUT_SLACK_BYTES = 8192;
/** Experience of 1024 regions, 2 bytes each (assembly/batch-encode.ts). */
const REGIONS_BYTES = 2048;
/** A slot of the versions sent: its entry and its page (assembly/sent-pages.ts). */
const SENT_SLOT_BYTES = 32 + PAGE_BYTES;
/** Versions sent at most: 2^18 pages are 1 GiB, beyond that a shadow is the better base. */
const SENT_LIMIT_PAGES = 2 ** 18;
/** Pages of a batch that a sample compresses, about. */
const SAMPLE_PAGES = 16;

/** Where the encoder finds its pages. */
export type PageSource =
	/** A contiguous copy in the engine's memory, such as a shadow: page `firstPage` lies at the region's start. */
	| { readonly kind: "region"; readonly region: Region; readonly firstPage: number }
	/** Memory outside the engine, page 0 first: the pages are copied once, run by run, and all is done from the copy. */
	| { readonly kind: "memory"; readonly bytes: Uint8Array }
	/** Pages that the caller has put into {@link BatchEncoder.staging}, in the order of the list. */
	| { readonly kind: "staged" };

/** Options of {@link BatchEncoder}. */
export interface BatchEncoderOptions extends BatchOptions {
	/**
	 * Pages of which the version sent last is kept, to send deltas against it: 0 (the default) for none, else rounded up to
	 * a power of two. 4128 bytes each.
	 */
	readonly sentPages?: number;
	/** The time in ms (`clock.now`), to measure what compression costs. Without it, 4 µs a page are assumed. */
	readonly now?: () => number;
}

/** What to encode. */
export interface BatchRequest {
	/** Page indices, strictly ascending, at most the encoder's `maxPages`. */
	readonly pageIndices: Uint32Array;
	readonly source: PageSource;
	/** Whether LZ4 may be used. Default true. */
	readonly compress?: boolean;
	/**
	 * What the link carries. With it, LZ4 is used only while it saves more than it costs, and the delta format follows;
	 * without it the link is taken for a slow one.
	 */
	readonly linkBytesPerMs?: number;
	/**
	 * With `sentPages`: the number of the round or epoch. Pages that were not sent for two of them make room for others.
	 * Default 0.
	 */
	readonly generation?: number;
	/** With `sentPages`: hold what is sent, for later deltas. Default true; a last round has no use for it. */
	readonly remember?: boolean;
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
	/** Pages that are what the receiver has: only with `sentPages`. */
	readonly unchangedPages: number;
	/** Pages sent as deltas: only with `sentPages`. */
	readonly deltaPages: number;
}

/** `BAD_ORDER` of assembly/batch.ts. */
const BAD_ORDER = 6;

/** Bits of the request's options. */
const Option = { staged: 1, compress: 2, wordMask: 4, remember: 8 } as const;

/** Words of the request: `class Request` of assembly/batch-encode.ts. */
const Word = {
	secret: 0,
	indices: 1,
	pages: 2,
	base: 3,
	firstPage: 4,
	pageCount: 5,
	options: 6,
	output: 7,
	table: 8,
	regions: 9,
	spareLimit: 10,
	sent: 11,
	slots: 12,
	generation: 13,
	byteLength: 14,
	zeroPages: 15,
	rawPages: 16,
	lz4Pages: 17,
	unchangedPages: 18,
	deltaPages: 19,
	packed: 20,
	saved: 21,
	checksum: 22,
	count: 24,
} as const;

interface Located {
	readonly base: number;
	readonly firstPage: number;
	readonly pageCount: number;
	readonly staged: boolean;
}

/**
 * Turns lists of pages into batches.
 *
 * With `sentPages` it remembers what it has sent, so its batches have to be installed in order and without gaps; what did
 * not reach the receiver is to be told by {@link forgetSent}.
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
	readonly #now: (() => number) | undefined;
	readonly #policy = new CompressionPolicy();
	readonly #request: Region;
	readonly #indices: Region;
	readonly #table: Region;
	readonly #regions: Region;
	readonly #output: Region;
	readonly #sent: Region | undefined;
	readonly #slots: number;
	#staging: Region | undefined;

	/** @throws RangeError for `maxPages` or `sentPages` out of range */
	constructor(engine: Engine, options: BatchEncoderOptions = {}) {
		const { maxPages = BATCH_LIMIT_PAGES, sentPages = 0, now } = options;
		checkInteger("maxPages", maxPages, 1, BATCH_LIMIT_PAGES);
		checkInteger("sentPages", sentPages, 0, SENT_LIMIT_PAGES);
		this.#engine = engine;
		this.#maxPages = maxPages;
		this.#now = now;
		this.#slots = sentPages === 0 ? 0 : 2 ** Math.ceil(Math.log2(sentPages));
		this.#request = engine.allocate(Word.count * 4);
		this.#indices = engine.allocate(maxPages * 4);
		this.#table = engine.allocate(LZ4_TABLE_BYTES);
		this.#regions = engine.allocate(REGIONS_BYTES);
		this.#output = engine.allocate(batchLimitBytes(maxPages) + OUTPUT_SLACK_BYTES);
		this.#sent = this.#slots === 0 ? undefined : engine.allocate(this.#slots * SENT_SLOT_BYTES);
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
		const { pageIndices, source, into = "fresh", linkBytesPerMs, generation = 0, remember = true } = request;
		if (!(pageIndices instanceof Uint32Array)) throw new TypeError("pageIndices must be a Uint32Array");
		const count = pageIndices.length;
		checkInteger("pageIndices.length", count, 0, this.#maxPages);
		checkInteger("generation", generation, 0, 0xffff_ffff);
		if (linkBytesPerMs !== undefined && !(linkBytesPerMs > 0))
			throw new RangeError(`linkBytesPerMs must be more than 0, got ${linkBytesPerMs}`);
		if (into instanceof Uint8Array) checkInteger("into.byteLength", into.byteLength, batchLimitBytes(count), Infinity);
		const located = this.#locate(pageIndices, source);
		this.#writeRequest(pageIndices, located);
		const mayCompress = request.compress !== false;
		if (mayCompress && linkBytesPerMs !== undefined && this.#policy.isSampleDue()) this.#sample(count);
		const choice = this.#policy.choose(linkBytesPerMs);
		this.#writeChoice(
			(located.staged ? Option.staged : 0) |
				(mayCompress && choice.compress ? Option.compress : 0) |
				(choice.wordMask ? Option.wordMask : 0) |
				(remember ? Option.remember : 0),
			choice.spareLimit,
			generation,
		);
		const status = this.#engine.exports.batchEncode(this.#request.offset);
		if (status !== 0) this.#refuse(status);
		return this.#result(into);
	}

	/**
	 * Forgets versions that were sent: of pages whose batches did not reach the receiver, or were not applied there.
	 *
	 * @param pageIndices all when left out
	 */
	forgetSent(pageIndices?: Uint32Array): void {
		if (this.#sent === undefined) return;
		const { words } = this.#engine;
		const first = this.#sent.offset / 4;
		if (pageIndices === undefined) {
			for (let slot = 0; slot < this.#slots; slot++) words[first + slot * 8] = 0;
			return;
		}
		for (const pageIndex of pageIndices) {
			const slot = first + (pageIndex & (this.#slots - 1)) * 8;
			if (words[slot] === pageIndex + 1) words[slot] = 0;
		}
	}

	#writeRequest(pageIndices: Uint32Array, located: Located): void {
		const { words } = this.#engine;
		words.set(pageIndices, this.#indices.offset / 4);
		const at = this.#request.offset / 4;
		words.fill(0, at, at + Word.count);
		words[at + Word.secret] = SECRET_OFFSET;
		words[at + Word.indices] = this.#indices.offset;
		words[at + Word.pages] = pageIndices.length;
		words[at + Word.base] = located.base;
		words[at + Word.firstPage] = located.firstPage;
		words[at + Word.pageCount] = located.pageCount;
		words[at + Word.options] = located.staged ? Option.staged : 0;
		words[at + Word.output] = this.#output.offset;
		words[at + Word.table] = this.#table.offset;
		words[at + Word.regions] = this.#regions.offset;
		words[at + Word.sent] = this.#sent?.offset ?? 0;
		words[at + Word.slots] = this.#slots;
	}

	#writeChoice(options: number, spareLimit: number, generation: number): void {
		const { words } = this.#engine;
		const at = this.#request.offset / 4;
		words[at + Word.options] = options;
		words[at + Word.spareLimit] = spareLimit;
		words[at + Word.generation] = generation;
	}

	/** Takes the time of LZ4 on a few pages of the batch that is about to be encoded. */
	#sample(count: number): void {
		const { exports } = this.#engine;
		const step = Math.max(1, Math.floor(count / SAMPLE_PAGES));
		const started = this.#now?.();
		const pages = exports.batchSample(this.#request.offset, step);
		if (started !== undefined) this.#policy.observeTime(pages, this.#now!() - started);
		this.#observeSavings();
	}

	/** What LZ4 saved in the last call. */
	#observeSavings(): void {
		const { words } = this.#engine;
		const at = this.#request.offset / 4;
		this.#policy.observeSavings(words[at + Word.packed]!, words[at + Word.saved]!);
	}

	#locate(pageIndices: Uint32Array, source: PageSource): Located {
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
		const { words } = this.#engine;
		const at = this.#request.offset / 4;
		const where = `pageIndices[${words[at + Word.byteLength]}] = ${words[at + Word.zeroPages]}`;
		throw new RangeError(status === BAD_ORDER ? `${where} does not ascend` : `${where} lies outside the source`);
	}

	#result(into: Uint8Array | "fresh" | "view"): EncodedBatch {
		const { bytes, words } = this.#engine;
		const at = this.#request.offset / 4;
		const byteLength = words[at + Word.byteLength]!;
		this.#observeSavings();
		const encoded = bytes.subarray(this.#output.offset, this.#output.offset + byteLength);
		let result: Uint8Array = encoded;
		if (into instanceof Uint8Array) {
			into.set(encoded);
			result = into.subarray(0, byteLength);
		} else if (into === "fresh") result = encoded.slice();
		return {
			bytes: result,
			byteLength,
			checksum: BigInt(words[at + Word.checksum]!) | (BigInt(words[at + Word.checksum + 1]!) << 32n),
			zeroPages: words[at + Word.zeroPages]!,
			rawPages: words[at + Word.rawPages]!,
			lz4Pages: words[at + Word.lz4Pages]!,
			unchangedPages: words[at + Word.unchangedPages]!,
			deltaPages: words[at + Word.deltaPages]!,
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
