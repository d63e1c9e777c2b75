// What every Random keeps. The bounds are wide: a sound generator fails one of these less than once in 10^9 runs.
import type { suite } from "uvu";
import * as assert from "uvu/assert";
import type { Random } from "../../../bindings/ports/random.ts";

/** Adds the contract's tests to `test`. */
export function randomContract(test: ReturnType<typeof suite>, make: () => Random): void {
	test("numbers are unsigned 32-bit integers, and every bit is set half the time", () => {
		const random = make();
		const ones = new Array<number>(32).fill(0);
		const count = 10_000;
		for (let draw = 0; draw < count; draw++) {
			const word = random.nextU32();
			assert.ok(Number.isInteger(word) && word >= 0 && word < 2 ** 32, `${word}`);
			for (let bit = 0; bit < 32; bit++) ones[bit] = (ones[bit] ?? 0) + ((word >>> bit) & 1);
		}
		// 350 is 7 standard deviations of a fair coin.
		for (const [bit, set] of ones.entries())
			assert.ok(Math.abs(set - count / 2) < 350, `bit ${bit}: ${set} of ${count}`);
	});

	test("fill fills all of what it is given and nothing around it, at any size", () => {
		const random = make();
		for (const byteLength of [0, 1, 3, 4, 5, 1000, 65_536, 65_537, 200_001]) {
			const around = new Uint8Array(byteLength + 2);
			const inside = around.subarray(1, byteLength + 1);
			assert.is(random.fill(inside), inside);
			assert.is(around[0], 0);
			assert.is(around[byteLength + 1], 0);
			if (byteLength < 1000) continue;
			// The last 1000 bytes, so that an end that is not reached shows.
			assert.ok(new Set(inside.subarray(-1000)).size > 200, `${byteLength} bytes were not filled to the end`);
		}
	});

	test("two draws differ", () => {
		const random = make();
		const draws = new Set(Array.from({ length: 1000 }, () => random.nextU32()));
		assert.ok(draws.size > 995);
		assert.not.equal(random.fill(new Uint8Array(16)), random.fill(new Uint8Array(16)));
	});
}
