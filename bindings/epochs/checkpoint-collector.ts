/**
 * The side that follows: one checkpoint after another is put together from its records, and is something only when all of
 * it is here. No I/O.
 *
 *   waiting ──epoch──▶ collecting ──checkpoint (digest fits)──▶ waiting, with a whole checkpoint
 *                        ▲ │ batch …, then state …
 *                        └─┘
 *
 * Invariants: at most one checkpoint is being collected; it holds each page at most once, and no batch is larger than the
 * pages that it names, so that a checkpoint is never larger than the guest; a page is not looked at here but by its number:
 * who applies it verifies it.
 */
import { batchLimitBytes } from "../engine/batch.ts";
import type { Engine } from "../engine/engine.ts";
import { MoveError } from "../handover/move-error.ts";
import { pagesNamedBy } from "../paging/batch-pages.ts";
import type { EncodedBatch } from "../ports/guest.ts";
import type { GuestCheckpoint } from "../ports/standby-guest.ts";
import { checkpointDigest } from "../wire/digest.ts";
import type { BatchRecord, CheckpointPart, CheckpointRecord, EpochRecord, StateRecord } from "../wire/records.ts";

/** A checkpoint, all of it. */
export interface CollectedCheckpoint extends GuestCheckpoint {
	readonly epoch: number;
	/** The pages that it changes, ascending within each batch. */
	readonly pageIndices: readonly number[];
}

interface Collecting {
	readonly epoch: number;
	readonly pageCount: number;
	readonly state: Uint8Array<ArrayBuffer>;
	stateReceived: number;
	stateBegun: boolean;
	readonly batches: EncodedBatch[];
	readonly pages: Set<number>;
}

/** See the head of this file. */
export class CheckpointCollector {
	readonly #engine: Engine;
	readonly #maximumPageCount: number;
	#collecting: Collecting | undefined;
	/** The last epoch that began. */
	#last: number;

	/**
	 * @param maximumPageCount - how far the guest may grow.
	 * @param last - the last epoch that is known; later ones have larger numbers.
	 */
	constructor(engine: Engine, maximumPageCount: number, last = 0) {
		this.#engine = engine;
		this.#maximumPageCount = maximumPageCount;
		this.#last = last;
	}

	/**
	 * Takes the next record; bytes of batches and state must stay as they are.
	 * @returns the checkpoint that it completes.
	 * @throws {MoveError} `protocol` for a record out of order or beyond its limit, `corrupt` for a digest that does not fit.
	 */
	take(record: CheckpointPart): CollectedCheckpoint | undefined {
		if (record.type === "epoch") {
			this.#begin(record);
			return undefined;
		}
		const collecting = this.#collecting;
		if (collecting === undefined) throw new MoveError("protocol", `a '${record.type}' outside of any checkpoint`);
		if (record.type === "batch") this.#addBatch(collecting, record);
		else if (record.type === "state") this.#addState(collecting, record);
		else return this.#complete(collecting, record);
		return undefined;
	}

	#begin({ epoch, pageCount, stateByteLength }: EpochRecord): void {
		if (this.#collecting !== undefined)
			throw new MoveError("protocol", `checkpoint ${epoch} begins before ${this.#collecting.epoch} is complete`);
		if (epoch <= this.#last) throw new MoveError("protocol", `checkpoint ${epoch} after ${this.#last}`);
		if (pageCount > this.#maximumPageCount)
			throw new MoveError(
				"protocol",
				`a checkpoint of ${pageCount} pages, the guest may have ${this.#maximumPageCount}`,
			);
		this.#last = epoch;
		const state = new Uint8Array(stateByteLength);
		this.#collecting = { epoch, pageCount, state, stateReceived: 0, stateBegun: false, batches: [], pages: new Set() };
	}

	#addBatch(collecting: Collecting, { batch }: BatchRecord): void {
		if (collecting.stateBegun) throw new MoveError("protocol", "pages of a checkpoint after its state");
		const named = pagesNamedBy(batch.bytes);
		// Batches are kept until the checkpoint is complete: bytes that no page accounts for would have no bound.
		if (named.length === 0 || batch.bytes.byteLength > batchLimitBytes(named.length))
			throw new MoveError(
				"protocol",
				`checkpoint ${collecting.epoch} has a batch of ${batch.bytes.byteLength} bytes for ${named.length} pages`,
			);
		for (const page of named) {
			if (page >= collecting.pageCount || collecting.pages.has(page))
				throw new MoveError("protocol", `checkpoint ${collecting.epoch} has page ${page} twice, or does not have it`);
			collecting.pages.add(page);
		}
		collecting.batches.push(batch);
	}

	#addState(collecting: Collecting, { offset, total, bytes }: StateRecord): void {
		if (total !== collecting.state.byteLength || offset !== collecting.stateReceived)
			throw new MoveError("protocol", `state bytes at ${offset} of ${total}, expected ${collecting.stateReceived}`);
		collecting.stateBegun = true;
		collecting.state.set(bytes, offset);
		collecting.stateReceived += bytes.byteLength;
	}

	#complete(collecting: Collecting, { epoch, digest }: CheckpointRecord): CollectedCheckpoint {
		const { pageCount, state, batches, pages } = collecting;
		if (epoch !== collecting.epoch || collecting.stateReceived !== state.byteLength)
			throw new MoveError("protocol", `checkpoint ${epoch} ends before all of ${collecting.epoch} is here`);
		const checksums = batches.map(({ checksum }) => checksum);
		const own = checkpointDigest(this.#engine, epoch, pageCount, checksums, state);
		if (own !== digest)
			throw new MoveError("corrupt", `checkpoint ${epoch} arrived with the digest ${own}, it was sent with ${digest}`);
		this.#collecting = undefined;
		return { epoch, pageCount, state, batches, pageIndices: [...pages] };
	}
}
