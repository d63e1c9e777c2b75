// Buffers for batches. They travel to the worker and back by transfer and are never allocated per batch: touching fresh
// memory costs 0.35 GB/s, more than all the work on the batch.
import { BATCH_LIMIT_PAGES, batchLimitBytes } from "../../engine/batch.ts";

/** Every buffer takes the largest batch, so any free one will do. */
const BUFFER_BYTES = batchLimitBytes(BATCH_LIMIT_PAGES);

/** More free buffers than an operation has batches under way are given to the garbage collector. */
const MOST_FREE = 16;

/** See the head of this file. */
export class BufferPool {
	readonly #free: ArrayBuffer[] = [];
	#taken = 0;

	/** Bytes of all buffers, free and taken. */
	get heldBytes(): number {
		return (this.#free.length + this.#taken) * BUFFER_BYTES;
	}

	/** @returns a buffer with anything in it */
	take(): ArrayBuffer {
		this.#taken++;
		return this.#free.pop() ?? new ArrayBuffer(BUFFER_BYTES);
	}

	/** Takes a buffer back, after however many transfers. */
	give(buffer: ArrayBuffer): void {
		this.#taken--;
		if (buffer.byteLength === BUFFER_BYTES && this.#free.length < MOST_FREE) this.#free.push(buffer);
	}

	/** A buffer that will not come back: its worker ended. */
	lost(): void {
		this.#taken--;
	}

	/** Allocates and touches `count` buffers ahead of time. */
	prepare(count: number): void {
		while (this.#free.length < count) this.#free.push(new Uint8Array(BUFFER_BYTES).fill(1).buffer);
	}
}
