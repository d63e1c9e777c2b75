// The pages of a wasm guest, seen from the host: every call is a job in the guest's worker. Batches travel in buffers of a
// pool, by transfer.
import { BATCH_LIMIT_PAGES, BatchError, batchHashes, batchLimitBytes, batchPageIndices } from "../../engine/batch.ts";
import type { AppliedPages, EncodedBatch, EncodeOptions, PageBatch } from "../../ports/guest.ts";
import { MAX_PROMPT_PAGES, type PromptPages } from "../../ports/prompt-pages.ts";
import { BufferPool } from "../buffer-pool.ts";
import { restoreError } from "./errors.ts";
import { FrozenAsker } from "./frozen-exchange.ts";
import type { DeltaOrder, EncodeResult } from "./protocol.ts";
import { compact, type WorkerClient } from "./worker-client.ts";

/** See the head of this file. */
export class WasmGuestPages implements PromptPages {
	readonly #worker: WorkerClient;
	readonly #currentPageCount: () => number;
	readonly #isPaused: () => boolean;
	#frozen: FrozenAsker | undefined;
	/** Of batches made at once: they never travel to the worker. */
	readonly #promptBuffers: ArrayBuffer[] = [];
	/** This thread may not stand still, or the worker did not answer. */
	#isPromptRefused = false;
	/** Buffers for batches, in either direction. */
	readonly buffers: BufferPool = new BufferPool();

	constructor(worker: WorkerClient, currentPageCount: () => number, isPaused: () => boolean) {
		this.#worker = worker;
		this.#currentPageCount = currentPageCount;
		this.#isPaused = isPaused;
	}

	get pageCount(): number {
		return this.#currentPageCount();
	}

	/** @param deltas - left out: for anybody. */
	async encode(
		pageIndices: Uint32Array,
		{ compress, linkBytesPerMs }: EncodeOptions,
		deltas?: DeltaOrder,
	): Promise<PageBatch> {
		const buffer = this.buffers.take(batchLimitBytes(pageIndices.length));
		const { byteLength: bufferBytes } = buffer;
		let encoded: EncodeResult;
		try {
			const order = { pageIndices: compact(pageIndices), compress, linkBytesPerMs, deltas, buffer };
			encoded = await this.#worker.run({ name: "encode", ...order }, [buffer]);
		} catch (error) {
			this.buffers.lost(bufferBytes);
			throw error;
		}
		return batchOf(pageIndices, encoded, (buffer) => this.buffers.give(buffer));
	}

	encodeNow(pageIndices: Uint32Array, { compress, linkBytesPerMs }: EncodeOptions): PageBatch | undefined {
		const { length } = pageIndices;
		if (this.#isPromptRefused || length === 0 || length > MAX_PROMPT_PAGES || !this.#isPaused()) return undefined;
		const frozen = this.#enterFrozen();
		if (frozen === undefined) return undefined;
		const buffer = this.#promptBuffers.pop() ?? new ArrayBuffer(batchLimitBytes(MAX_PROMPT_PAGES));
		try {
			const made = frozen.ask({ pageIndices, compress, linkBytesPerMs }, new Uint8Array(buffer));
			if (made !== undefined)
				return batchOf(pageIndices, { ...made, buffer }, (given) => void this.#promptBuffers.push(given));
		} catch (error) {
			if (!(error instanceof TypeError)) throw error; // some threads may not stand still
		}
		this.#isPromptRefused = true;
		frozen.leave();
		return undefined;
	}

	/** Where the worker makes batches at once; undefined while it has something else to do. */
	#enterFrozen(): FrozenAsker | undefined {
		this.#frozen ??= new FrozenAsker();
		const frozen = this.#frozen;
		if (frozen.isServed) return frozen;
		if (!this.#worker.isIdle || this.#worker.ended !== undefined) return undefined;
		this.#worker.beforePost = () => undefined;
		this.#worker.post({ kind: "freeze", memory: frozen.enter() });
		this.#worker.beforePost = () => frozen.leave();
		return frozen;
	}

	async apply(batch: EncodedBatch, giveBack?: (buffer: ArrayBuffer) => void): Promise<AppliedPages> {
		const { bytes, checksum } = batch;
		const { byteLength } = bytes;
		if (byteLength > batchLimitBytes(BATCH_LIMIT_PAGES)) throw new BatchError("bad-length");
		// A lent buffer travels as it is; bytes that stay their owner's are copied once, into a buffer that may travel.
		const lent = giveBack !== undefined && bytes.byteOffset === 0;
		const buffer = lent ? bytes.buffer : this.buffers.take(byteLength);
		const { byteLength: bufferBytes } = buffer;
		if (!lent) new Uint8Array(buffer, 0, byteLength).set(bytes);
		let returned: ArrayBuffer | undefined;
		try {
			const result = await this.#worker.run({ name: "apply", buffer, byteLength, checksum }, [buffer]);
			returned = result.buffer;
			if (result.refused !== undefined) throw restoreError(result.refused);
			const installed = new Uint8Array(returned, 0, byteLength);
			const pageIndices = batchPageIndices(installed);
			return { pageIndices, hashes: batchHashes(installed, pageIndices.length) };
		} finally {
			if (lent) giveBack(returned ?? buffer);
			else if (returned !== undefined) this.buffers.give(returned);
			else this.buffers.lost(bufferBytes);
		}
	}

	async hashes(firstPage: number, pageCount: number): Promise<Uint8Array> {
		return (await this.#worker.run({ name: "hashes", firstPage, pageCount })).hashes;
	}

	async grow(pageCount: number): Promise<void> {
		await this.#worker.run({ name: "grow", pageCount });
	}
}

/** A batch in a buffer, which `give` takes back. */
function batchOf(
	pageIndices: Uint32Array,
	{ buffer, byteLength, checksum, zeroPages, kinds }: EncodeResult,
	give: (buffer: ArrayBuffer) => void,
): PageBatch {
	const bytes = new Uint8Array(buffer, 0, byteLength);
	let held: ArrayBuffer | undefined = buffer;
	return {
		bytes,
		checksum,
		pageIndices,
		hashes: batchHashes(bytes, pageIndices.length),
		zeroPages,
		...(kinds === undefined ? {} : { kinds }),
		wireByteLength: byteLength,
		release: () => {
			if (held !== undefined) give(held);
			held = undefined;
		},
	};
}
