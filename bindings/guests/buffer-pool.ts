// Buffers for batches. They travel to the worker and back by transfer and are never allocated per batch: touching fresh
// memory costs 0.35 GB/s, more than all the work on the batch.
//
// Two sizes: each transfer makes a new object of the buffer's full size for the garbage collector to count, and at 4 MiB a
// buffer it collected after every few batches (60 ms of a 256 MiB move). Techniques ask for 512 pages at a time.
import { BATCH_LIMIT_PAGES, batchLimitBytes } from "../engine/batch.ts";

/** The usual batch, and the largest. */
const SIZES: readonly number[] = [batchLimitBytes(BATCH_LIMIT_PAGES / 2), batchLimitBytes(BATCH_LIMIT_PAGES)];

/** More free buffers than an operation has batches under way are given to the garbage collector. */
const MOST_FREE = 16;

/** See the head of this file. */
export class BufferPool {
	/** By place in {@link SIZES}. */
	readonly #free: readonly ArrayBuffer[][] = SIZES.map(() => []);
	#heldBytes = 0;

	/** Bytes of all buffers, free and taken. */
	get heldBytes(): number {
		return this.#heldBytes;
	}

	/** @returns a buffer of at least `byteLength` bytes, with anything in it. @throws RangeError beyond the largest batch */
	take(byteLength: number): ArrayBuffer {
		const size = SIZES.findIndex((limit) => byteLength <= limit);
		const limit = SIZES[size];
		if (limit === undefined) throw new RangeError(`byteLength: ${byteLength} bytes are more than any batch has`);
		const free = this.#free[size]?.pop();
		if (free !== undefined) return free;
		this.#heldBytes += limit;
		return new ArrayBuffer(limit);
	}

	/** Takes a buffer back, after however many transfers. */
	give(buffer: ArrayBuffer): void {
		const free = this.#free[SIZES.indexOf(buffer.byteLength)];
		if (free !== undefined && free.length < MOST_FREE) free.push(buffer);
		else this.#heldBytes -= buffer.byteLength;
	}

	/** A buffer of this size will not come back: its worker ended. */
	lost(byteLength: number): void {
		this.#heldBytes -= byteLength;
	}

	/** Allocates and touches `count` buffers of the usual size ahead of time. */
	prepare(count: number): void {
		const fresh: ArrayBuffer[] = [];
		while (fresh.length < count) fresh.push(this.take(1));
		for (const buffer of fresh) {
			new Uint8Array(buffer).fill(1);
			this.give(buffer);
		}
	}
}
