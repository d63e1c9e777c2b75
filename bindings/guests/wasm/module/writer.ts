// Writes the primitives of WebAssembly's binary format into a buffer that doubles as it fills.

const utf8 = new TextEncoder();
/** A five-byte LEB128 holds any 32-bit number, so a length can be filled in after what it measures was written. */
const PADDED_LENGTH = 5;

export class ByteWriter {
	length = 0;
	#bytes: Uint8Array;

	constructor(capacity = 256) {
		this.#bytes = new Uint8Array(capacity);
	}

	/** What was written. A view: the next write may change or detach it from the writer. */
	written(): Uint8Array {
		return this.#bytes.subarray(0, this.length);
	}

	clear(): void {
		this.length = 0;
	}

	#reserve(extra: number): void {
		if (this.length + extra <= this.#bytes.length) return;
		const larger = new Uint8Array(Math.max(this.#bytes.length * 2, this.length + extra));
		larger.set(this.#bytes.subarray(0, this.length));
		this.#bytes = larger;
	}

	byte(value: number): this {
		if (this.length === this.#bytes.length) this.#reserve(1);
		this.#bytes[this.length++] = value;
		return this;
	}

	/** The bytes of `source` from `start` to `end`. */
	copy(source: Uint8Array, start = 0, end: number = source.length): this {
		const count = end - start;
		this.#reserve(count);
		const { length } = this;
		// Spans between instrumented instructions are mostly a few bytes; a loop beats subarray + set up to about 24 of them.
		if (count <= 24) for (let i = 0; i < count; i++) this.#bytes[length + i] = source[start + i]!;
		else this.#bytes.set(source.subarray(start, end), length);
		this.length += count;
		return this;
	}

	u32(value: number): this {
		let rest = value >>> 0;
		for (; rest >= 0x80; rest >>>= 7) this.byte((rest & 0x7f) | 0x80);
		return this.byte(rest);
	}

	s32(value: number): this {
		let rest = value | 0;
		for (; rest < -64 || rest >= 64; rest >>= 7) this.byte((rest & 0x7f) | 0x80);
		return this.byte(rest & 0x7f);
	}

	name(text: string): this {
		const bytes = utf8.encode(text);
		return this.u32(bytes.length).copy(bytes);
	}

	/** Whatever `content` writes, preceded by its length in bytes. */
	sized(content: () => void): this {
		this.#reserve(PADDED_LENGTH);
		const start = this.length;
		this.length += PADDED_LENGTH;
		content();
		let size = this.length - start - PADDED_LENGTH;
		for (let i = 0; i < PADDED_LENGTH; i++, size >>>= 7)
			this.#bytes[start + i] = (size & 0x7f) | (i < PADDED_LENGTH - 1 ? 0x80 : 0);
		return this;
	}
}
