import { suite } from "uvu";
import * as assert from "uvu/assert";
import { estimateBytes } from "../../bindings/guests/wasm/value-size.ts";

const test = suite("size of a value that travels");

test("bytes and strings count in full, everything else as small", () => {
	assert.is(estimateBytes(new Uint8Array(1000)), 1016);
	assert.is(estimateBytes(new ArrayBuffer(1000)), 1016);
	assert.is(estimateBytes("abcd"), 24);
	assert.is(estimateBytes(7), 16);
	assert.is(estimateBytes({ name: "abcd", data: [new Uint8Array(100), 1] }), 16 * 5 + 8 + 100);
	assert.is(estimateBytes(new Map([["abcd", new Set([1, 2])]])), 16 * 5 + 8);
});

// Each was a RangeError, or 10 000 times its own size: as arguments of one call they overflow the stack.
for (const [name, make] of [
	["array", () => new Array(200_000).fill(1)],
	["set", () => new Set(Array.from({ length: 200_000 }, (_, i) => i))],
	["object", () => Object.fromEntries(Array.from({ length: 200_000 }, (_, i) => [`k${i}`, i]))],
] as const)
	test(`an ${name} with 200 000 members has a size`, () => {
		assert.is(estimateBytes(make()), 16 * 200_001);
	});

test("a value that holds itself again and again is looked at for a while only", () => {
	const loop: unknown[] = [];
	for (let i = 0; i < 20_000; i++) loop.push(loop);
	assert.is(estimateBytes(loop), 16 + 10_000 * 20_000 * 16);
});

test.run();
