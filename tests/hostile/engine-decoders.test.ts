// Mutated input to every decoder of the engine: no trap, no output beyond its limit, no write outside its regions.
// A run of all tests gives each decoder some 10 000 mutations; `npm run fuzz` a million (PAGEFERRY_MUTATIONS).
import process from "node:process";
import { suite } from "uvu";
import * as assert from "uvu/assert";
import { BatchDecoder, BatchEncoder, BatchError } from "../../bindings/engine/batch.ts";
import { DELTA_SLACK_BYTES, Delta, type DeltaFormat } from "../../bindings/engine/delta.ts";
import { createEngine, type Engine, type Region } from "../../bindings/engine/engine.ts";
import { SECRET_OFFSET } from "../../bindings/engine/layout.ts";
import { Lz4 } from "../../bindings/engine/lz4.ts";
import { expand, hash64, pageHash, readBatch } from "../oracles/batch.ts";
import { lz4Inputs, pseudoRandomBytes } from "../vectors/lz4-inputs.ts";

const test = suite("decoders under hostile input");
const WANTED = process.env.PAGEFERRY_MUTATIONS;
/** Mutations of one decoder: as many as are asked for, or what a run of all tests has time for. */
const mutations = (inAllTests: number): number => (WANTED === undefined ? inAllTests : Number(WANTED));
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
			if (hash64(is) !== hash64(was)) assert.equal(is, was, `a write between ${from} and ${offset}`);
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
	for (let i = 0; i < mutations(40_000); i++) {
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
		const region = engine.allocate(2 * PAGE);
		const end = engine.bytes.length;
		// The delta ends where the memory ends, but for the slack that may be read; or the page does.
		const tail = { offset: end - 8192, byteLength: 8192 };
		assert.ok(tail.offset > engine.usedBytes);
		const guard = new Guard(engine, [tail, region]);
		const decode = format === "xbzrle" ? engine.exports.xbzrleDecode : engine.exports.wordMaskDecode;
		for (let i = 0; i < mutations(15_000); i++) {
			const bytes = mutate(seeds[below(seeds.length)]!, below);
			const pageIsLast = i % 2 === 0;
			const page = pageIsLast ? end - PAGE : region.offset + 64;
			const from = pageIsLast ? region.offset : end - DELTA_SLACK_BYTES - bytes.length;
			engine.bytes.fill(0xc3, page - 64, Math.min(end, page + PAGE + 64));
			engine.bytes.set(bytes, from);
			const reached = decode(from, bytes.length, page);
			assert.ok(reached >= -1 && reached <= PAGE, `${reached}`);
			if (i % 1000 === 0) guard.check();
			const { bytes: memory } = engine;
			for (let k = 0; k < 64; k++)
				if (memory[page - 1 - k] !== 0xc3 || (page + PAGE + k < end && memory[page + PAGE + k] !== 0xc3))
					assert.unreachable(`a write ${k} bytes beside the page`);
		}
		guard.check();
	});

/** What the receiver has: noise, so that any delta against it can be told from any other. */
const BASE = pseudoRandomBytes(41, 16 * PAGE);

