// Work beside a v86 guest's RAM: encode, install, hash, and find dirty pages. Each job is a generator that yields where the
// guest may run (slices.ts).
//
// RAM lies somewhere in the machine's WebAssembly memory: page i of the guest is page `base + i` there. The in-place kernels
// read it where it is. While a running guest's pages are scanned for changes, encoding reads the shadow; with a patched page walk
// there is no shadow, and pages are copied once from live RAM: within one step of a job the guest does not run.
import {
	BATCH_LIMIT_PAGES,
	BatchDecoder,
	BatchEncoder,
	type BatchRequest,
	batchChecksum,
	batchHashes,
	batchLimitBytes,
	type DecodedBatch,
} from "../../engine/batch.ts";
import { stagePages } from "../../engine/batch-encoder.ts";
import { Bitmap } from "../../engine/bitmap.ts";
import { createEngine, type Engine, type Region } from "../../engine/engine.ts";
import { HASH_BYTES } from "../../engine/hash.ts";
import { GuestMemoryKernels } from "../../engine/inplace.ts";
import type { SendOptions } from "../../ports/delta-guest.ts";
import {
	type AppliedPages,
	type EncodedBatch,
	type EncodeOptions,
	GuestError,
	PAGE_BYTES,
	type PageBatch,
	type PageKinds,
} from "../../ports/guest.ts";
import { BatchSplicer, kindsOf } from "../batch-splicer.ts";
import { BufferPool } from "../buffer-pool.ts";
import { type ShadowedMemory, STEP_PAGES } from "../scan-tracker.ts";
import { openSentEncoder } from "../sent-encoder.ts";
import type { V86Machine } from "./machine.ts";

/** LZ4 takes 6 µs a page where it finds something: 128 pages stay under 1 ms. */
const LIVE_COMPRESS_PAGES = 128;
/** Without it a page takes 1 µs. */
const LIVE_PAGES = 512;

/** What a copy holds at most: 2 MiB, in a buffer of the batches' pool. */
export const MOST_COPIED_PAGES = 512;

/** Pages as they were when they were copied. */
export interface CopiedPages {
	readonly pageIndices: Uint32Array;
	/** In their order. */
	readonly bytes: Uint8Array<ArrayBuffer>;
	/** Called once, when nothing of it is encoded any more. */
	free(): void;
}

/** A sender's work: see `PageSender`. */
export interface PageSenderWork {
	readonly memoryBytes: number;
	encode(pageIndices: Uint32Array, options: SendOptions, isPaused: () => boolean): Generator<void, PageBatch>;
	forget(): void;
	close(): void;
}

/** See the head of this file. */
export class PageWork implements ShadowedMemory {
	readonly #machine: V86Machine;
	readonly #engine: Engine;
	readonly #kernels: GuestMemoryKernels;
	readonly #buffers = new BufferPool();
	readonly #encoder: BatchEncoder;
	readonly #changed: Bitmap;
	#decoder: BatchDecoder | undefined;
	/** Whether the shadow is in use: encode from it. */
	shadowed = false;
	#shadow: Region | undefined;
	#shadowPages = 0;
	/** Who needs the engine beyond the guest's end. */
	#retained = 0;
	#isOver = false;

	constructor(machine: V86Machine) {
		this.#machine = machine;
		this.#engine = createEngine();
		this.#kernels = new GuestMemoryKernels(this.#engine, machine.exports.memory);
		this.#encoder = new BatchEncoder(this.#engine);
		this.#changed = new Bitmap(this.#engine, STEP_PAGES);
	}

	get pageCount(): number {
		return this.#machine.pageCount;
	}

	/** The engine that works here: device state uses it too. */
	get engine(): Engine {
		return this.#engine;
	}

	/** Over the machine's memory. */
	get kernels(): GuestMemoryKernels {
		return this.#kernels;
	}

	/** @param isPaused - whether nobody waits for the thread: the batch is then encoded at once */
	encode(pageIndices: Uint32Array, options: EncodeOptions, isPaused: () => boolean): Generator<void, PageBatch> {
		return this.#encode(this.#encoder, pageIndices, options, isPaused);
	}

