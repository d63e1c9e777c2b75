// Bitmaps and the pre-copy step against Sets of numbers.
import fc from "fast-check";
import { suite } from "uvu";
import * as assert from "uvu/assert";
import { Bitmap } from "../../bindings/engine/bitmap.ts";
import { createEngine } from "../../bindings/engine/engine.ts";
import { PageList } from "../../bindings/engine/page-list.ts";
import { PreCopyStep } from "../../bindings/engine/precopy.ts";

const test = suite("engine bitmap properties");

/** Ascending array of a set: the oracle of every listing. */
const ascending = (set: Iterable<number>) => [...set].sort((a, b) => a - b);

function runsOf(indices: number[]): number[] {
	const runs: number[] = [];
	for (const index of indices) {
		const last = runs.length - 2;
		if (last >= 0 && runs[last]! + runs[last + 1]! === index) runs[last + 1]!++;
		else runs.push(index, 1);
	}
	return runs;
}

/** Sizes around every boundary of words, blocks and summary words. */
const sizes = fc.oneof(
	fc.constantFrom(1, 63, 64, 65, 4095, 4096, 4097, 8192, 262_143, 262_144, 262_145),
	fc.integer({ min: 1, max: 20_000 }),
	// A handful of words, so that steps of a sequence meet in the same ones.
	fc.integer({ min: 65, max: 400 }),
);

type Step =
	| { kind: "set" | "clear"; at: number }
	| { kind: "setRange" | "clearRange"; at: number; length: number }
	| { kind: "or" | "and" | "andNot" | "copyFrom"; other: { at: number; length: number }[] }
	| { kind: "harvest" | "harvestRuns" | "setAll" | "clearAll" | "reload" };

const fraction = fc.double({ min: 0, max: 1, noNaN: true });
const range = fc.record({
	at: fraction,
	length: fc.oneof(fc.constant(0), fc.double({ min: 0, max: 0.01, noNaN: true }), fraction),
});
const steps: fc.Arbitrary<Step[]> = fc.array(
	fc.oneof(
		{ weight: 4, arbitrary: fc.record({ kind: fc.constantFrom("set" as const, "clear" as const), at: fraction }) },
		{
			weight: 4,
			arbitrary: fc
				.tuple(fc.constantFrom("setRange" as const, "clearRange" as const), range)
				.map(([kind, where]) => ({ kind, ...where })),
		},
		{
			weight: 3,
			arbitrary: fc.record({
				kind: fc.constantFrom("or" as const, "and" as const, "andNot" as const, "copyFrom" as const),
				other: fc.array(range, { maxLength: 4 }),
			}),
		},
		{
			weight: 1,
			arbitrary: fc.record({
				kind: fc.constantFrom(
					"harvest" as const,
					"harvestRuns" as const,
					"setAll" as const,
					"clearAll" as const,
					"reload" as const,
				),
			}),
		},
	),
	{ maxLength: 20 },
);

/** A range given in fractions, as first and count within `size`. */
function within(size: number, where: { at: number; length: number }): [first: number, count: number] {
	const first = Math.min(size - 1, Math.floor(where.at * size));
	return [first, Math.min(size - first, Math.ceil(where.length * size))];
}

/** Applies one step to the bitmap and to the oracle. */
function apply(step: Step, bitmap: Bitmap, oracle: Set<number>): void {
	const size = bitmap.bitCount;
	switch (step.kind) {
		case "set":
		case "clear": {
			const [index] = within(size, { at: step.at, length: 0 });
			assert.is(bitmap[step.kind](index), oracle.has(index) === (step.kind === "clear"));
			if (step.kind === "set") oracle.add(index);
			else oracle.delete(index);
			return;
		}
		case "setRange":
		case "clearRange": {
			const [first, count] = within(size, step);
			bitmap[step.kind](first, count);
			for (let i = first; i < first + count; i++) {
				if (step.kind === "setRange") oracle.add(i);
				else oracle.delete(i);
			}
			return;
		}
		case "harvest":
			assert.equal([...bitmap.harvestList()], ascending(oracle));
			oracle.clear();
			return;
		case "harvestRuns":
			assert.equal([...bitmap.harvestRuns()], runsOf(ascending(oracle)));
			oracle.clear();
			return;
		case "clearAll":
			bitmap.clearAll();
			oracle.clear();
			return;
		case "setAll":
			bitmap.setAll();
			for (let i = 0; i < size; i++) oracle.add(i);
			return;
		case "reload":
			bitmap.loadBytes(bitmap.toBytes());
			return;
		default: {
			const other = new Bitmap(bitmap.engine, size);
			const members = new Set<number>();
			for (const where of step.other) {
				const [first, count] = within(size, where);
				other.setRange(first, count);
				for (let i = first; i < first + count; i++) members.add(i);
			}
			bitmap[step.kind](other);
			if (step.kind === "copyFrom") oracle.clear();
			if (step.kind === "or" || step.kind === "copyFrom") for (const index of members) oracle.add(index);
			else for (const index of oracle) if (members.has(index) === (step.kind === "andNot")) oracle.delete(index);
		}
	}
}

