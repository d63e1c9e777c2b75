// Compare, zero scan and hashes, in the engine and in place, against loops over bytes.
import fc from "fast-check";
import { createXXHash3, createXXHash128 } from "hash-wasm";
import { suite } from "uvu";
import * as assert from "uvu/assert";
import { Bitmap } from "../../bindings/engine/bitmap.ts";
import { PageComparer } from "../../bindings/engine/compare.ts";
import { createEngine } from "../../bindings/engine/engine.ts";
import { Hasher128, hash64, hash128, PageHasher } from "../../bindings/engine/hash.ts";
import { compileInplace, GuestMemoryKernels } from "../../bindings/engine/inplace.ts";
import { ZeroScanner } from "../../bindings/engine/zero.ts";

const test = suite("engine page properties");
const PAGES = 160; // two words and a half of a bitmap, so that ranges cross word boundaries
const BYTES = PAGES * 4096;

/** Single bytes to write, so that pages differ or are non-zero in one place only: the hardest case for a scan. */
const writes = fc.array(fc.tuple(fc.integer({ min: 0, max: BYTES - 1 }), fc.integer({ min: 1, max: 255 })), {
	maxLength: 200,
});
/** Pages written whole, so that differences come early and in a row. */
const fills = fc.array(fc.tuple(fc.integer({ min: 0, max: PAGES - 1 }), fc.integer({ min: 1, max: 40 })), {
	maxLength: 4,
});
const ranges = fc
	.tuple(fc.integer({ min: 0, max: PAGES }), fc.integer({ min: 0, max: PAGES }))
	.map(([a, b]) => [Math.min(a, b), Math.abs(a - b)] as const);

function written(bytes: Uint8Array, singles: [number, number][], whole: [number, number][]): void {
	for (const [page, count] of whole) bytes.fill(page + 1, page * 4096, Math.min(PAGES, page + count) * 4096);
	for (const [at, value] of singles) bytes[at] = value;
}

const pagesWhere = (first: number, count: number, holds: (page: number) => boolean) =>
	Array.from({ length: count }, (_, i) => first + i).filter(holds);
const isZero = (bytes: Uint8Array, page: number) =>
	bytes.subarray(page * 4096, page * 4096 + 4096).every((byte) => byte === 0);
const differ = (a: Uint8Array, b: Uint8Array, page: number) => {
	for (let i = page * 4096; i < page * 4096 + 4096; i++) if (a[i] !== b[i]) return true;
	return false;
};

test("compare finds exactly the pages that differ, in the engine and in place", () => {
	const engine = createEngine();
	const memory = new WebAssembly.Memory({ initial: BYTES / 65536 });
	const guest = new GuestMemoryKernels(engine, memory);
	const [a, b] = [engine.allocate(BYTES, 4096), engine.allocate(BYTES, 4096)];
	const comparer = new PageComparer(engine);
	const [inEngine, inPlace] = [new Bitmap(engine, PAGES), new Bitmap(engine, PAGES)];
	fc.assert(
		fc.property(writes, writes, fills, ranges, (one, other, whole, [first, count]) => {
			engine.view(a).fill(0);
			engine.view(b).fill(0);
			written(engine.view(a), one, whole);
			written(engine.view(b), other, []);
			new Uint8Array(memory.buffer).set(engine.view(a));
			const expected = pagesWhere(first, count, (page) => differ(engine.view(a), engine.view(b), page));
			inEngine.clearAll();
			inPlace.clearAll();
			assert.is(comparer.compare(a, b, inEngine, first, count), expected.length);
			assert.is(guest.compareToShadow(b, first, count, inPlace), expected.length);
			assert.equal([...inEngine.list()], expected);
			assert.equal([...inPlace.list()], expected);
		}),
		{ numRuns: 60 },
	);
});

test("the zero scan finds exactly the zero pages, in the engine and in place, and keeps other bits", () => {
	const engine = createEngine();
	const memory = new WebAssembly.Memory({ initial: BYTES / 65536 });
	const guest = new GuestMemoryKernels(engine, memory);
	const pages = engine.allocate(BYTES, 4096);
	const [inEngine, inPlace] = [new Bitmap(engine, PAGES), new Bitmap(engine, PAGES)];
	fc.assert(
		fc.property(
			writes,
			fills,
			ranges,
			fc.integer({ min: 0, max: PAGES - 1 }),
			(singles, whole, [first, count], kept) => {
				engine.view(pages).fill(0);
				written(engine.view(pages), singles, whole);
				new Uint8Array(memory.buffer).set(engine.view(pages));
				const zero = pagesWhere(first, count, (page) => isZero(engine.view(pages), page));
				for (const bitmap of [inEngine, inPlace]) {
					bitmap.clearAll();
					bitmap.set(kept);
				}
				assert.is(new ZeroScanner(engine).scan(pages, inEngine, first, count), zero.length);
				assert.is(guest.zeroPages(first, count, inPlace), zero.length);
				const expected = [...new Set([...zero, kept])].sort((x, y) => x - y);
				assert.equal([...inEngine.list()], expected);
				assert.equal([...inPlace.list()], expected);
			},
		),
		{ numRuns: 60 },
	);
});

test("hashes of any bytes equal hash-wasm's, at once and in any pieces", async () => {
	const [reference64, reference128] = [await createXXHash3(), await createXXHash128()];
	const engine = createEngine();
	const hasher = new Hasher128(engine);
	const reversedHex = (bytes: Uint8Array) =>
		[...bytes]
			.reverse()
			.map((byte) => byte.toString(16).padStart(2, "0"))
			.join("");
	fc.assert(
		fc.property(
			fc.oneof(fc.uint8Array({ maxLength: 300 }), fc.uint8Array({ minLength: 1000, maxLength: 5000 })),
			fc.array(fc.integer({ min: 0, max: 700 }), { minLength: 1, maxLength: 20 }),
			(bytes, pieces) => {
				const expected = reference128.init().update(bytes).digest("hex");
				assert.is(hash64(engine, bytes).toString(16).padStart(16, "0"), reference64.init().update(bytes).digest("hex"));
				assert.is(reversedHex(hash128(engine, bytes)), expected);
				hasher.reset();
				let at = 0;
				for (const piece of pieces) {
					hasher.update(bytes.subarray(at, at + piece));
					at = Math.min(bytes.length, at + piece);
				}
				hasher.update(bytes.subarray(at));
				assert.is(reversedHex(hasher.digest()), expected);
			},
		),
		{ numRuns: 400 },
	);
});

test("pages hash to the same in the engine and in place, before and after the guest's memory grows", () => {
	const engine = createEngine();
	const memory = new WebAssembly.Memory({ initial: 2 });
	const guest = new GuestMemoryKernels(engine, memory, compileInplace());
	const hasher = new PageHasher(engine);
	const region = engine.allocate(64 * 4096, 4096);
	fc.assert(
		fc.property(fc.uint8Array({ minLength: 4096, maxLength: 4096 }), fc.integer({ min: 0, max: 31 }), (page, at) => {
			new Uint8Array(memory.buffer).set(page, at * 4096);
			guest.copyOut(0, 32, region);
			assert.equal(guest.hashPages(0, 32), hasher.hashPages(region, 0, 32));
			assert.equal(guest.hashPages(at, 1), hash128(engine, page));
		}),
		{ numRuns: 40 },
	);
	memory.grow(2);
	assert.is(guest.pageCount, 64);
	new Uint8Array(memory.buffer)[63 * 4096 + 5] = 9;
	guest.copyOut(0, 64, region);
	assert.equal(guest.hashPages(0, 64), hasher.hashPages(region));
});

test.run();
