/**
 * Bytes that arrive piece by piece, up to a length that somebody else has announced. What is not there yet takes no room, however
 * much was announced; and any number of small pieces takes no more than twice what they hold.
 */

const FIRST_BYTES = 64 * 1024;

/** See the head of this file. */
export class GrowingBytes {
	readonly #total: number;
	#bytes: Uint8Array<ArrayBuffer>;
	#byteLength = 0;

	/** @param total - bytes that may come at most. */
	constructor(total: number) {
		this.#total = total;
		this.#bytes = new Uint8Array(Math.min(total, FIRST_BYTES));
	}

	/** Bytes so far. */
	get byteLength(): number {
		return this.#byteLength;
	}

	/** Copies a piece. @throws RangeError for more than was announced. */
	append(piece: Uint8Array): void {
		const end = this.#byteLength + piece.byteLength;
		if (end > this.#total) throw new RangeError(`piece: ends at ${end} of ${this.#total} bytes`);
		if (end > this.#bytes.byteLength) {
			const grown = new Uint8Array(Math.min(this.#total, Math.max(end, 2 * this.#bytes.byteLength)));
			grown.set(this.#bytes.subarray(0, this.#byteLength));
			this.#bytes = grown;
		}
		this.#bytes.set(piece, this.#byteLength);
		this.#byteLength = end;
	}

	/** All of them, exactly. Nothing may be appended afterwards. */
	take(): Uint8Array<ArrayBuffer> {
		return this.#byteLength === this.#bytes.byteLength ? this.#bytes : this.#bytes.slice(0, this.#byteLength);
	}
}
