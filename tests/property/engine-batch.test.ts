import fc from "fast-check";
import { suite } from "uvu";
import * as assert from "uvu/assert";
import { BatchDecoder, BatchEncoder } from "../../bindings/engine/batch.ts";
import { createEngine } from "../../bindings/engine/engine.ts";
import { carry, checksum, expand, pageHash, readBatch, writeBatch } from "../oracles/batch.ts";
import { pseudoRandomBytes } from "../vectors/lz4-inputs.ts";

const test = suite("batches, against a naive coder");
const PAGE = 4096;
const PAGES = 40;
const encoder = new BatchEncoder(createEngine());
const decoder = new BatchDecoder(createEngine());

/** A page of zeros, of noise, of repetition, or noise that turns into zeros. */
const content: fc.Arbitrary<Uint8Array> = fc.oneof(
	fc.constant(new Uint8Array(PAGE)),
	fc.integer({ min: 1 }).map((seed) => pseudoRandomBytes(seed, PAGE)),
	fc
		.uint8Array({ minLength: 1, maxLength: 50 })
		.map((cell) => Uint8Array.from({ length: PAGE }, (_, i) => cell[i % cell.length]!)),
	fc.tuple(fc.integer({ min: 1 }), fc.nat(PAGE)).map(([seed, from]) => pseudoRandomBytes(seed, PAGE).fill(0, from)),
	fc.nat(PAGE - 1).map((at) => new Uint8Array(PAGE).fill(1, at, at + 1)),
);
const list = fc
	.uniqueArray(fc.tuple(fc.nat(PAGES - 1), content), { selector: ([pageIndex]) => pageIndex, maxLength: PAGES })
	.map((pages) => pages.sort(([a], [b]) => a - b));

function encode(pages: readonly (readonly [number, Uint8Array])[], compress: boolean) {
	const bytes = new Uint8Array(PAGES * PAGE);
	for (const [pageIndex, page] of pages) bytes.set(page, pageIndex * PAGE);
	const pageIndices = Uint32Array.from(pages, ([pageIndex]) => pageIndex);
	return encoder.encode({ pageIndices, source: { kind: "memory", bytes }, compress });
}

test("without compression the bytes are those of a naive encoder", () => {
	fc.assert(
		fc.property(list, (pages) => {
			const batch = encode(pages, false);
			assert.equal(batch.bytes, writeBatch(pages.map(([pageIndex, page]) => carry(pageIndex, page))));
			assert.is(batch.checksum, checksum(batch.bytes));
		}),
		{ numRuns: 100 },
	);
});

test("a naive decoder expands what the engine encoded, and the counts are right", () => {
	fc.assert(
		fc.property(list, (pages) => {
			const batch = encode(pages, true);
			const carried = readBatch(batch.bytes);
			assert.equal(
				carried.map(({ pageIndex }) => pageIndex),
				pages.map(([pageIndex]) => pageIndex),
			);
			carried.forEach((one, position) => {
				assert.equal(expand(one), pages[position]![1]);
				assert.equal(one.hash, pageHash(pages[position]![1]));
			});
			const count = (kind: number): number => carried.filter((one) => one.kind === kind).length;
			assert.equal([batch.zeroPages, batch.rawPages, batch.lz4Pages], [count(0), count(1), count(2)]);
		}),
		{ numRuns: 100 },
	);
});

test("a batch changes the listed pages to the source's and no other byte", () => {
	fc.assert(
		fc.property(list, fc.boolean(), (pages, compress) => {
			const { bytes } = encode(pages, compress);
			const target = new Uint8Array(PAGES * PAGE).fill(0xa5);
			const expected = target.slice();
			for (const [pageIndex, page] of pages) expected.set(page, pageIndex * PAGE);
			decoder.decode(bytes, { pageCount: PAGES }).install(target);
			assert.equal(target, expected);
		}),
		{ numRuns: 100 },
	);
});

test.run();
