/** The platform's own random numbers, by the Web Crypto function that Node and Deno share. */
import type { Random } from "../ports/random.ts";

/** `getRandomValues` refuses more than this at once. */
const MAX_FILL_BYTES = 65_536;
/** One call of the system for this many numbers: alone, each would cost a call of about 0.5 µs. */
const POOL_NUMBERS = 256;

/**
 * Unpredictable randomness.
 *
 * ```ts
 * const id = systemRandom.fill(new Uint8Array(16));
 * if (id.byteLength !== 16) throw new RangeError("not filled");
 * ```
 */
export const systemRandom: Random = makeSystemRandom();

function makeSystemRandom(): Random {
	const pool = new Uint32Array(POOL_NUMBERS);
	let used = POOL_NUMBERS;
	return {
		nextU32() {
			if (used === POOL_NUMBERS) {
				crypto.getRandomValues(pool);
				used = 0;
			}
			return pool[used++] ?? 0;
		},
		fill(bytes) {
			for (let at = 0; at < bytes.byteLength; at += MAX_FILL_BYTES)
				crypto.getRandomValues(bytes.subarray(at, at + MAX_FILL_BYTES));
			return bytes;
		},
	};
}
