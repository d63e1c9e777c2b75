import fc from "fast-check";
import { suite } from "uvu";
import * as assert from "uvu/assert";
import { createEngine } from "../../bindings/engine/engine.ts";
import { decodeWordMask, decodeXbzrle, encodeWordMask, encodeXbzrle } from "../oracles/delta.ts";
import { pseudoRandomBytes } from "../vectors/lz4-inputs.ts";

const test = suite("deltas of a page, against naive coders");
const PAGE = 4096;
const engine = createEngine();
const { exports } = engine;
const old = engine.allocate(PAGE);
const page = engine.allocate(PAGE);
const delta = engine.allocate(2 * PAGE);

/** What two versions of a page are made from, so that a failure prints as a recipe and not as 8192 bytes. */
interface Recipe {
	readonly seed: number;
	/** Start and length of what has changed. */
	readonly runs: readonly (readonly [number, number])[];
	/** Runs start where a block of 64 bytes does. */
	readonly aligned: boolean;
}

/** Runs of every length at every place, touching runs, whole words, single bytes. */
const recipes: fc.Arbitrary<Recipe> = fc.record({
	seed: fc.integer({ min: 1 }),
	runs: fc.array(
		fc.tuple(
			fc.nat(PAGE - 1),
			fc.oneof(
				fc.integer({ min: 1, max: 9 }),
				fc.integer({ min: 1, max: 300 }),
				fc.constantFrom(64, 127, 128, 129, 4096),
			),
		),
		{ maxLength: 40 },
	),
	aligned: fc.boolean(),
});

function versions({ seed, runs, aligned }: Recipe): [Uint8Array, Uint8Array] {
	const before = pseudoRandomBytes(seed, PAGE);
	const after = before.slice();
	for (const [at, length] of runs) {
		const from = aligned ? at & ~63 : at;
		for (let i = from; i < Math.min(PAGE, from + length); i++) after[i] = before[i]! ^ 0x5a;
	}
	return [before, after];
}

const coders = [
	{ name: "xbzrle", encode: exports.xbzrleEncode, naive: encodeXbzrle },
	{ name: "word-mask", encode: exports.wordMaskEncode, naive: encodeWordMask },
] as const;

for (const { name, encode, naive } of coders)
	test(`${name}: the engine's bytes are those of a naive encoder, whatever the capacity`, () => {
		fc.assert(
			fc.property(recipes, fc.nat(80), (recipe, less) => {
				const [before, after] = versions(recipe);
				const full = naive(before, after, 2 * PAGE)!;
				const capacity = Math.max(0, full.length + 6 - less);
				engine.bytes.set(before, old.offset);
				engine.bytes.set(after, page.offset);
				engine.bytes.fill(0xc3, delta.offset, delta.offset + delta.byteLength);
				const length = encode(old.offset, page.offset, delta.offset, capacity);
				const expected = naive(before, after, capacity);
				assert.is(length, expected?.length ?? -1);
				if (expected !== undefined) assert.equal(engine.bytes.slice(delta.offset, delta.offset + length), expected);
				const behind = engine.bytes.subarray(delta.offset + capacity + 64, delta.offset + delta.byteLength);
				assert.ok(behind.every((byte) => byte === 0xc3));
			}),
			{ numRuns: 1500 },
		);
	});

test("many pages in one call give what one page a call gives", () => {
	const [count, stride, capacity] = [5, 4400, 4168];
	const many = createEngine();
	const [before, after, made] = [many.allocate(count * PAGE), many.allocate(count * PAGE), many.allocate(count * PAGE)];
	const [deltas, lengths] = [many.allocate(count * stride), many.allocate(count * 4)];
	fc.assert(
		fc.property(fc.array(recipes, { minLength: count, maxLength: count }), fc.nat(capacity), (all, less) => {
			for (const [format, { encode }] of coders.entries()) {
				const room = capacity - less;
				const expected = all.map((recipe, i) => {
					const [was, is] = versions(recipe);
					many.bytes.set(was, before.offset + i * PAGE);
					many.bytes.set(was, made.offset + i * PAGE);
					many.bytes.set(is, after.offset + i * PAGE);
					engine.bytes.set(was, old.offset);
					engine.bytes.set(is, page.offset);
					const length = encode(old.offset, page.offset, delta.offset, room);
					return {
						length,
						bytes: engine.bytes.slice(delta.offset, delta.offset + length),
						result: length < 0 ? was : is,
					};
				});
				const [at, to, from] = [lengths.offset, deltas.offset, before.offset];
				const sum = many.exports.deltaEncodePages(format, from, after.offset, count, to, stride, room, at);
				assert.is(
					sum,
					expected.reduce((total, { length }) => total + length, 0),
				);
				assert.equal(
					[...new Int32Array(many.bytes.buffer, at, count)],
					expected.map(({ length }) => length),
				);
				many.exports.deltaDecodePages(format, to, stride, at, made.offset, count);
				for (const [i, { bytes, result }] of expected.entries()) {
					if (bytes.length > 0) assert.equal(many.bytes.slice(to + i * stride, to + i * stride + bytes.length), bytes);
					assert.equal(many.bytes.slice(made.offset + i * PAGE, made.offset + (i + 1) * PAGE), result);
				}
			}
		}),
		{ numRuns: 100 },
	);
});

/** A delta with a few bytes changed, cut or added. */
const damage = fc.array(fc.tuple(fc.nat(), fc.oneof(fc.nat(255), fc.constantFrom(0, 1, 0x7f, 0x80, 0xff))), {
	maxLength: 3,
});

function damaged(bytes: Uint8Array, changes: readonly (readonly [number, number])[], length: number): Uint8Array {
	const copy = new Uint8Array(Math.min(PAGE, Math.max(1, bytes.length + length)));
	copy.set(bytes.subarray(0, copy.length));
	for (const [at, value] of changes) copy[at % Math.min(copy.length, 40)] = value;
	return copy;
}

const decoders = [
	{
		name: "xbzrle",
		naive: encodeXbzrle,
		decode: exports.xbzrleDecode,
		expect: (bytes: Uint8Array, before: Uint8Array) => {
			const decoded = decodeXbzrle(bytes, before);
			return { status: decoded?.reached ?? -1, page: decoded?.page };
		},
	},
	{
		name: "word-mask",
		naive: encodeWordMask,
		decode: exports.wordMaskDecode,
		expect: (bytes: Uint8Array, before: Uint8Array) => {
			const decoded = decodeWordMask(bytes, before);
			return { status: decoded === undefined ? -1 : 0, page: decoded };
		},
	},
] as const;

for (const { name, naive, decode, expect } of decoders)
	test(`${name}: the engine accepts, refuses and changes what a naive decoder does`, () => {
		fc.assert(
			fc.property(recipes, damage, fc.constantFrom(0, 0, 0, -1, 1, 8), (recipe, changes, length) => {
				const [before, after] = versions(recipe);
				const bytes = damaged(naive(before, after, 2 * PAGE)!, changes, length);
				const { status, page: expected } = expect(bytes, before);
				engine.bytes.set(before, page.offset);
				engine.bytes.set(bytes, delta.offset);
				assert.is(decode(delta.offset, bytes.length, page.offset), status);
				if (expected !== undefined) assert.equal(engine.bytes.slice(page.offset, page.offset + PAGE), expected);
			}),
			{ numRuns: 3000 },
		);
	});

test.run();
