// Mutated input to every decoder of the engine: no trap, no output beyond its limit, no write outside its regions.
// 100 000 mutations are shared out over the decoders; PAGEFERRY_MUTATIONS=1000000 runs more.
import process from "node:process";
import { suite } from "uvu";
import * as assert from "uvu/assert";
import { BatchDecoder, BatchEncoder, BatchError } from "../../bindings/engine/batch.ts";
import { DELTA_SLACK_BYTES, Delta, type DeltaFormat } from "../../bindings/engine/delta.ts";
import { createEngine, type Engine, type Region } from "../../bindings/engine/engine.ts";
import { CELL_OFFSET } from "../../bindings/engine/layout.ts";
import { Lz4 } from "../../bindings/engine/lz4.ts";
import { checksum, expand, pageHash, readBatch } from "../oracles/batch.ts";
import { lz4Inputs, pseudoRandomBytes } from "../vectors/lz4-inputs.ts";

const test = suite("decoders under hostile input");
const MUTATIONS = Number(process.env.PAGEFERRY_MUTATIONS ?? 100_000);
const PAGE = 4096;

/** xorshift32: numbers below a limit. */
function random(seed: number): (limit: number) => number {
	let state = seed;
	return (limit) => {
		state ^= state << 13;
		state ^= state >>> 17;
		state ^= state << 5;
		return (state >>> 0) % limit;
	};
}

/** Bytes that mean something to a length or a token. */
const TELLING = [0, 1, 0x0f, 0x10, 0x7f, 0x80, 0xf0, 0xff];

/** Changes 1 … 4 bytes, cuts or lengthens; leaves the seed alone. */
function mutate(seed: Uint8Array, below: (limit: number) => number): Uint8Array {
	const bytes = new Uint8Array(Math.max(1, seed.length + (below(4) === 0 ? below(64) - 48 : 0)));
	bytes.set(seed.subarray(0, bytes.length));
	for (let changes = below(4) + 1; changes > 0; changes--) {
		const at = below(3) === 0 ? below(Math.min(64, bytes.length)) : below(bytes.length);
		bytes[at] = below(2) === 0 ? TELLING[below(TELLING.length)]! : below(256);
	}
	return bytes;
}

/** Fills everything outside the regions with a pattern, and tells whether it is still there. */
class Guard {
	readonly #engine: Engine;
	readonly #allowed: readonly Region[];
	readonly #expected: Uint8Array;

	constructor(engine: Engine, allowed: readonly Region[]) {
		this.#engine = engine;
		this.#allowed = [...allowed].sort((a, b) => a.offset - b.offset);
		this.#expected = engine.bytes.slice();
	}

