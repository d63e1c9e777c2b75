// Encodes batches; the format is drawn in batch.ts, the kernel is assembly/batch-encode.ts.
import {
	BATCH_ENTRY_BYTES,
	BATCH_HEADER_BYTES,
	BATCH_LIMIT_PAGES,
	type BatchOptions,
	batchLimitBytes,
} from "./batch-layout.ts";
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
/**
 * Pages of one call of the kernel: 256 KiB, of which those that travel as they are, are copied while the second-level cache
 * still has them.
 */
const CALL_PAGES = 64;
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
	 * `"view"` for a view of the engine's memory, valid until the next call of this encoder or the next allocation in its
	 * engine; the first such call allocates. A {@link BatchPiece} takes the pages as a part of a larger batch.
	 */
	readonly into?: Uint8Array | "fresh" | "view" | BatchPiece;
}

/** Where a part of a batch goes: its entries and its payloads lie apart, and the header is not its own. */
export interface BatchPiece {
	readonly bytes: Uint8Array;
	/** Where its first entry goes. */
	readonly tableAt: number;
	/** Where its first payload goes; there must be 4096 bytes of room for each page. */
	readonly payloadAt: number;
}

/** An encoded batch. */
export interface EncodedBatch {
	/** Exactly the batch's bytes; of a {@link BatchPiece} its whole array. */
	readonly bytes: Uint8Array;
	readonly byteLength: number;
	/** The batch's checksum (batch-checksum.ts). Of a {@link BatchPiece} it means nothing. */
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
	runs: 14,
	runCount: 18,
	byteLength: 19,
	zeroPages: 20,
	rawPages: 21,
	lz4Pages: 22,
	unchangedPages: 23,
	deltaPages: 24,
	packed: 25,
	saved: 26,
	checksum: 28,
	count: 30,
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
	readonly #runs: Region;
	readonly #sent: Region | undefined;
	readonly #slots: number;
	#staging: Region | undefined;
	#view: Region | undefined;

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
		this.#runs = engine.allocate(CALL_PAGES * 8);
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
	 * Encodes one batch, 64 pages to a call of the engine.
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
		const located = this.#locate(pageIndices, source);
		// Last of what may allocate: the view it may hold is lost when the engine's memory grows.
		const place = this.#place(into, count);
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
		const status = this.#engine.exports.batchStart(this.#request.offset);
		if (status !== 0) this.#refuse(status);
		this.#encodeInto(place, count);
		return this.#result(into, place);
	}

	/** Whether LZ4 would be used on a link of this rate, as far as it is known what it saves and costs. */
	compresses(linkBytesPerMs: number | undefined): boolean {
		return this.#policy.choose(linkBytesPerMs).compress;
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
		words[at + Word.runs] = this.#runs.offset;
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

	/** Where the batch goes: header and table first, payloads where `payloadAt` says. */
	#place(into: NonNullable<BatchRequest["into"]>, pages: number): BatchPiece {
		const payloadAt = BATCH_HEADER_BYTES + pages * BATCH_ENTRY_BYTES;
		if (into === "view") {
			this.#view ??= this.#engine.allocate(batchLimitBytes(this.#maxPages));
			return { bytes: this.#engine.view(this.#view), tableAt: BATCH_HEADER_BYTES, payloadAt };
		}
		if (into === "fresh")
			return { bytes: new Uint8Array(batchLimitBytes(pages)), tableAt: BATCH_HEADER_BYTES, payloadAt };
		if (!(into instanceof Uint8Array)) {
			checkInteger("into.tableAt", into.tableAt, BATCH_HEADER_BYTES, into.bytes.byteLength - pages * BATCH_ENTRY_BYTES);
			checkInteger("into.payloadAt", into.payloadAt, into.tableAt, into.bytes.byteLength - pages * PAGE_BYTES);
			return into;
		}
		checkInteger("into.byteLength", into.byteLength, batchLimitBytes(pages), Infinity);
		return { bytes: into, tableAt: BATCH_HEADER_BYTES, payloadAt };
	}

	/** Runs the kernel, and copies what it has made and what travels as it is. */
	#encodeInto({ bytes: into, tableAt, payloadAt }: BatchPiece, pages: number): void {
		const { bytes, words, exports } = this.#engine;
		const at = this.#request.offset / 4;
		let to = payloadAt;
		for (let left = pages; left > 0; ) {
			left = exports.batchEncode(this.#request.offset, CALL_PAGES);
			const end = this.#runs.offset / 4 + 2 * words[at + Word.runCount]!;
			for (let run = this.#runs.offset / 4; run < end; run += 2) {
				const from = words[run]!;
				const byteLength = words[run + 1]!;
				into.set(bytes.subarray(from, from + byteLength), to);
				to += byteLength;
			}
		}
		exports.batchEnd(this.#request.offset);
		const table = this.#output.offset + BATCH_HEADER_BYTES;
		into.set(bytes.subarray(table, table + pages * BATCH_ENTRY_BYTES), tableAt);
	}

	#result(into: NonNullable<BatchRequest["into"]>, place: BatchPiece): EncodedBatch {
		const { bytes, words } = this.#engine;
		const at = this.#request.offset / 4;
		const byteLength = words[at + Word.byteLength]!;
		this.#observeSavings();
		let result = place.bytes;
		if (place !== into) {
			const { offset } = this.#output;
			result.set(bytes.subarray(offset, offset + BATCH_HEADER_BYTES));
			result = into === "fresh" ? result.slice(0, byteLength) : result.subarray(0, byteLength);
		}
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
export function stagePages(memory: Uint8Array, pageIndices: Uint32Array, pageCount: number, staging: Uint8Array): void {
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
