import { suite } from "uvu";
import * as assert from "uvu/assert";
import { Bitmap } from "../../bindings/engine/bitmap.ts";
import { compileEngine, createEngine, createEngineAsync } from "../../bindings/engine/engine.ts";
import { PageList } from "../../bindings/engine/page-list.ts";

const test = suite("engine regions");

test("regions do not overlap, are aligned and start as zeros", () => {
	const engine = createEngine();
	const regions = [engine.allocate(1), engine.allocate(100), engine.allocate(8, 4096), engine.allocate(0)];
	for (const [i, region] of regions.entries()) {
		assert.is(region.offset % (i === 2 ? 4096 : 64), 0);
		assert.ok(engine.view(region).every((byte) => byte === 0));
		const next = regions[i + 1];
		if (next !== undefined) assert.ok(region.offset + region.byteLength <= next.offset);
	}
});

test("a handle works on after another allocation has grown the memory", () => {
	const engine = createEngine();
	const bitmap = new Bitmap(engine, 100_000);
	bitmap.set(77_777);
	const before = engine.bytes;
	engine.allocate(64 * 1024 * 1024);
	assert.is(before.byteLength, 0, "the old view is detached");
	assert.ok(bitmap.has(77_777));
	assert.equal([...bitmap.harvestList()], [77_777]);
	assert.is(bitmap.count(), 0);
});

test("allocations beyond the limit, wrong lengths and wrong alignments are refused by name", () => {
	const engine = createEngine();
	assert.throws(() => engine.allocate(-1), /byteLength/);
	assert.throws(() => engine.allocate(1.5), /byteLength/);
	assert.throws(() => engine.allocate(0xffff0000), /byteLength/);
	assert.throws(() => engine.allocate(8, 48), /align/);
	assert.throws(() => engine.view({ offset: 0, byteLength: 8 }), /region/);
	const region = engine.allocate(64);
	assert.throws(() => engine.view({ offset: region.offset, byteLength: 128 }), /region/);
});

test("prefault changes no byte", () => {
	const engine = createEngine();
	const region = engine.allocate(3 * 65536);
	engine.view(region).fill(0xa5);
	engine.prefault(region);
	engine.prefault();
	assert.ok(engine.view(region).every((byte) => byte === 0xa5));
});

test("a compiled module serves many engines, which share nothing", async () => {
	const module = compileEngine();
	const [first, second] = [createEngine(module), await createEngineAsync(module)];
	const a = new Bitmap(first, 64);
	const b = new Bitmap(second, 64);
	a.set(5);
	assert.not.ok(b.has(5));
	assert.throws(() => b.or(a), /other belongs to another engine/);
});

test("a disposed engine hands out nothing more", () => {
	const engine = createEngine();
	engine.dispose();
	assert.throws(() => engine.allocate(8), /disposed/);
});

test("a page list takes what it can hold and refuses the rest by name", () => {
	const list = new PageList(createEngine(), 3);
	list.load([1, 2, 3]);
	assert.equal([...list.toArray()], [1, 2, 3]);
	assert.throws(() => list.load([1, 2, 3, 4]), /indices.length/);
	assert.throws(() => list.load([-1]), /indices\[0\]/);
	assert.equal([...list.view()], [1, 2, 3]);
});

test.run();
