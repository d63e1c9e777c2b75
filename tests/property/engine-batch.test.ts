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

/** What a page is made from, so that a failure prints as a recipe and not as its bytes. */
type Recipe = { zeros: true } | { seed: number; from: number } | { cell: readonly number[] } | { at: number };

function make(recipe: Recipe): Uint8Array {
	if ("seed" in recipe) return pseudoRandomBytes(recipe.seed, PAGE).fill(0, recipe.from);
	if ("cell" in recipe) return Uint8Array.from({ length: PAGE }, (_, i) => recipe.cell[i % recipe.cell.length]!);
	const page = new Uint8Array(PAGE);
	return "at" in recipe ? page.fill(1, recipe.at, recipe.at + 1) : page;
}

/** A page of zeros, of noise, noise that turns into zeros, repetition, a single byte. */
const recipe: fc.Arbitrary<Recipe> = fc.oneof(
	fc.constant({ zeros: true as const }),
	fc.record({ seed: fc.integer({ min: 1 }), from: fc.oneof(fc.constant(PAGE), fc.nat(PAGE)) }),
	fc.record({ cell: fc.array(fc.nat(255), { minLength: 1, maxLength: 50 }) }),
	fc.record({ at: fc.nat(PAGE - 1) }),
);
const recipes = fc
	.uniqueArray(fc.tuple(fc.nat(PAGES - 1), recipe), { selector: ([pageIndex]) => pageIndex, maxLength: PAGES })
	.map((pages) => pages.sort(([a], [b]) => a - b));

type Pages = readonly (readonly [number, Uint8Array])[];
const makeAll = (list: readonly (readonly [number, Recipe])[]): Pages =>
	list.map(([pageIndex, recipe]) => [pageIndex, make(recipe)]);

function encode(pages: Pages, compress: boolean) {
	const bytes = new Uint8Array(PAGES * PAGE);
	for (const [pageIndex, page] of pages) bytes.set(page, pageIndex * PAGE);
	const pageIndices = Uint32Array.from(pages, ([pageIndex]) => pageIndex);
	return encoder.encode({ pageIndices, source: { kind: "memory", bytes }, compress });
}

test("without compression the bytes are those of a naive encoder", () => {
	fc.assert(
		fc.property(recipes, (list) => {
			const pages = makeAll(list);
			const batch = encode(pages, false);
			assert.equal(batch.bytes, writeBatch(pages.map(([pageIndex, page]) => carry(pageIndex, page))));
			assert.is(batch.checksum, checksum(batch.bytes));
		}),
		{ numRuns: 100 },
	);
});

test("a naive decoder expands what the engine encoded, and the counts are right", () => {
	fc.assert(
		fc.property(recipes, (list) => {
			const pages = makeAll(list);
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
		fc.property(recipes, fc.boolean(), (list, compress) => {
			const pages = makeAll(list);
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