test("any sequence of operations leaves the bits a Set would hold", () => {
	fc.assert(
		fc.property(sizes, steps, range, (size, sequence, where) => {
			const engine = createEngine();
			const bitmap = new Bitmap(engine, size);
			const oracle = new Set<number>();
			for (const step of sequence) apply(step, bitmap, oracle);
			const expected = ascending(oracle);
			assert.is(bitmap.count(), expected.length);
			assert.equal([...bitmap.list()], expected);
			assert.equal([...bitmap.runs()], runsOf(expected));
			const [first, count] = within(size, where);
			const inside = expected.filter((index) => index >= first && index < first + count);
			assert.is(bitmap.countRange(first, count), inside.length);
			assert.equal([...bitmap.list(first, count)], inside);
			assert.is(bitmap.next(first), expected.find((index) => index >= first) ?? size);
			const again = new Bitmap(engine, size);
			again.loadBytes(bitmap.toBytes());
			assert.ok(again.equals(bitmap));
			assert.equal([...again.list()], expected);
			if (again.set(first) || again.clear(first)) assert.not.ok(again.equals(bitmap));
		}),
		{ numRuns: 300 },
	);
});

test("a bounded harvest or list, resumed until its end, gives every bit once and in order", () => {
	fc.assert(
		fc.property(
			sizes,
			fc.array(range, { maxLength: 6 }),
			fc.integer({ min: 1, max: 5000 }),
			range,
			(size, ranges, capacity, where) => {
				const engine = createEngine();
				const bitmap = new Bitmap(engine, size);
				for (const each of ranges) bitmap.setRange(...within(size, each));
				const expected = [...bitmap.list()];
				const list = new PageList(engine, capacity);
				const [first, count] = within(size, where);
				const listed: number[] = [];
				for (let at = first; at < first + count; ) {
					at = bitmap.listInto(list, at, first + count - at);
					listed.push(...list.view());
					if (at < first + count) assert.is(list.length, capacity, "it stops only when full");
				}
				assert.equal(
					listed,
					expected.filter((index) => index >= first && index < first + count),
				);
				const harvested: number[] = [];
				for (let at = 0; at < size; ) {
					at = bitmap.harvestInto(list, at);
					harvested.push(...list.view());
				}
				assert.equal(harvested, expected);
				assert.is(bitmap.count(), 0);
				assert.is(bitmap.countRange(0, size), 0);
			},
		),
		{ numRuns: 200 },
	);
});

/** Sparse sets in groups of 64 blocks, which are read by a path of their own, and groups that are a little too full for it. */
const sparseSets = fc.record({
	seed: fc.integer({ min: 1 }),
	/** Words with bits, per group; 192 is the limit. */
	words: fc.array(fc.constantFrom(0, 1, 26, 191, 192, 193, 700), { minLength: 1, maxLength: 6 }),
	bitsPerWord: fc.constantFrom(1, 1, 2, 64),
	/** Every n-th bit is cleared again: its word's summary bit stays. */
	clearEach: fc.constantFrom(0, 1, 3, 7),
	/** Entries of the list: around the room that a group needs, and much less. */
	capacity: fc.constantFrom(1, 200, 259, 260, 261, 300, 1024, 5000, 40_000),
	first: fc.constantFrom(0, 0, 1, 4096, 100_000),
	harvests: fc.boolean(),
});

test("sparse groups of blocks are listed and harvested as a Set would be", () => {
	fc.assert(
		fc.property(sparseSets, ({ seed, words, bitsPerWord, clearEach, capacity, first, harvests }) => {
			const engine = createEngine();
			const bitmap = new Bitmap(engine, words.length * 262_144 + 77);
			const list = new PageList(engine, capacity);
			const oracle = new Set<number>();
			let state = seed | 1;
			const below = (limit: number): number => {
				state = Math.imul(state ^ (state >>> 15), 0x2c1b3c6d) + 0x9e3779b9;
				return (state >>> 0) % limit;
			};
			for (const [group, count] of words.entries())
				for (const word of new Set(Array.from({ length: count }, () => below(4096))))
					for (let k = 0; k < bitsPerWord; k++)
						oracle.add(group * 262_144 + word * 64 + (bitsPerWord === 64 ? k : below(64)));
			for (const index of oracle) bitmap.set(index);
			let n = 0;
			for (const index of ascending(oracle))
				if (clearEach !== 0 && n++ % clearEach === 0) {
					bitmap.clear(index);
					oracle.delete(index);
				}
			const got: number[] = [];
			let position = Math.min(first, bitmap.bitCount);
			const expected = ascending(oracle).filter((index) => index >= position);
			const behind = list.region.offset + capacity * 4 + 16;
			engine.allocate(64);
			engine.bytes.fill(0xc3, behind, behind + 32);
			while (position < bitmap.bitCount) {
				position = harvests ? bitmap.harvestInto(list, position) : bitmap.listInto(list, position);
				got.push(...list.view());
			}
			assert.equal(got, expected);
			assert.ok(engine.bytes.subarray(behind, behind + 32).every((byte) => byte === 0xc3));
			const left = harvests ? oracle.size - expected.length : oracle.size;
			assert.is(bitmap.countRange(0, bitmap.bitCount), left);
			bitmap.loadBytes(bitmap.toBytes()); // words whose summary bit is gone come to light
			assert.is(bitmap.count(), left);
		}),
		{ numRuns: 120 },
	);
});