	/** The whole memory but the regions: slow, so it is done now and then. */
	check(): void {
		let from = 0;
		for (const { offset, byteLength } of [...this.#allowed, { offset: this.#expected.length, byteLength: 0 }]) {
			const is = this.#engine.bytes.subarray(from, offset);
			const was = this.#expected.subarray(from, offset);
			if (checksum(is) !== checksum(was)) assert.equal(is, was, `a write between ${from} and ${offset}`);
			from = offset + byteLength;
		}
	}
}

test("LZ4: no mutated block is read or written beyond its ends", () => {
	const below = random(0x1234567);
	const engine = createEngine();
	const lz4 = new Lz4(engine);
	const seeds = [...lz4Inputs().values()].filter(({ length }) => length <= PAGE).map((input) => lz4.encode(input));
	engine.allocate(PAGE);
	const target = engine.allocate(PAGE);
	engine.allocate(PAGE);
	// Blocks end where the memory ends: reading one byte too many traps.
	const source = { offset: engine.bytes.length - 8192, byteLength: 8192 };
	engine.bytes.fill(0xc3, target.offset - 64, target.offset + PAGE + 64);
	const guard = new Guard(engine, [source, target]);
	for (let i = 0; i < MUTATIONS * 0.4; i++) {
		const block = mutate(seeds[below(seeds.length)]!, below);
		// At the target's end, so that one byte too many is one byte into the guard.
		const capacity = below(4) === 0 ? below(PAGE + 1) : PAGE;
		const at = target.offset + PAGE - capacity;
		const from = engine.bytes.length - block.length;
		engine.bytes.set(block, from);
		const length = engine.exports.lz4Decode(from, block.length, at, capacity);
		assert.ok(length >= -1 && length <= capacity, `${length} of ${capacity}`);
		if (i % 1000 === 0) guard.check();
		const behind = engine.bytes.subarray(target.offset + PAGE, target.offset + PAGE + 64);
		for (let k = 0; k < 64; k++) if (behind[k] !== 0xc3) assert.unreachable(`a write ${k} bytes behind the target`);
	}
	guard.check();
});

/** Deltas of pages that changed here and there, in both formats. */
function deltaSeeds(format: DeltaFormat): Uint8Array[] {
	const delta = new Delta(createEngine());
	const before = pseudoRandomBytes(31, PAGE);
	const seeds: Uint8Array[] = [];
	for (const [step, length] of [
		[4096, 1],
		[700, 9],
		[300, 200],
		[64, 8],
		[40, 3],
		[4000, 3500],
	] as const) {
		const after = before.slice();
		for (let at = step >> 3; at < PAGE; at += step)
			for (let i = at; i < Math.min(PAGE, at + length); i++) after[i] = before[i]! ^ 0x11;
		seeds.push(delta.encode(format, before, after)!);
	}
	return seeds;
}

for (const format of ["xbzrle", "word-mask"] as const)
	test(`${format}: no mutated delta is read beyond its end or written beyond its page`, () => {
		const below = random(0x2468ace);
		const engine = createEngine();
		const seeds = deltaSeeds(format);
		engine.allocate(PAGE);
		const page = engine.allocate(PAGE);
		engine.allocate(PAGE);
		// Deltas end where the memory ends, but for the slack that the word mask may read.
		const slack = format === "xbzrle" ? 0 : DELTA_SLACK_BYTES;
		const source = { offset: engine.bytes.length - 8192, byteLength: 8192 };
		engine.bytes.fill(0xc3, page.offset - 64, page.offset + PAGE + 64);
		const guard = new Guard(engine, [source, page]);
		const decode = format === "xbzrle" ? engine.exports.xbzrleDecode : engine.exports.wordMaskDecode;
		for (let i = 0; i < MUTATIONS * 0.15; i++) {
			const bytes = mutate(seeds[below(seeds.length)]!, below);
			const from = engine.bytes.length - slack - bytes.length;
			engine.bytes.set(bytes, from);
			const reached = decode(from, bytes.length, page.offset);
			assert.ok(reached >= -1 && reached <= PAGE, `${reached}`);
			if (i % 1000 === 0) guard.check();
			const { bytes: memory } = engine;
			for (let k = 0; k < 64; k++)
				if (memory[page.offset - 1 - k] !== 0xc3 || memory[page.offset + PAGE + k] !== 0xc3)
					assert.unreachable(`a write ${k} bytes beside the page`);
		}
		guard.check();
	});

/** Batches of a few pages: with every kind, with none, and large ones. */
function batchSeeds(): Uint8Array[] {
	const memory = new Uint8Array(16 * PAGE);
	memory.set(pseudoRandomBytes(1, PAGE), PAGE);
	for (let i = 2 * PAGE; i < 6 * PAGE; i++) memory[i] = (i >> 3) % 29;
	const encoder = new BatchEncoder(createEngine());
	const source = { kind: "memory", bytes: memory } as const;
	const lists = [[], [0], [1], [2], [2, 3, 4], [0, 1, 2, 7, 15], [3, 4, 5, 6]];
	return lists.map((list) => encoder.encode({ pageIndices: Uint32Array.from(list), source }).bytes.slice());
}

/** Mutates the header and the table more often than the payloads, where the hash would find it at once. */
function mutateBatch(seed: Uint8Array, below: (limit: number) => number): Uint8Array {
	const bytes = mutate(seed, below);
	const view = new DataView(bytes.buffer);
	const fields = Math.min(bytes.length, 16 + 24 * 5) >> 2;
	if (below(2) === 0 && fields > 0) {
		const at = below(fields) * 4;
		const value = view.getUint32(at, true);
		const values = [value + 1, value - 1, value + (1 << 24), value ^ (1 << below(32)), 0, 0xffff_ffff, below(2 ** 31)];
		view.setUint32(at, values[below(values.length)]! >>> 0, true);
	}
	return bytes;
}

test("batches: a mutated batch is refused with a code, or is right in every page", () => {
	const below = random(0x7654321);
	const engine = createEngine();
	engine.allocate(PAGE);
	const decoder = new BatchDecoder(engine, { maxPages: 8 });
	const end = engine.usedBytes;
	engine.allocate(PAGE);
	// Everything that this decoder owns lies between; what it may write is that and its cell.
	const guard = new Guard(engine, [
		{ offset: CELL_OFFSET, byteLength: 64 },
		{ offset: 0x12000 + PAGE, byteLength: end - 0x12000 - PAGE },
	]);
	const seeds = batchSeeds();
	const codes = new Map<string, number>();
	for (let i = 0; i < MUTATIONS * 0.3; i++) {
		const bytes = mutateBatch(seeds[below(seeds.length)]!, below);
		try {
			const decoded = decoder.decode(bytes, { pageCount: 16 });
			for (const one of readBatch(bytes)) assert.equal(one.hash, pageHash(expand(one)));
			assert.ok(decoded.pages <= 8);
			codes.set("accepted", (codes.get("accepted") ?? 0) + 1);
		} catch (error) {
			if (!(error instanceof BatchError)) throw error;
			codes.set(error.code, (codes.get(error.code) ?? 0) + 1);
		}
		if (i % 1000 === 0) guard.check();
	}
	guard.check();
	// The mutations reach every check; otherwise they prove little.
	if (MUTATIONS >= 100_000)
		for (const code of [
			"truncated",
			"bad-header",
			"bad-length",
			"bad-kind",
			"bad-index",
			"bad-order",
			"bad-payload",
			"corrupt-page",
		])
			assert.ok((codes.get(code) ?? 0) > 10, `${code}: ${codes.get(code)}`);
});

test.run();
