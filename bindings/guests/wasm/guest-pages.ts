// The pages of a wasm guest, seen from the host: every call is a job in the guest's worker. Batches travel in buffers of a
// pool, by transfer.
import {
	BATCH_ENTRY_BYTES,
	BATCH_HEADER_BYTES,
	BATCH_LIMIT_PAGES,
	BatchError,
	batchHashes,
	batchLimitBytes,
} from "../../engine/batch.ts";
import type { AppliedPages, EncodedBatch, EncodeOptions, GuestPages, PageBatch } from "../../ports/guest.ts";
import { BufferPool } from "../buffer-pool.ts";
import { restoreError } from "./errors.ts";
import type { EncodeResult } from "./protocol.ts";
import { compact, type WorkerClient } from "./worker-client.ts";

/** See the head of this file. */
export class WasmGuestPages implements GuestPages {
	readonly #worker: WorkerClient;
	readonly #currentPageCount: () => number;
	/** Buffers for batches, in either direction. */
	readonly buffers: BufferPool = new BufferPool();

	constructor(worker: WorkerClient, currentPageCount: () => number) {
		this.#worker = worker;
		this.#currentPageCount = currentPageCount;
	}

	get pageCount(): number {
		return this.#currentPageCount();
	}

	async encode(pageIndices: Uint32Array, { compress }: EncodeOptions): Promise<PageBatch> {
		const buffer = this.buffers.take(batchLimitBytes(pageIndices.length));
		const { byteLength: bufferBytes } = buffer;
		let encoded: EncodeResult;
		try {
			const order = { pageIndices: compact(pageIndices), compress, buffer };
			encoded = await this.#worker.run({ name: "encode", ...order }, [buffer]);
		} catch (error) {
			this.buffers.lost(bufferBytes);
			throw error;
		}
		const { checksum, zeroPages, byteLength } = encoded;
		const bytes = new Uint8Array(encoded.buffer, 0, byteLength);
		let held: ArrayBuffer | undefined = encoded.buffer;
		return {
			bytes,
			checksum,
			pageIndices,
			hashes: batchHashes(bytes, pageIndices.length),
			zeroPages,
			wireByteLength: byteLength,
			release: () => {
				if (held !== undefined) this.buffers.give(held);
				held = undefined;
			},
		};
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
			const pageIndices = tableIndices(installed);
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

/** The page indices of a batch that was verified. */
function tableIndices(batch: Uint8Array<ArrayBuffer>): Uint32Array {
	const view = new DataView(batch.buffer, batch.byteOffset, batch.byteLength);
	const indices = new Uint32Array(view.getUint32(0, true));
	for (let position = 0; position < indices.length; position++)
		indices[position] = view.getUint32(BATCH_HEADER_BYTES + position * BATCH_ENTRY_BYTES, true);
	return indices;
}
