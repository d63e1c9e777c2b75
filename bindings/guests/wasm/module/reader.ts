// Reads the primitives of WebAssembly's binary format. Invariant: no read passes `end`, every count is bounded by the
// bytes that are left, and every violation is a WasmModuleError; so hostile bytes cost at most one pass over them.
import { WasmModuleError } from "./errors.ts";
import { NAME_BYTES } from "./limits.ts";

const utf8 = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

export class ByteReader {
	readonly bytes: Uint8Array;
	readonly end: number;
	offset: number;

	constructor(bytes: Uint8Array, start = 0, end: number = bytes.length) {
		this.bytes = bytes;
		this.offset = start;
		this.end = end;
	}

	/** @throws WasmModuleError always */
	malformed(what: string, offset: number = this.offset): never {
		throw new WasmModuleError("malformed", `not a valid WebAssembly module: ${what}`, offset);
	}

	byte(): number {
		if (this.offset >= this.end) this.malformed("it ends too early");
		return this.bytes[this.offset++]!;
	}

	/** An unsigned 32-bit LEB128 of at most five bytes. */
	u32(): number {
		const first = this.byte();
		if (first < 0x80) return first;
		let value = first & 0x7f;
		for (let shift = 7; shift < 28; shift += 7) {
			const byte = this.byte();
			value |= (byte & 0x7f) << shift;
			if (byte < 0x80) return value;
		}
		const last = this.byte();
		if (last > 0x0f) this.malformed("a 32-bit number is too large", this.offset - 1);
		return (value | (last << 28)) >>> 0;
	}

	/** A signed 33-bit LEB128: a type index, or a negative abstract type. */
	s33(): number {
		let value = 0;
		let weight = 1;
		for (let count = 0; count < 5; count++) {
			const byte = this.byte();
			value += (byte & 0x7f) * weight;
			weight *= 128;
			if (byte < 0x80) {
				// The last byte of five holds bits 28 to 32 and two copies of the sign.
				if (count === 4 && byte >= 0x10 && byte < 0x70) this.malformed("a 33-bit number is too large", this.offset - 1);
				return (byte & 0x40) === 0 ? value : value - weight;
			}
		}
		return this.malformed("a 33-bit number is too long", this.offset - 1);
	}

	/** A signed 32-bit LEB128 of at most five bytes; what a fifth byte holds beyond 32 bits is the engine's to refuse. */
	s32(): number {
		let value = 0;
		for (let shift = 0; shift < 35; shift += 7) {
			const byte = this.byte();
			value |= (byte & 0x7f) << shift;
			if (byte < 0x80) return shift < 28 && (byte & 0x40) !== 0 ? value | (-1 << (shift + 7)) : value;
		}
		return this.malformed("a 32-bit number is too long", this.offset - 1);
	}

	/** Passes over a signed 64-bit LEB128 whose value no pass needs. */
	skipS64(): void {
		for (let count = 1; this.byte() >= 0x80; count++)
			if (count === 10) this.malformed("a 64-bit number is too long", this.offset - 1);
	}

	skip(length: number): void {
		if (length > this.end - this.offset) this.malformed("it ends too early", this.end);
		this.offset += length;
	}

	/** The number of entries that follow; each takes at least `bytesEach`, so more than fit is refused before any loop. */
	count(most: number, what: string, bytesEach = 1): number {
		const start = this.offset;
		const count = this.u32();
		if (count > most) throw new WasmModuleError("limit", `${count} ${what}; engines take at most ${most}`, start);
		if (count * bytesEach > this.end - this.offset)
			this.malformed(`${count} ${what} announced, which do not fit`, start);
		return count;
	}

	name(): string {
		const start = this.offset;
		const length = this.count(NAME_BYTES, "bytes in a name");
		this.offset += length;
		try {
			return utf8.decode(this.bytes.subarray(this.offset - length, this.offset));
		} catch {
			return this.malformed("a name is not UTF-8", start);
		}
	}
}
