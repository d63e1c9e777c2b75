// Work beside the guest's memory, inside its worker: tracking, encoding, installing, hashing. Each job is a generator that
// yields where the guest may have the thread (work-loop.ts).
//
// Pages are encoded from the shadow while a cursor is open (it only changes between jobs), else staged from live memory.
import {
	BATCH_LIMIT_PAGES,
	BatchDecoder,
	BatchEncoder,
	type BatchPiece,
	type BatchRequest,
	batchChecksum,
	type EncodedBatch,
} from "../../engine/batch.ts";
import { createEngine, type Engine } from "../../engine/engine.ts";
import { GuestMemoryKernels } from "../../engine/inplace.ts";
import { GuestError, PAGE_BYTES } from "../../ports/guest.ts";
import { BatchSplicer, kindsOf } from "../batch-splicer.ts";
import { recordError } from "../error-record.ts";
import { ScanTracker, STEP_PAGES } from "../scan-tracker.ts";
import { BarrierTracker } from "./barrier-tracker.ts";
import type { CompiledEngine } from "./compiled-engine.ts";
import { DeltaSenders } from "./delta-senders.ts";
import type { DirtyTracker, TrackerName } from "./dirty-tracker.ts";
import type { ApplyResult, Empty, EncodeOrder, EncodeResult, Jobs } from "./protocol.ts";
import { Shadow, type ShadowOptions } from "./shadow.ts";
import { VerifiedTracker } from "./verified-tracker.ts";

/** LZ4 takes 6 µs a page where it finds something: 128 pages stay under 1 ms. */
const LIVE_COMPRESS_PAGES = 128;

/** How dirty pages are found, and how a shadow is kept. */
export interface PageWorkOptions extends ShadowOptions {
	/** `scan` if left out. */
	readonly tracker?: TrackerName;
}

/** Pages whose contents are encoded in one call of an engine. */
interface Piece {
	readonly from: number;
	readonly to: number;
}

/** See the head of this file. */
export class PageWork {
	readonly #memory: WebAssembly.Memory;
	readonly #compiled: CompiledEngine;
	readonly #options: PageWorkOptions;
	readonly #engine: Engine;
	readonly #kernels: GuestMemoryKernels;
	readonly #shadow: Shadow;
	readonly #tracker: DirtyTracker;
	/** Encoders that remember what they have sent. */
	readonly senders: DeltaSenders;
	/** The barrier, where there is one: whoever changes the guest's code binds it. */
	readonly barrier: BarrierTracker | undefined;
	#encoder: BatchEncoder | undefined;
	/** Whether the guest was paused when the encoding that is under way began. */
	#isStill = false;
	#decoder: BatchDecoder | undefined;

