/**
 * Buffers for payloads, used again and again: the first touch of fresh memory runs at 0.35 GB/s, a second pass at memory
 * speed. Sizes come in classes, four to a power of two, so that at most a fifth of a buffer is unused.
 *
 * A buffer that was transferred (to a worker, say) is detached here: it counts as gone, and the pool makes a new one when
 * it needs it, unless the buffer is handed back later.
 */

/** Bytes of the smallest class: most control records fit. */
const SMALLEST_CLASS_BYTES = 256;

const EMPTY = new ArrayBuffer(0);

/** The size of the buffer that holds `byteLength` bytes. */
export function classBytes(byteLength: number): number {
	if (byteLength <= SMALLEST_CLASS_BYTES) return SMALLEST_CLASS_BYTES;
	const quarter = 2 ** (Math.ceil(Math.log2(byteLength)) - 3);
	return Math.ceil(byteLength / quarter) * quarter;
}

/** See the head of this file. */
export class BufferPool {
	readonly #retainBytes: number;
	readonly #free = new Map<number, ArrayBuffer[]>();
	#freeBytes = 0;
	#lentBytes = 0;
	#peakBytes = 0;

	/** @param retainBytes - how much unused memory the pool may keep. */
	constructor(retainBytes: number) {
		this.#retainBytes = retainBytes;
	}

	/** Bytes that are lent out or kept for use. */
	get heldBytes(): number {
		return this.#lentBytes + this.#freeBytes;
	}

	/** The most that {@link heldBytes} has been. */
	get peakBytes(): number {
		return this.#peakBytes;
	}

	/** A buffer of at least `byteLength` bytes, with whatever it held before. */
	take(byteLength: number): ArrayBuffer {
		if (byteLength === 0) return EMPTY;
		const size = classBytes(byteLength);
		let buffer = this.#free.get(size)?.pop();
		if (buffer !== undefined) this.#freeBytes -= size;
		// What is kept makes room for what is needed: lent and kept together stay within one bound.
		else this.#evict(this.#lentBytes + size);
		buffer ??= new ArrayBuffer(size);
		this.#lentBytes += size;
		this.#peakBytes = Math.max(this.#peakBytes, this.heldBytes);
		return buffer;
	}

	/**
	 * Ends the loan of a buffer for `byteLength` bytes.
	 * @param buffer - undefined, detached or of another size: the pool forgets it.
	 */
	giveBack(byteLength: number, buffer: ArrayBuffer | undefined): void {
		if (byteLength === 0) return;
		this.#lentBytes -= classBytes(byteLength);
		this.keep(byteLength, buffer);
	}

	/** Takes a buffer whose loan has ended before, if it is one of this pool's and there is room. */
	keep(byteLength: number, buffer: ArrayBuffer | undefined): void {
		const size = classBytes(byteLength);
		if (buffer?.byteLength !== size || this.heldBytes + size > this.#retainBytes) return;
		const free = this.#free.get(size);
		if (free === undefined) this.#free.set(size, [buffer]);
		else free.push(buffer);
		this.#freeBytes += size;
	}

	/** Drops kept buffers, largest class first, until they fit beside `lentBytes`. */
	#evict(lentBytes: number): void {
		const room = Math.max(0, this.#retainBytes - lentBytes);
		if (this.#freeBytes <= room) return;
		for (const size of [...this.#free.keys()].sort((a, b) => b - a)) {
			const free = this.#free.get(size)!;
			while (free.length > 0 && this.#freeBytes > room) {
				free.pop();
				this.#freeBytes -= size;
			}
		}
	}
}
