import fc from "fast-check";
import { suite } from "uvu";
import * as assert from "uvu/assert";
import { BatchDecoder, BatchEncoder } from "../../bindings/engine/batch.ts";
import { createEngine } from "../../bindings/engine/engine.ts";
import { checksum, expand, pageHash, readBatch } from "../oracles/batch.ts";
import { pseudoRandomBytes } from "../vectors/lz4-inputs.ts";

const test = suite("batches with deltas, over random rounds");
const PAGE = 4096;
const PAGES = 24;

/** What happens to a page before a round: nothing, a few bytes, everything, zeros, text. */
const change = fc.record({
	pageIndex: fc.nat(PAGES - 1),
	how: fc.constantFrom("nothing", "bytes", "bytes", "rewrite", "half", "zero", "text", "babble", "nudge"),
	seed: fc.integer({ min: 1 }),
});
const round = fc.record({
	changes: fc.array(change, { maxLength: 12 }),
	/** More pages to send than have changed. */
	also: fc.array(fc.nat(PAGES - 1), { maxLength: 4 }),
	linkBytesPerMs: fc.constantFrom(undefined, 1000, 400_000, 50_000_000),
	remember: fc.constantFrom(true, true, true, false),
	lost: fc.constantFrom(false, false, false, true),
	nextGeneration: fc.boolean(),
});

function mutate(page: Uint8Array, how: string, seed: number): void {
	if (how === "rewrite") page.set(pseudoRandomBytes(seed, PAGE));
	if (how === "half") page.set(pseudoRandomBytes(seed, PAGE / 2));
	if (how === "zero") page.fill(0);
	if (how === "text") for (let i = 0; i < PAGE; i++) page[i] = (i * seed) % 23;
	if (how === "babble") page.set(pseudoRandomBytes(seed, PAGE).map((byte, i) => (i % 3 === 0 ? byte & 15 : 7)));
	if (how === "nudge") for (let i = 0; i < 1200; i++) page[i]! ^= 1 + (seed & 7);
	if (how === "bytes") for (const at of pseudoRandomBytes(seed, 1 + (seed % 30))) page[(at * 17 + seed) % PAGE]! += 1;
}

test("whatever changes, is lost or forgotten, the receiver ends up with the source's pages", () => {
	const rounds = fc.array(round, { minLength: 1, maxLength: 12 });
	fc.assert(
		fc.property(rounds, fc.constantFrom(0, 1, 4, 32), (list, sentPages) => {
			const encoder = new BatchEncoder(createEngine(), { maxPages: PAGES, sentPages });
			const decoder = new BatchDecoder(createEngine(), { maxPages: PAGES });
			const memory = pseudoRandomBytes(17, PAGES * PAGE);
			const target = new Uint8Array(PAGES * PAGE);
			let generation = 0;
			for (const { changes, also, linkBytesPerMs, remember, lost, nextGeneration } of list) {
				for (const { pageIndex, how, seed } of changes)
					mutate(memory.subarray(pageIndex * PAGE, (pageIndex + 1) * PAGE), how, seed);
				const pages = new Set([...changes.map(({ pageIndex }) => pageIndex), ...also]);
				const pageIndices = Uint32Array.from(pages).sort();
				if (nextGeneration) generation++;
				const batch = encoder.encode({
					pageIndices,
					source: { kind: "memory", bytes: memory },
					generation,
					remember,
					...(linkBytesPerMs === undefined ? {} : { linkBytesPerMs }),
				});
				assert.is(batch.checksum, checksum(batch.bytes));
				if (lost) {
					encoder.forgetSent(pageIndices);
					continue;
				}
				const at = (bytes: Uint8Array, pageIndex: number) => bytes.subarray(pageIndex * PAGE, (pageIndex + 1) * PAGE);
				const carried = readBatch(batch.bytes);
				for (const one of carried) {
					assert.equal(expand(one, at(target, one.pageIndex)), at(memory, one.pageIndex));
					assert.equal(one.hash, pageHash(at(memory, one.pageIndex)));
				}
				const expected = target.slice();
				for (const pageIndex of pageIndices) expected.set(at(memory, pageIndex), pageIndex * PAGE);
				decoder.decode(batch.bytes, { pageCount: PAGES, base: target }).install(target);
				assert.equal(target, expected);
				const count = (...kinds: number[]) => carried.filter(({ kind }) => kinds.includes(kind)).length;
				assert.equal(
					[batch.zeroPages, batch.rawPages, batch.lz4Pages, batch.unchangedPages, batch.deltaPages],
					[count(0), count(1), count(2), count(3), count(4, 5)],
				);
			}
		}),
		{ numRuns: 60 },
	);
});

test.run();