	constructor(memory: WebAssembly.Memory, compiled: CompiledEngine, options: PageWorkOptions) {
		this.#memory = memory;
		this.#compiled = compiled;
		this.#options = options;
		this.#engine = createEngine(compiled.engine);
		this.#kernels = new GuestMemoryKernels(this.#engine, memory, compiled.inplace);
		this.#shadow = new Shadow(memory, compiled, options);
		this.senders = new DeltaSenders(compiled.engine, timed(options));
		const scan = new ScanTracker(this.#shadow);
		const { tracker = "scan" } = options;
		this.barrier = tracker === "scan" ? undefined : new BarrierTracker(memory);
		if (this.barrier === undefined) this.#tracker = scan;
		else this.#tracker = tracker === "barrier" ? this.barrier : new VerifiedTracker(scan, this.barrier);
	}

	get pageCount(): number {
		return this.#memory.buffer.byteLength / PAGE_BYTES;
	}

	get shadowBytes(): number {
		return this.#shadow.heldBytes;
	}

	get engineBytes(): number {
		return this.#engine.usedBytes;
	}

	/** What a verified barrier has found. */
	get barrierReport(): Jobs["barrier-report"]["result"] {
		return { report: this.#tracker instanceof VerifiedTracker ? this.#tracker.report : undefined };
	}

	*open(): Generator<void, Jobs["open"]["result"]> {
		return { cursor: yield* this.#tracker.open() };
	}

	*peek(order: Jobs["peek"]["order"]): Generator<void, Jobs["peek"]["result"]> {
		const { cursor, firstPage, pageCount, candidates } = order;
		return { bits: yield* this.#tracker.peek(cursor, firstPage, pageCount, candidates) };
	}

	*harvest({ cursor }: Jobs["harvest"]["order"]): Generator<void, Jobs["harvest"]["result"]> {
		return yield* this.#tracker.harvest(cursor);
	}

	putBack({ cursor, bits }: Jobs["put-back"]["order"]): Empty {
		this.#tracker.putBack(cursor, bits);
		return {};
	}

	close({ cursor }: Jobs["close"]["order"]): Empty {
		this.#tracker.close(cursor);
		return {};
	}

	/** Allocates and touches what a move will need here, and lets every kernel run once: the first call is slower. */
	*prepare(): Generator<void, void> {
		// A shadow in use is extended by the tracker alone: it must note the new pages first.
		if (!this.#tracker.attached && this.#options.tracker !== "barrier") yield* this.#shadow.prefault();
		this.#shadow.warm();
		yield;
		this.#kernels.hashPages(0, 1);
		this.#warmStaged();
	}

	/** Prepares a target for batches. */
	prepareTarget(): void {
		for (const batch of this.#warmStaged()) this.decoder.decode(batch, { pageCount: 1 });
		this.#engine.prefault();
	}

	/** What verifies batches before anything of them is installed. */
	get decoder(): BatchDecoder {
		this.#decoder ??= new BatchDecoder(this.#engine);
		return this.#decoder;
	}

	/** Encodes one page in each way. @returns the batches */
	#warmStaged(): Uint8Array[] {
		const encoder = this.#stagedEncoder();
		const pageIndices = Uint32Array.of(0);
		return [false, true].map((compress) => {
			const source = this.#stageLive(encoder, pageIndices);
			return encoder.encode({ pageIndices, source, compress, into: "fresh" }).bytes;
		});
	}

	/** @param isPaused whether nobody waits for the thread: the batch is then encoded at once */
	*encode(order: EncodeOrder, isPaused: () => boolean): Generator<void, EncodeResult> {
		const { pageIndices, buffer } = order;
		this.#checkIndices(pageIndices);
		const last = pageIndices.at(-1);
		this.#isStill = isPaused();
		if (this.#tracker.attached && last !== undefined) yield* this.#tracker.cover(last);
		const most = isPaused() || !this.#wouldCompress(order) ? BATCH_LIMIT_PAGES : LIVE_COMPRESS_PAGES;
		const pieces = this.#pieces(pageIndices, most);
		const into = new Uint8Array(buffer);
		if (pieces.length <= 1) {
			const encoded = this.#encodePiece(pageIndices, order, into);
			const { byteLength, checksum, zeroPages } = encoded;
			return { buffer, byteLength, checksum, zeroPages, kinds: kindsOf(encoded) };
		}
		const splicer = new BatchSplicer(into, pageIndices.length);
		for (const { from, to } of pieces) {
			splicer.added(this.#encodePiece(pageIndices.subarray(from, to), order, splicer.next));
			yield;
		}
		const { byteLength, zeroPages, kinds } = splicer.end();
		return {
			buffer,
			byteLength,
			zeroPages,
			kinds,
			checksum: batchChecksum(this.#engine, into.subarray(0, byteLength)),
		};
	}

	/** The same in one piece, from memory that nobody changes: while the guest is paused and no cursor is open. */
	encodeNow(order: Omit<EncodeOrder, "buffer">, into: Uint8Array): Omit<EncodeResult, "buffer"> {
		const { pageIndices } = order;
		this.#checkIndices(pageIndices);
		if (this.#tracker.attached) throw new GuestError("state", "encode: a dirty cursor is open");
		return this.#encodePiece(pageIndices, order, into);
	}

	#checkIndices(pageIndices: Uint32Array): void {
		if (pageIndices.length > BATCH_LIMIT_PAGES)
			throw new RangeError(`pageIndices has ${pageIndices.length} pages, a batch at most ${BATCH_LIMIT_PAGES}`);
		const { length } = pageIndices;
		// By index, not by iterator: a new worker runs this before it is optimized.
		for (let i = 1; i < length; i++)
			if (pageIndices[i]! <= pageIndices[i - 1]!)
				throw new RangeError(`pageIndices: ${pageIndices[i]} after ${pageIndices[i - 1]} does not ascend`);
		const last = pageIndices[length - 1] ?? -1;
		if (last >= this.pageCount)
			throw new RangeError(`pageIndices: page ${last} does not exist, the guest has ${this.pageCount}`);
	}

	/** Splits at `most` pages, and where the shadow's next shard begins. */
	#pieces(pageIndices: Uint32Array, most: number): Piece[] {
		const pieces: Piece[] = [];
		for (let from = 0; from < pageIndices.length; ) {
			let to = Math.min(from + most, pageIndices.length);
			if (this.#readsShadow) {
				const shardEnd = this.#shadow.shardEnd(pageIndices[from]!);
				while (pageIndices[to - 1]! >= shardEnd) to--;
			}
			pieces.push({ from, to });
			from = to;
		}
		return pieces;
	}

	#encodePiece(
		pageIndices: Uint32Array,
		order: Omit<EncodeOrder, "buffer" | "pageIndices">,
		into: Uint8Array | BatchPiece,
	): EncodedBatch {
		const { compress, linkBytesPerMs, deltas } = order;
		const request = { pageIndices, compress, into, ...(linkBytesPerMs === undefined ? {} : { linkBytesPerMs }) };
		const first = pageIndices[0];
		if (deltas !== undefined) {
			const { sender, generation, remember } = deltas;
			const encoder = this.senders.encoder(sender);
			const source = this.#readsShadow
				? this.#stageShadow(encoder, pageIndices)
				: this.#stageLive(encoder, pageIndices);
			return encoder.encode({ ...request, source, generation, remember });
		}
		if (!this.#readsShadow || first === undefined) {
			const encoder = this.#stagedEncoder();
			return encoder.encode({ ...request, source: this.#stageLive(encoder, pageIndices) });
		}
		const { encoder, region, firstPage } = this.#shadow.shardOf(first);
		return encoder.encode({ ...request, source: { kind: "region", region, firstPage } });
	}

	/**
	 * Pages are encoded from the shadow while a cursor that scans is open and the guest may change them. Of a paused guest
	 * the memory itself is right: the shadow is as somebody else's cursor has left it (a history beside a post-copy move).
	 */
	get #readsShadow(): boolean {
		return this.#tracker.attached && !this.#isStill;
	}

	#wouldCompress({ pageIndices, compress, linkBytesPerMs, deltas }: EncodeOrder): boolean {
		const first = pageIndices[0];
		if (!compress || first === undefined) return false;
		if (deltas !== undefined) return this.senders.encoder(deltas.sender).compresses(linkBytesPerMs);
		const encoder = this.#readsShadow ? this.#shadow.shardOf(first).encoder : this.#stagedEncoder();
		return encoder.compresses(linkBytesPerMs);
	}

	#stagedEncoder(): BatchEncoder {
		this.#encoder ??= new BatchEncoder(this.#engine, timed(this.#options));
		return this.#encoder;
	}

	#stageLive(encoder: BatchEncoder, pageIndices: Uint32Array): BatchRequest["source"] {
		return stage(encoder, pageIndices, (first, count, into) => {
			into.set(new Uint8Array(this.#memory.buffer, first * PAGE_BYTES, count * PAGE_BYTES));
		});
	}

	#stageShadow(encoder: BatchEncoder, pageIndices: Uint32Array): BatchRequest["source"] {
		return stage(encoder, pageIndices, (first, count, into) => this.#shadow.read(first, count, into));
	}

	/** Verifies the whole batch, then installs it. */
	apply({ buffer, byteLength, checksum }: Jobs["apply"]["order"]): ApplyResult {
		const memory = new Uint8Array(this.#memory.buffer);
		try {
			const batch = this.decoder.decode(new Uint8Array(buffer, 0, byteLength), {
				pageCount: this.pageCount,
				checksum,
				base: memory,
			});
			batch.install(memory);
			return { buffer, refused: undefined };
		} catch (error) {
			return { buffer, refused: recordError(error) };
		}
	}

	*hashes({ firstPage, pageCount }: Jobs["hashes"]["order"]): Generator<void, Jobs["hashes"]["result"]> {
		const hashes = new Uint8Array(pageCount * 16);
		for (let done = 0; done < pageCount; done += STEP_PAGES) {
			const count = Math.min(STEP_PAGES, pageCount - done);
			hashes.set(this.#kernels.hashPages(firstPage + done, count), done * 16);
			yield;
		}
		return { hashes };
	}

	/** Frees the shadow and the engine. */
	dispose(): void {
		this.#shadow.release();
		this.senders.dispose();
		this.#engine.dispose();
	}

	/** The same for another memory: the target's instance was started again. */
	movedTo(memory: WebAssembly.Memory): PageWork {
		this.dispose();
		return new PageWork(memory, this.#compiled, this.#options);
	}
}

/** Fills an encoder's staging, a run of consecutive pages at a time. */
function stage(
	encoder: BatchEncoder,
	pageIndices: Uint32Array,
	copy: (firstPage: number, pageCount: number, into: Uint8Array) => void,
): BatchRequest["source"] {
	const staging = encoder.staging(pageIndices.length);
	for (let from = 0; from < pageIndices.length; ) {
		const first = pageIndices[from]!;
		let to = from + 1;
		while (to < pageIndices.length && pageIndices[to] === first + (to - from)) to++;
		copy(first, to - from, staging.subarray(from * PAGE_BYTES, to * PAGE_BYTES));
		from = to;
	}
	return { kind: "staged" };
}

function timed({ now }: PageWorkOptions): { readonly now?: () => number } {
	return now === undefined ? {} : { now };
}
