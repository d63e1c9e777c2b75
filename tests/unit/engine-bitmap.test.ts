import { suite } from "uvu";
import * as assert from "uvu/assert";
import { Bitmap } from "../../bindings/engine/bitmap.ts";
import { createEngine } from "../../bindings/engine/engine.ts";
import { PageList } from "../../bindings/engine/page-list.ts";

const test = suite("engine bitmap");

test("wrong sizes, indices and ranges are refused by name", () => {
	const engine = createEngine();
	assert.throws(() => new Bitmap(engine, 0), /bitCount/);
	assert.throws(() => new Bitmap(engine, 2 ** 30 + 1), /bitCount/);
	const bitmap = new Bitmap(engine, 100);
	for (const index of [-1, 100, 0.5, Number.NaN]) assert.throws(() => bitmap.set(index), /index/);
	assert.throws(() => bitmap.setRange(90, 11), /count/);
	assert.throws(() => bitmap.countRange(101, 0), /first/);
	assert.throws(() => bitmap.or(new Bitmap(engine, 101)), /other has 101 bits/);
	assert.throws(() => bitmap.loadBytes(new Uint8Array(12)), /bytes must hold 13/);
	assert.throws(() => bitmap.loadBytes(new Uint8Array(13).fill(255)), /beyond 100/);
	assert.is(bitmap.count(), 0, "nothing was half applied");
});

test("set and clear tell whether they changed anything, and the count follows", () => {
	const bitmap = new Bitmap(createEngine(), 5000);
	assert.ok(bitmap.set(4999));
	assert.not.ok(bitmap.set(4999));
	assert.is(bitmap.count(), 1);
	assert.ok(bitmap.clear(4999));
	assert.not.ok(bitmap.clear(4999));
	assert.is(bitmap.count(), 0);
});

test("a harvest into a small list goes on where it stopped and leaves the rest set", () => {
	const engine = createEngine();
	const bitmap = new Bitmap(engine, 10_000);
	bitmap.setRange(4000, 200);
	const list = new PageList(engine, 70);
	const found: number[] = [];
	for (let first = 0; first < bitmap.bitCount; ) {
		first = bitmap.harvestInto(list, first);
		found.push(...list.view());
		assert.is(bitmap.count(), 200 - found.length);
	}
	assert.equal(
		found,
		Array.from({ length: 200 }, (_, i) => 4000 + i),
	);
	assert.is(bitmap.next(0), 10_000);
});

test("bits at the very end of the largest summary word are found", () => {
	const bitmap = new Bitmap(createEngine(), 4096 * 64 * 2);
	for (const index of [0, 63, 64, 4095, 4096, 4096 * 64 - 1, 4096 * 64, 4096 * 128 - 1]) bitmap.set(index);
	assert.equal([...bitmap.list()], [0, 63, 64, 4095, 4096, 4096 * 64 - 1, 4096 * 64, 4096 * 128 - 1]);
	assert.equal([...bitmap.runs()], [0, 1, 63, 2, 4095, 2, 4096 * 64 - 1, 2, 4096 * 128 - 1, 1]);
});

test("clearing a range keeps its neighbours in the words at both edges", () => {
	const bitmap = new Bitmap(createEngine(), 400);
	bitmap.setRange(0, 400);
	bitmap.clearRange(70, 200);
	assert.equal([...bitmap.runs()], [0, 70, 270, 130]);
	assert.is(bitmap.list().length, 200);
});

test("a word whose last bit was cleared is passed over, not taken for the end", () => {
	const bitmap = new Bitmap(createEngine(), 400);
	bitmap.set(70);
	bitmap.set(330);
	bitmap.clear(70);
	assert.is(bitmap.next(0), 330);
	assert.equal([...bitmap.harvestRuns()], [330, 1]);
});

test("loaded bytes are found in every word of a block", () => {
	const bitmap = new Bitmap(createEngine(), 4096);
	const bytes = new Uint8Array(512);
	for (let word = 0; word < 64; word++) bytes[word * 8] = 1;
	bitmap.loadBytes(bytes);
	assert.equal(
		[...bitmap.harvestList()],
		Array.from({ length: 64 }, (_, word) => word * 64),
	);
});

test("more runs than fit one staging area are all listed", () => {
	const bitmap = new Bitmap(createEngine(), 40_000);
	for (let index = 0; index < 40_000; index += 2) bitmap.set(index);
	assert.is(bitmap.runs().length, 40_000);
	const runs = bitmap.harvestRuns();
	assert.ok(runs.every((value, i) => value === (i % 2 === 0 ? i : 1)));
	assert.is(bitmap.count(), 0);
	assert.is(bitmap.next(0), 40_000);
});

test.run();