/** Batches of a few pages: with every kind, with none, and large ones. */
function batchSeeds(): Uint8Array[] {
	const memory = BASE.slice();
	memory.fill(0, 0, PAGE);
	for (let i = 2 * PAGE; i < 6 * PAGE; i++) memory[i] = (i >> 3) % 29;
	for (let i = 8 * PAGE; i < 12 * PAGE; i += 300) memory[i]! ^= 1;
	const lists = [[], [0], [1], [2], [2, 3, 4], [0, 1, 2, 7, 15], [3, 4, 5, 6], [7], [8], [7, 8, 9, 10], [1, 2, 7, 9]];
	return [1000, 10_000_000].flatMap((linkBytesPerMs) =>
		lists.map((list) => {
			const encoder = new BatchEncoder(createEngine(), { maxPages: 16, sentPages: 16, now: () => 0 });
			const known = Uint32Array.of(7, 8, 9, 10);
			encoder.encode({ pageIndices: known, source: { kind: "memory", bytes: BASE }, compress: false });
			const source = { kind: "memory", bytes: memory } as const;
			return encoder.encode({ pageIndices: Uint32Array.from(list), source, linkBytesPerMs }).bytes;
		}),
	);
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
	const decoder = new BatchDecoder(createEngine(), { maxPages: 8 });
	const target = BASE.slice();
	const seeds = batchSeeds();
	const codes = new Map<string, number>();
	for (let i = 0; i < mutations(20_000); i++) {
		const bytes = mutateBatch(seeds[below(seeds.length)]!, below);
		const base = below(20) === 0 ? undefined : target;
		try {
			const decoded = decoder.decode(bytes, { pageCount: 16, ...(base === undefined ? {} : { base }) });
			assert.ok(decoded.pages <= 8);
			const carried = readBatch(bytes);
			const expected = target.slice();
			for (const one of carried) {
				const page = expand(one, target.subarray(one.pageIndex * PAGE, (one.pageIndex + 1) * PAGE));
				assert.equal(one.hash, pageHash(page));
				expected.set(page, one.pageIndex * PAGE);
			}
			decoded.install(target);
			assert.equal(target, expected);
			target.set(BASE);
			codes.set("accepted", (codes.get("accepted") ?? 0) + 1);
		} catch (error) {
			if (!(error instanceof BatchError)) throw error;
			codes.set(error.code, (codes.get(error.code) ?? 0) + 1);
		}
	}
	// The mutations reach every check; otherwise they prove little.
	if (mutations(20_000) >= 20_000)
		for (const code of CODES) assert.ok((codes.get(code) ?? 0) > 10, `${code}: ${codes.get(code)}`);
});

const CODES = [
	"accepted",
	"truncated",
	"bad-header",
	"bad-length",
	"bad-kind",
	"bad-index",
	"bad-order",
	"bad-payload",
	"no-base",
	"corrupt-page",
];

/** Words of the kernel's request (assembly/batch-decode.ts) that this test writes and reads. */
const Word = { payloads: 8, nextBytes: 12, count: 24 } as const;
const NEEDS_BASES = 9;

test("batches: the kernel reads no byte behind its input and writes only its staging, runs, hash state and request", () => {
	const below = random(0x1357913);
	const engine = createEngine();
	const maxPages = 8;
	const apart = (byteLength: number): Region => {
		engine.allocate(PAGE);
		return engine.allocate(byteLength);
	};
	const request = apart(Word.count * 4);
	const runs = apart(maxPages * 16);
	const state = apart(512);
	const staging = apart(maxPages * PAGE);
	engine.allocate(PAGE);
	const input = { offset: engine.bytes.length - 40_000, byteLength: 40_000 };
	assert.ok(input.offset > engine.usedBytes);
	const guard = new Guard(engine, [request, runs, state, staging, input]);
	const seeds = batchSeeds().filter(({ length }) => length < input.byteLength - 100);
	const reached = new Set<number>();
	for (let i = 0; i < mutations(10_000); i++) {
		const bytes = mutateBatch(seeds[below(seeds.length)]!, below);
		// At the memory's end, but for the slack that deltas may read.
		const at = engine.bytes.length - DELTA_SLACK_BYTES - bytes.length;
		engine.bytes.set(bytes, at);
		const { words, exports } = engine;
		const from = request.offset / 4;
		words.fill(0, from, from + Word.count);
		words.set([SECRET_OFFSET, at, bytes.length, 16, maxPages, staging.offset, runs.offset, state.offset], from);
		const pages = 1 + below(maxPages);
		let status = exports.batchCheck(request.offset, pages);
		if (status === 0 || status === NEEDS_BASES) {
			// Accepted as a whole: what it says of its payloads' place is true from here on.
			const count = new DataView(engine.bytes.buffer).getUint32(at, true);
			let payloads = at + 16 + 24 * count;
			status = 0;
			for (let done = 0; status === 0 && (done === 0 || done < count); done += pages) {
				words[from + Word.payloads] = payloads;
				payloads += words[from + Word.nextBytes]!;
				status = exports.batchDecode(request.offset, pages);
			}
		}
		assert.ok(status >= 0 && status < NEEDS_BASES);
		reached.add(status);
		if (i % 100 === 0) guard.check();
	}
	guard.check();
	if (mutations(10_000) >= 10_000) assert.equal([...reached].sort(), [0, 1, 2, 3, 4, 5, 6, 7, 8]);
});

test.run();