	/** Copies pages of a paused guest out of its memory. @throws RangeError for more than {@link MOST_COPIED_PAGES} */
	copyPages(pageIndices: Uint32Array): CopiedPages {
		this.#checkIndices(pageIndices);
		const { length } = pageIndices;
		if (length > MOST_COPIED_PAGES)
			throw new RangeError(`pageIndices has ${length} pages, a copy at most ${MOST_COPIED_PAGES}`);
		const buffer = this.#buffers.take(length * PAGE_BYTES);
		const bytes = new Uint8Array(buffer, 0, length * PAGE_BYTES);
		stagePages(this.#machine.ram, pageIndices, this.pageCount, bytes);
		const release = this.retain();
		const free = (): void => {
			this.#buffers.give(buffer);
			release();
		};
		return { pageIndices, bytes, free };
	}

	/** As {@link encode}, of pages as they were copied. */
	encodeCopy(
		copy: CopiedPages,
		pageIndices: Uint32Array,
		options: EncodeOptions,
		isPaused: () => boolean,
	): Generator<void, PageBatch> {
		const encoder = this.#encoder;
		return this.#encode(encoder, pageIndices, options, isPaused, (pages) => {
			stageCopied(copy, pages, encoder.staging(pages.length));
			return { kind: "staged" };
		});
	}

	/** Keeps the engine beyond the guest's end. @returns what ends that, to be called once */
	retain(): () => void {
		this.#retained++;
		return () => {
			this.#retained--;
			this.#disposeIfDone();
		};
	}

	/**
	 * An encoder that remembers what it has sent, in an engine of its own: see ports/delta-guest.ts.
	 * @throws {GuestError} `too-large` when there is no memory; RangeError for `sentPages` out of range
	 */
	openSender(sentPages: number): PageSenderWork {
		const engine = createEngine();
		const encoder = openSentEncoder(engine, sentPages);
		return {
			memoryBytes: engine.usedBytes,
			encode: (pageIndices, options, isPaused) => this.#encode(encoder, pageIndices, options, isPaused),
			forget: () => encoder.forgetSent(),
			close: () => engine.dispose(),
		};
	}

	*#encode(
		encoder: BatchEncoder,
		pageIndices: Uint32Array,
		options: EncodeOptions | SendOptions,
		isPaused: () => boolean,
		sourceOf = (_pages: Uint32Array, still: boolean) => this.#sourceFor(encoder, still),
	): Generator<void, PageBatch> {
		this.#checkIndices(pageIndices);
		const compress = options.compress && encoder.compresses(options.linkBytesPerMs);
		const into = new Uint8Array(this.#buffers.take(batchLimitBytes(pageIndices.length)));
		try {
			const still = isPaused();
			const most = still ? BATCH_LIMIT_PAGES : compress ? LIVE_COMPRESS_PAGES : LIVE_PAGES;
			if (pageIndices.length <= most) {
				const made = encoder.encode({ ...options, pageIndices, source: sourceOf(pageIndices, still), into });
				return this.#finished(pageIndices, into, made, kindsOf(made));
			}
			const splicer = new BatchSplicer(into, pageIndices.length);
			for (let from = 0; from < pageIndices.length; from += most) {
				const piece = pageIndices.subarray(from, from + most);
				const source = sourceOf(piece, still);
				splicer.add(encoder.encode({ ...options, pageIndices: piece, source, into: "view" }));
				yield;
			}
			const { byteLength, kinds } = splicer.end();
			const checksum = batchChecksum(this.#engine, into.subarray(0, byteLength));
			return this.#finished(pageIndices, into, { byteLength, checksum }, kinds);
		} catch (error) {
			this.#buffers.give(into.buffer);
			throw error;
		}
	}

	#finished(
		pageIndices: Uint32Array,
		into: Uint8Array<ArrayBuffer>,
		made: { readonly byteLength: number; readonly checksum: bigint },
		kinds: PageKinds,
	): PageBatch {
		const bytes = into.subarray(0, made.byteLength);
		let released = false;
		return {
			bytes,
			checksum: made.checksum,
			pageIndices,
			hashes: batchHashes(bytes, pageIndices.length),
			zeroPages: kinds.zero,
			kinds,
			wireByteLength: bytes.byteLength,
			release: () => {
				if (!released) this.#buffers.give(into.buffer);
				released = true;
			},
		};
	}

	/** @param still - the guest is paused: its memory itself is right, the shadow is as somebody's cursor has left it */
	#sourceFor(encoder: BatchEncoder, still: boolean): BatchRequest["source"] {
		if (still || !this.shadowed || this.#shadow === undefined) return { kind: "memory", bytes: this.#machine.ram };
		if (encoder === this.#encoder) return { kind: "region", region: this.#shadow, firstPage: 0 };
		return { kind: "memory", bytes: this.#engine.view(this.#shadow) };
	}

	#checkIndices(pageIndices: Uint32Array): void {
		if (pageIndices.length > BATCH_LIMIT_PAGES)
			throw new RangeError(`pageIndices has ${pageIndices.length} pages, a batch at most ${BATCH_LIMIT_PAGES}`);
		let before = -1;
		for (const pageIndex of pageIndices) {
			if (pageIndex <= before) throw new RangeError(`pageIndices: ${pageIndex} after ${before} does not ascend`);
			before = pageIndex;
		}
		if (before >= this.pageCount)
			throw new RangeError(`pageIndices: page ${before} does not exist, the guest has ${this.pageCount}`);
	}

	/** Verifies the whole batch, then installs it; deltas are applied to what is there. */
	apply(batch: EncodedBatch): AppliedPages {
		const { ram } = this.#machine;
		const decoded = this.decode(batch, ram);
		decoded.install(ram);
		return { pageIndices: decoded.pageIndices(), hashes: batchHashes(batch.bytes, decoded.pages) };
	}

	/** Verifies a batch for this memory; valid until the next one. */
	decode({ bytes, checksum }: EncodedBatch, base?: Uint8Array): DecodedBatch {
		this.#decoder ??= new BatchDecoder(this.#engine);
		const options = { pageCount: this.pageCount, checksum, ...(base === undefined ? {} : { base }) };
		return this.#decoder.decode(bytes, options);
	}

	*hashes(firstPage: number, pageCount: number): Generator<void, Uint8Array<ArrayBuffer>> {
		if (firstPage < 0 || firstPage + pageCount > this.pageCount)
			throw new RangeError(`firstPage: ${firstPage} + ${pageCount} pages lie beyond ${this.pageCount}`);
		const hashes = new Uint8Array(pageCount * HASH_BYTES);
		for (let done = 0; done < pageCount; done += STEP_PAGES) {
			const count = Math.min(STEP_PAGES, pageCount - done);
			hashes.set(this.#kernels.hashPages(this.#base + firstPage + done, count), done * HASH_BYTES);
			yield;
		}
		return hashes;
	}

	/** Lets every kernel run once and touches what a move needs: first calls and first touches are slow. */
	prepare(): void {
		const { bytes, checksum, release } = drained(this.encode(Uint32Array.of(0, 1), { compress: true }, () => true));
		this.decode({ bytes, checksum });
		release();
		this.#kernels.hashPages(this.#base, 1);
		this.#buffers.prepare(2);
		this.#engine.prefault();
	}

	// The shadow, for a guest whose page walk cannot be followed (ShadowedMemory).

	get shadowPageCount(): number {
		return this.#shadowPages;
	}

	extend(pageCount: number): void {
		try {
			// Regions are never given back: one shadow serves every scan of this guest.
			this.#shadow ??= this.#engine.allocate(pageCount * PAGE_BYTES, PAGE_BYTES);
		} catch (cause) {
			throw new GuestError("too-large", `no memory for a shadow of ${pageCount} pages`, cause);
		}
		this.#shadowPages = pageCount;
		this.shadowed = true;
	}

	compare(firstPage: number, pageCount: number, changed: Uint8Array): number {
		this.#changed.clearAll();
		const at = { shadowPage: firstPage, bit: 0 };
		const count = this.#kernels.compareToShadow(this.#shadow!, this.#base + firstPage, pageCount, this.#changed, at);
		const { offset } = this.#changed.region;
		if (count > 0) changed.set(this.#engine.bytes.subarray(offset, offset + Math.ceil(pageCount / 8)));
		return count;
	}

	copy(firstPage: number, pageCount: number): void {
		this.#kernels.copyOut(this.#base + firstPage, pageCount, this.#shadow!, firstPage);
	}

	detach(): void {
		this.#shadowPages = 0;
		this.shadowed = false;
	}

	/** Page of the machine's memory where RAM begins. */
	get #base(): number {
		return this.#machine.ramOffset / PAGE_BYTES;
	}

	/** Once nobody needs the engine any more. */
	dispose(): void {
		this.#isOver = true;
		this.#disposeIfDone();
	}

	#disposeIfDone(): void {
		if (this.#isOver && this.#retained === 0) this.#engine.dispose();
	}
}

/** Puts some of the pages of a copy one after the other. @throws RangeError for one that is not in it */
function stageCopied({ pageIndices, bytes }: CopiedPages, wanted: Uint32Array, staging: Uint8Array): void {
	let at = 0;
	for (const [to, page] of wanted.entries()) {
		while (at < pageIndices.length && pageIndices[at]! < page) at++;
		if (pageIndices[at] !== page) throw new RangeError(`pageIndices[${to}] = ${page} was not copied`);
		staging.set(bytes.subarray(at * PAGE_BYTES, (at + 1) * PAGE_BYTES), to * PAGE_BYTES);
	}
}

/** The result of a job that nobody interrupts. */
export function drained<T>(job: Generator<void, T>): T {
	for (;;) {
		const next = job.next();
		if (next.done === true) return next.value;
	}
}