test("ranges leave as bytes, are replaced and merged, and touch no bit outside", () => {
	fc.assert(
		fc.property(
			sizes,
			fc.array(range, { maxLength: 6 }),
			range,
			fc.boolean(),
			fc.infiniteStream(fc.nat(255)),
			(size, ranges, where, merge, noise) => {
				const bitmap = new Bitmap(createEngine(), size);
				for (const each of ranges) bitmap.setRange(...within(size, each));
				const before = new Set(bitmap.list());
				const [start, length] = within(size, where);
				const first = start - (start % 8);
				const count = Math.min(length, size - first);
				const inside = (index: number) => index >= first && index < first + count;
				const isSet = (bytes: Uint8Array, index: number) => (bytes[(index - first) >> 3]! >> (index & 7)) & 1;
				const out = bitmap.rangeBytes(first, count);
				assert.is(out.length, Math.ceil(count / 8));
				for (let i = first; i < first + out.length * 8; i++)
					assert.is(isSet(out, i) === 1, inside(i) && before.has(i), `bit ${i}`);
				const bytes = Uint8Array.from(noise.take(out.length));
				bitmap[merge ? "orRange" : "loadRange"](first, count, bytes);
				const expected = Array.from({ length: size }, (_, i) => i).filter((i) =>
					inside(i) ? isSet(bytes, i) === 1 || (merge && before.has(i)) : before.has(i),
				);
				assert.equal([...bitmap.list()], expected);
				assert.is(bitmap.count(), expected.length);
				assert.is(bitmap.toBytes().length, Math.ceil(size / 8));
				assert.not.throws(() => bitmap.loadBytes(bitmap.toBytes()), "no bit beyond bitCount");
			},
		),
		{ numRuns: 150 },
	);
});

test("the pre-copy step sends, skips, clears and counts as Xen's rule says", () => {
	fc.assert(
		fc.property(
			sizes,
			fc.array(fc.tuple(fc.constantFrom("toSend" as const, "toSkip" as const, "toFix" as const), range), {
				maxLength: 12,
			}),
			fc.array(fc.tuple(fc.constantFrom("toSend" as const, "toSkip" as const, "toFix" as const), fraction), {
				maxLength: 150,
			}),
			fc.boolean(),
			fc.oneof(fc.integer({ min: 1, max: 1024 }), fc.integer({ min: 1, max: 5 })),
			range,
			(size, ranges, singles, last, capacity, where) => {
				const engine = createEngine();
				const maps = new PreCopyStep(engine, size);
				for (const [map, each] of ranges) maps[map].setRange(...within(size, each));
				for (const [map, at] of singles) maps[map].set(Math.floor(at * (size - 1)));
				const before = {
					toSend: new Set(maps.toSend.list()),
					toSkip: new Set(maps.toSkip.list()),
					toFix: new Set(maps.toFix.list()),
				};
				const [first, count] = within(size, where);
				const batch = new PageList(engine, capacity);
				const sent: number[] = [];
				let skipped = 0;
				for (let at = first; at < first + count; ) {
					const result = maps.step(batch, at, first + count - at, last);
					assert.is(result.sent, batch.length);
					if (result.next < first + count) assert.is(result.sent, capacity, "it stops only when the batch is full");
					sent.push(...batch.view());
					skipped += result.skipped;
					at = result.next;
				}
				const expectedSent: number[] = [];
				let expectedSkipped = 0;
				for (let page = first; page < first + count; page++) {
					const [send, skip, fix] = [before.toSend.has(page), before.toSkip.has(page), before.toFix.has(page)];
					if ((send && !skip) || (send && last) || (fix && last)) expectedSent.push(page);
					else if (send && skip) expectedSkipped++;
				}
				assert.equal(sent, expectedSent);
				assert.is(skipped, expectedSkipped);
				const gone = new Set(expectedSent);
				for (const map of ["toSend", "toSkip", "toFix"] as const) {
					const expected = ascending(before[map]).filter((page) => map === "toSkip" || !gone.has(page));
					assert.equal([...maps[map].list()], expected, map);
				}
			},
		),
		{ numRuns: 300 },
	);
});

test.run();
