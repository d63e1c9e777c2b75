/**
 * Random numbers from a seed: the same on every platform, so that a failure can be replayed.
 * xoshiro128** 1.1 by Blackman and Vigna (public domain), its state filled from the seed by splitmix32.
 */
import type { Random } from "../ports/random.ts";

/** A generator's state: four unsigned 32-bit words, not all zero. */
export type SeededState = readonly [number, number, number, number];

const rotateLeft = (word: number, bits: number): number => (word << bits) | (word >>> (32 - bits));

/**
 * A deterministic {@link Random}.
 *
 * ```ts
 * const one = new SeededRandom(42);
 * const other = new SeededRandom(42);
 * if (one.nextU32() !== other.nextU32()) throw new RangeError("not deterministic");
 * ```
 */
export class SeededRandom implements Random {
	#a: number;
	#b: number;
	#c: number;
	#d: number;

	/**
	 * @param seed - a whole number from 0 to 2^32 − 1, or a whole state.
	 * @throws RangeError for anything else, and for a state of zeros, which would stay zero.
	 */
	constructor(seed: number | SeededState) {
		const state = typeof seed === "number" ? expand(seed) : seed;
		if (!state.every(isU32))
			throw new RangeError(`seed: must be a whole number from 0 to 2^32 - 1, got ${String(seed)}`);
		if (state.every((word) => word === 0)) throw new RangeError("seed: a state of zeros stays zero");
		[this.#a, this.#b, this.#c, this.#d] = state;
	}

	nextU32(): number {
		const result = Math.imul(rotateLeft(Math.imul(this.#b, 5), 7), 9) >>> 0;
		const shifted = this.#b << 9;
		this.#c ^= this.#a;
		this.#d ^= this.#b;
		this.#b ^= this.#c;
		this.#a ^= this.#d;
		this.#c ^= shifted;
		this.#d = rotateLeft(this.#d, 11);
		return result;
	}

	/** Each number gives four bytes, the least significant first. */
	fill(bytes: Uint8Array<ArrayBuffer>): Uint8Array<ArrayBuffer> {
		for (let at = 0; at < bytes.byteLength; at += 4) {
			const word = this.nextU32();
			for (let index = 0; index < 4 && at + index < bytes.byteLength; index++) bytes[at + index] = word >>> (8 * index);
		}
		return bytes;
	}
}

const isU32 = (value: number): boolean => Number.isInteger(value) && value >= 0 && value < 2 ** 32;

/** splitmix32: neighbouring seeds give unrelated states. */
function expand(seed: number): SeededState {
	if (!isU32(seed)) return [seed, 0, 0, 0];
	let state = seed;
	const next = () => {
		state = (state + 0x9e3779b9) | 0;
		let word = state;
		word = Math.imul(word ^ (word >>> 16), 0x21f0aaad);
		word = Math.imul(word ^ (word >>> 15), 0x735a2d97);
		return (word ^ (word >>> 15)) >>> 0;
	};
	return [next(), next(), next(), next()];
}
