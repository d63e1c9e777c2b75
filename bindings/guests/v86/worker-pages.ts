// Pages and dirty log of a v86 guest in a worker, seen from the host: every call is a job there.
import { BATCH_LIMIT_PAGES, BatchError, batchHashes, batchLimitBytes, batchPageIndices } from "../../engine/batch.ts";
import type {
	AppliedPages,
	DirtyCursor,
	DirtyLog,
	DirtyPages,
	EncodedBatch,
	EncodeOptions,
	GuestPages,
	PageBatch,
	PageBits,
} from "../../ports/guest.ts";
import { restoreError } from "../error-record.ts";
import type { V86Tracker } from "./dirty-log.ts";
import type { WorkerClient } from "./worker-client.ts";

/** See the head of this file. */
export class WorkerPages implements GuestPages {
	readonly pageCount: number;
	readonly #worker: WorkerClient;

	constructor(worker: WorkerClient, pageCount: number) {
		this.#worker = worker;
		this.pageCount = pageCount;
	}

	async encode(pageIndices: Uint32Array, { compress }: EncodeOptions): Promise<PageBatch> {
		// A slice: cloning a view clones all of the buffer behind it.
		const order = { pageIndices: pageIndices.slice(), compress };
		const { bytes, checksum, zeroPages } = await this.#worker.run("encode", order);
		const hashes = batchHashes(bytes, pageIndices.length);
		return {
			...{ bytes, checksum, pageIndices, hashes, zeroPages },
			wireByteLength: bytes.byteLength,
			release: () => undefined,
		};
	}

	async apply(batch: EncodedBatch, giveBack?: (buffer: ArrayBuffer) => void): Promise<AppliedPages> {
		const { bytes, checksum } = batch;
		const { byteLength } = bytes;
		if (byteLength > batchLimitBytes(BATCH_LIMIT_PAGES)) throw new BatchError("bad-length");
		// A lent buffer travels as it is; bytes that stay their owner's are copied.
		const lent = giveBack !== undefined && bytes.byteOffset === 0;
		const buffer = lent ? bytes.buffer : bytes.slice().buffer;
		let returned: ArrayBuffer | undefined;
		try {
			const result = await this.#worker.run("apply", { buffer, byteLength, checksum }, [buffer]);
			returned = result.buffer;
			if (result.refused !== undefined) throw restoreError(result.refused);
			const installed = new Uint8Array(returned, 0, byteLength);
			const pageIndices = batchPageIndices(installed);
			return { pageIndices, hashes: batchHashes(installed, pageIndices.length) };
		} finally {
			if (lent) giveBack(returned ?? buffer);
		}
	}

	async hashes(firstPage: number, pageCount: number): Promise<Uint8Array> {
		return (await this.#worker.run("hashes", { firstPage, pageCount })).bytes;
	}

	async grow(pageCount: number): Promise<void> {
		await this.#worker.run("grow", { pageCount });
	}
}

/** See the head of this file. */
export class WorkerDirtyLog implements DirtyLog {
	readonly #worker: WorkerClient;
	readonly #tracker: () => V86Tracker;

	/** @param tracker - what the guest has said last */
	constructor(worker: WorkerClient, tracker: () => V86Tracker) {
		this.#worker = worker;
		this.#tracker = tracker;
	}

	get tracker(): V86Tracker {
		return this.#tracker();
	}

	async open(): Promise<DirtyCursor> {
		const { cursor } = await this.#worker.run("open", {});
		return new WorkerDirtyCursor(this.#worker, cursor);
	}
}

class WorkerDirtyCursor implements DirtyCursor {
	readonly #worker: WorkerClient;
	readonly #cursor: number;
	#closed = false;

	constructor(worker: WorkerClient, cursor: number) {
		this.#worker = worker;
		this.#cursor = cursor;
	}

	async peek(firstPage: number, pageCount: number, candidates?: PageBits): Promise<PageBits> {
		if (firstPage % 8 !== 0) throw new RangeError(`firstPage must be a multiple of 8, got ${firstPage}`);
		const order = { cursor: this.#cursor, firstPage, pageCount };
		const some = candidates === undefined ? {} : { candidates: candidates.slice() };
		return (await this.#worker.run("peek", { ...order, ...some })).bits;
	}

	harvest(): Promise<DirtyPages> {
		return this.#worker.run("harvest", { cursor: this.#cursor });
	}

	async putBack(bits: PageBits): Promise<void> {
		await this.#worker.run("put-back", { cursor: this.#cursor, bits: bits.slice() });
	}

	async close(): Promise<void> {
		if (this.#closed) return;
		this.#closed = true;
		// With the worker its cursors are gone: nothing is left to close.
		if (this.#worker.ended === undefined) await this.#worker.run("close", { cursor: this.#cursor });
	}
}
