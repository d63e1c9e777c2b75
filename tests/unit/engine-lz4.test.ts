import { suite } from "uvu";
import * as assert from "uvu/assert";
import { createEngine } from "../../bindings/engine/engine.ts";
import { Lz4, Lz4Error } from "../../bindings/engine/lz4.ts";
import vectors from "../vectors/lz4.json" with { type: "json" };
import { lz4Inputs, pseudoRandomBytes } from "../vectors/lz4-inputs.ts";

const test = suite("LZ4 blocks");
const lz4 = new Lz4(createEngine());
const inputs = lz4Inputs();

const fromBase64 = (text: string): Uint8Array => Uint8Array.from(atob(text), (char) => char.charCodeAt(0));

test("every vector has its input", () => {
	assert.equal(
		vectors.vectors.map(({ name }) => name),
		[...inputs.keys()],
	);
});

test("decodes what liblz4 encoded, fast and high compression", () => {
	for (const { name, fast, hc } of vectors.vectors) {
		const input = inputs.get(name)!;
		assert.equal(lz4.decode(fromBase64(fast), input.length), input, `${name}, fast`);
		assert.equal(lz4.decode(fromBase64(hc), input.length), input, `${name}, hc`);
	}
});

test("decodes what it encoded", () => {
	for (const [name, input] of inputs) assert.equal(lz4.decode(lz4.encode(input), input.length), input, name);
});

test("encodes pages as small as liblz4 does, within half a percent", () => {
	const [ours, theirs] = vectors.vectors
		.filter(({ name }) => name.startsWith("page"))
		.reduce(
			([a, b], { name, fast }) => [a + lz4.encode(inputs.get(name)!).length, b + fromBase64(fast).length],
			[0, 0],
		);
	assert.ok(ours <= theirs * 1.005, `${ours} bytes, liblz4 ${theirs}`);
});

test("gives up when the block would not fit", () => {
	const engine = createEngine();
	const region = engine.allocate(3 * 16384);
	const page = pseudoRandomBytes(5, 4096);
	engine.bytes.set(page, region.offset);
	const encode = (capacity: number): number =>
		engine.exports.lz4EncodePage(region.offset, region.offset + 16384, capacity, region.offset + 32768);
	assert.is(encode(0), 0);
	assert.is(encode(24), 0);
	assert.is(encode(4096), 0);
	assert.is(encode(4096 + 64), 1 + 17 + 4096);
});

test("refuses blocks of more than 64 KiB, naming the argument", () => {
	assert.throws(
		() => lz4.encode(new Uint8Array(65537)),
		(error: Error) => error instanceof RangeError && error.message.startsWith("bytes.byteLength"),
	);
	assert.throws(
		() => lz4.decode(new Uint8Array(1), 65537),
		(error: Error) => error instanceof RangeError && error.message.startsWith("byteLength"),
	);
});

const refused = (code: string) => (error: Error) => error instanceof Lz4Error && error.code === code;

test("refuses a block that expands to another length", () => {
	const block = lz4.encode(new Uint8Array(100));
	assert.throws(() => lz4.decode(block, 101), refused("wrong-length"));
	assert.throws(() => lz4.decode(block, 99), refused("malformed"));
});

test("refuses malformed blocks", () => {
	const malformed: Record<string, readonly number[]> = {
		empty: [],
		"literals beyond the end": [0x20, 1],
		"a length that never ends": [0xf0, 255, 255],
		"half an offset": [0x10, 7, 1],
		"offset 0": [0x10, 7, 0, 0, 0x00],
		"an offset before the start": [0x10, 7, 2, 0, 0x00],
		"an end inside a match": [0x10, 7, 1, 0],
		"an end inside a match length": [0x1f, 7, 1, 0, 255],
		"a last sequence that promises a match": [0x11, 7],
	};
	for (const [name, bytes] of Object.entries(malformed))
		assert.throws(() => lz4.decode(Uint8Array.from(bytes), 4096), refused("malformed"), name);
});

test.run();
