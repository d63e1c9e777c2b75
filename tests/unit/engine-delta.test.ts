import { suite } from "uvu";
import * as assert from "uvu/assert";
import { Delta, DeltaError, type DeltaFormat } from "../../bindings/engine/delta.ts";
import { createEngine } from "../../bindings/engine/engine.ts";
import { pseudoRandomBytes } from "../vectors/lz4-inputs.ts";

const test = suite("deltas of a page");
const PAGE = 4096;
const delta = new Delta(createEngine());
const before = pseudoRandomBytes(77, PAGE);
const FORMATS: readonly DeltaFormat[] = ["xbzrle", "word-mask"];

/** `before` with the bytes of [from, to) changed, each of them. */
function changed(...ranges: readonly (readonly [number, number])[]): Uint8Array {
	const after = before.slice();
	for (const [from, to] of ranges) for (let i = from; i < to; i++) after[i] = before[i]! ^ 0xff;
	return after;
}

test("XBZRLE has QEMU's bytes", () => {
	const encode = (after: Uint8Array): number[] => [...delta.encode("xbzrle", before, after)!];
	assert.equal(encode(before), []);
	assert.equal(encode(changed([0, 1])), [0, 1, before[0]! ^ 0xff]);
	assert.equal(encode(changed([127, 128])), [127, 1, before[127]! ^ 0xff]);
	assert.equal(encode(changed([128, 129])), [0x80, 1, 1, before[128]! ^ 0xff]);
	assert.equal(encode(changed([4095, 4096])), [0xff, 31, 1, before[4095]! ^ 0xff]);
	const after = changed([10, 140], [150, 152]);
	assert.equal(encode(after), [10, 0x82, 1, ...after.subarray(10, 140), 10, 2, ...after.subarray(150, 152)]);
});

test("a word mask has the documented bytes", () => {
	const encode = (after: Uint8Array): number[] => [...delta.encode("word-mask", before, after)!];
	assert.equal(encode(before), []);
	const after = changed([0, 1], [70, 80], [4095, 4096]);
	assert.equal(encode(after), [
		...[0b11, 0, 0, 0, 0, 0, 0, 0x80],
		...[0b1, 0b11, 0b1000_0000],
		...after.subarray(0, 8),
		...after.subarray(64, 80),
		...after.subarray(4088, 4096),
	]);
});

test("a page comes back from its delta", () => {
	const afters = [
		before,
		changed([0, 1]),
		changed([4095, 4096]),
		changed([60, 70], [128, 256], [4000, 4090]),
		changed([0, 4000]),
	];
	for (const format of FORMATS)
		for (const after of afters)
			assert.equal(delta.decode(format, delta.encode(format, before, after)!, before), after, format);
});

test("XBZRLE lengths below 128 may come in two bytes, as QEMU reads them", () => {
	const after = before.slice().fill(7, 5, 6);
	assert.equal(delta.decode("xbzrle", Uint8Array.of(0x85, 0, 0x81, 0, 7), before), after);
});

test("a delta that is larger than a page is none", () => {
	for (const format of FORMATS) assert.is(delta.encode(format, before, changed([0, PAGE])), undefined, format);
});

test("XBZRLE needs two free bytes even for an unchanged rest, as QEMU does", () => {
	const engine = createEngine();
	const region = engine.allocate(4 * PAGE);
	const encode = (after: Uint8Array, capacity: number): number => {
		engine.bytes.set(before, region.offset);
		engine.bytes.set(after, region.offset + PAGE);
		return engine.exports.xbzrleEncode(region.offset, region.offset + PAGE, region.offset + 2 * PAGE, capacity);
	};
	assert.is(encode(before, 2), 0);
	assert.is(encode(before, 1), -1);
	assert.is(encode(changed([5, 6]), 5), 3);
	assert.is(encode(changed([5, 6]), 4), -1);
	assert.is(encode(changed([4095, 4096]), 4), 4);
	assert.is(encode(changed([4095, 4096]), 3), -1);
});

const refused = (error: Error): boolean => error instanceof DeltaError && error.code === "malformed";

test("malformed deltas are refused", () => {
	const malformed: Record<DeltaFormat, Record<string, readonly number[]>> = {
		xbzrle: {
			"half a pair": [3],
			"no changed bytes": [3, 0],
			"a second unchanged length of 0": [3, 1, 7, 0, 1, 7],
			"changed bytes that are not there": [3, 2, 7],
			"a length of three bytes": [0x80, 0x80, 1, 1, 7],
			"a changed length of three bytes": [1, 0x80, 0x80, 1, 7],
			"unchanged beyond the page": [0x81, 32, 1, 7],
			"changed beyond the page": [0xff, 31, 2, 7, 7],
			"an unchanged rest": [3, 1, 7, 5],
		},
		"word-mask": {
			"half a block mask": [1, 0, 0, 0, 0, 0, 0],
			"no block": [0, 0, 0, 0, 0, 0, 0, 0],
			"no word mask": [1, 0, 0, 0, 0, 0, 0, 0],
			"an empty word mask": [1, 0, 0, 0, 0, 0, 0, 0, 0],
			"an empty word mask among others": [3, 0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 2, 3, 4, 5, 6, 7, 8],
			"half a word": [1, 0, 0, 0, 0, 0, 0, 0, 1, 1, 2, 3, 4],
			"a word too many": [1, 0, 0, 0, 0, 0, 0, 0, 1, 1, 2, 3, 4, 5, 6, 7, 8, 1, 2, 3, 4, 5, 6, 7, 8],
		},
	};
	for (const format of FORMATS) {
		for (const [name, bytes] of Object.entries(malformed[format]))
			assert.throws(() => delta.decode(format, Uint8Array.from(bytes), before), refused, `${format}: ${name}`);
		assert.throws(() => delta.decode(format, new Uint8Array(PAGE + 1), before), refused, `${format}: too long`);
	}
});

test("pages that are none are refused, naming the argument", () => {
	const named = (name: string) => (error: Error) => error instanceof RangeError && error.message.startsWith(name);
	const short = new Uint8Array(PAGE - 1);
	assert.throws(() => delta.encode("xbzrle", short, before), named("before"));
	assert.throws(() => delta.encode("xbzrle", before, short), named("after"));
	assert.throws(() => delta.decode("word-mask", new Uint8Array(0), short), named("before"));
});

test.run();
