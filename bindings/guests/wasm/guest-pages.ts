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
import { BufferPool } from "./buffer-pool.ts";
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

	async apply({ bytes, checksum }: EncodedBatch): Promise<AppliedPages> {
		const { byteLength } = bytes;
		if (byteLength > batchLimitBytes(BATCH_LIMIT_PAGES)) throw new BatchError("bad-length");
		// The bytes belong to the link: they are copied once, into a buffer that may travel.
		const buffer = this.buffers.take(byteLength);
		const { byteLength: bufferBytes } = buffer;
		new Uint8Array(buffer, 0, byteLength).set(bytes);
		try {
			const result = await this.#worker.run({ name: "apply", buffer, byteLength, checksum }, [buffer]);
			this.buffers.give(result.buffer);
			if (result.refused !== undefined) throw restoreError(result.refused);
			const installed = new Uint8Array(result.buffer, 0, byteLength);
			const pageIndices = tableIndices(installed);
			return { pageIndices, hashes: batchHashes(installed, pageIndices.length) };
		} catch (error) {
			if (buffer.byteLength === 0 && this.#worker.ended !== undefined) this.buffers.lost(bufferBytes);
			throw error;
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
