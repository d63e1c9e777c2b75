import fc from "fast-check";
import { compressSync, uncompressSync } from "lz4-napi";
import { suite } from "uvu";
import * as assert from "uvu/assert";
import { createEngine } from "../../bindings/engine/engine.ts";
import { Lz4 } from "../../bindings/engine/lz4.ts";
import { decodeLz4, type Lz4Sequence, lastMatch, writeLz4 } from "../oracles/lz4.ts";

const test = suite("LZ4 blocks, against oracles");
const lz4 = new Lz4(createEngine());

/** Bytes with repetitions near and far: slices of what came before, runs and noise. */
const repetitive: fc.Arbitrary<Uint8Array> = fc
	.array(
		fc.oneof(
			fc.uint8Array({ maxLength: 40 }),
			fc.record({ back: fc.nat(4095), length: fc.integer({ min: 1, max: 300 }) }),
			fc.record({ byte: fc.nat(255), length: fc.integer({ min: 1, max: 700 }) }),
		),
		{ maxLength: 60 },
	)
	.map((parts) => {
		const out: number[] = [];
		for (const part of parts) {
			if (part instanceof Uint8Array) out.push(...part);
			else if ("byte" in part) out.push(...new Array<number>(part.length).fill(part.byte));
			else if (out.length > 0)
				for (let i = 0, from = Math.max(0, out.length - 1 - part.back); i < part.length; i++) out.push(out[from + i]!);
		}
		return Uint8Array.from(out);
	});

test("a naive decoder expands what the engine encoded", () => {
	fc.assert(
		fc.property(repetitive, (input) => {
			assert.equal(decodeLz4(lz4.encode(input), input.length), input);
		}),
		{ numRuns: 400 },
	);
});

test("a block that fits is right, one that does not is refused, and nothing is written behind the capacity", () => {
	const engine = createEngine();
	const table = engine.allocate(16384);
	const source = engine.allocate(65536);
	const target = engine.allocate(65536);
	const endings = fc.constantFrom(0, 14, 15, 269, 270, 271, 524, 525, 600, 60_000);
	fc.assert(
		fc.property(repetitive, endings, fc.nat(), (start, zeros, room) => {
			const input = new Uint8Array(Math.min(start.length, 4096) + zeros + 16);
			input.set(start.subarray(0, 4096));
			const { exports } = engine;
			engine.bytes.set(input, source.offset);
			const needed = exports.lz4Encode(source.offset, input.length, target.offset, 65536, table.offset);
			// The encoder keeps up to 24 bytes of the capacity free, and counts a 128th of the plain length where a 255th counts.
			const slack = 24 + (input.length >> 7);
			const capacity = Math.max(0, needed + slack - (room % 700));
			engine.bytes.fill(0xc3, target.offset, target.offset + needed + 800);
			const length = exports.lz4Encode(source.offset, input.length, target.offset, capacity, table.offset);
			assert.ok(length === needed || (length === 0 && capacity < needed + slack), `${length} in ${capacity}`);
			const behind = engine.bytes.subarray(target.offset + capacity, target.offset + needed + 800);
			assert.ok(behind.every((byte) => byte === 0xc3));
		}),
		{ numRuns: 1000 },
	);
});

test("matches end where the format wants it, and nothing is read behind the plain bytes", () => {
	const engine = createEngine();
	const table = engine.allocate(16384);
	const target = engine.allocate(65536);
	const { exports } = engine;
	const zeros = fc.nat(40);
	fc.assert(
		fc.property(repetitive, zeros, fc.boolean(), (start, more, isPage) => {
			// Repetition up to the very end: what comes first comes last again.
			const plain = new Uint8Array(isPage ? 4096 : Math.min(start.length, 4096) + more);
			for (let at = 0; at < plain.length; at += Math.max(1, start.length))
				plain.set(start.subarray(0, plain.length - at), at);
			// The bytes end where the memory ends: reading one too many traps.
			const from = engine.bytes.length - plain.length;
			engine.bytes.set(plain, from);
			const length = isPage
				? exports.lz4EncodePage(from, target.offset, 65536, table.offset)
				: exports.lz4Encode(from, plain.length, target.offset, 65536, table.offset);
			const block = engine.bytes.slice(target.offset, target.offset + length);
			assert.equal(decodeLz4(block, plain.length), plain);
			const match = lastMatch(block);
			if (match !== undefined) assert.ok(match.start >= 12 && match.end >= 5, JSON.stringify(match));
		}),
		{ numRuns: 1000 },
	);
});

/** Valid sequences over a growing history, so that every offset and length is reachable, overlaps included. */
const sequences = fc.tuple(
	fc.array(
		fc.record({
			literals: fc.array(fc.nat(255), { maxLength: 40 }),
			distance: fc.nat(),
			matchLength: fc.oneof(fc.integer({ min: 4, max: 24 }), fc.integer({ min: 4, max: 900 })),
		}),
		{ maxLength: 40 },
	),
	fc.array(fc.nat(255), { maxLength: 60 }),
);

test("the engine expands any valid block as a naive decoder does", () => {
	fc.assert(
		fc.property(sequences, ([wanted, last]) => {
			let length = 0;
			const valid: Lz4Sequence[] = [];
			for (const { literals, distance, matchLength } of wanted) {
				length += literals.length;
				if (length === 0) continue;
				valid.push({ literals, offset: 1 + (distance % Math.min(length, 65535)), matchLength });
				length += matchLength;
			}
			const block = writeLz4(valid, last);
			const plain = decodeLz4(block, 65536);
			assert.is(plain?.length, length + last.length);
			assert.equal(lz4.decode(block, plain!.length), plain);
		}),
		{ numRuns: 1000 },
	);
});

test("the engine accepts and refuses the same bytes as a naive decoder", () => {
	const engine = createEngine();
	const source = engine.allocate(4096);
	const target = engine.allocate(4096);
	const nearly = fc.tuple(repetitive, fc.array(fc.tuple(fc.nat(), fc.nat(255)), { maxLength: 3 }));
	fc.assert(
		fc.property(nearly, ([input, changes]) => {
			const block = lz4.encode(input.subarray(0, 1000));
			for (const [at, value] of changes) block[at % block.length] = value;
			engine.bytes.set(block, source.offset);
			const length = engine.exports.lz4Decode(source.offset, block.length, target.offset, 1000);
			const plain = decodeLz4(block, 1000);
			assert.is(length, plain?.length ?? -1);
			if (plain !== undefined) assert.equal(engine.bytes.slice(target.offset, target.offset + length), plain);
		}),
		{ numRuns: 2000 },
	);
});

test("lz4-napi and the engine read each other's blocks", () => {
	// lz4-napi puts the plain length, u32 little-endian, before the block.
	fc.assert(
		fc.property(repetitive, (input) => {
			const theirs = new Uint8Array(compressSync(input as Buffer));
			assert.equal(lz4.decode(theirs.subarray(4), input.length), input);
			const ours = lz4.encode(input);
			const framed = new Uint8Array(4 + ours.length);
			new DataView(framed.buffer).setUint32(0, input.length, true);
			framed.set(ours, 4);
			assert.equal(new Uint8Array(uncompressSync(framed)), input);
		}),
		{ numRuns: 200 },
	);
});

test.run();
