import { suite } from "uvu";
import * as assert from "uvu/assert";
import { DIRTY_OFFSET, MAP_MEMORY_PAGES, MISSING_OFFSET } from "../../bindings/guests/wasm/module/page-map.ts";
import { MarkedPages, MissingPages, PAGE_BYTES, UNIT_BYTES } from "../../bindings/guests/wasm/watched-pages.ts";

const test = suite("watched pages");

const mapMemory = () => new WebAssembly.Memory({ initial: MAP_MEMORY_PAGES });
const memoryOf = (pageCount: number) => new Uint8Array(pageCount * PAGE_BYTES).map((_, i) => (i * 7) % 251);

function marking(pageCount: number) {
	const map = mapMemory();
	const memory = memoryOf(pageCount);
	const pages = new MarkedPages(map, memory);
	const mark = (pageIndex: number) => {
		new Uint8Array(map.buffer)[DIRTY_OFFSET + pageIndex] = 1;
	};
	return { memory, pages, mark };
}

test("marks are harvested once, ascending", () => {
	const { memory, pages, mark } = marking(8);
	assert.equal(pages.harvest(memory), []);
	for (const pageIndex of [7, 0, 3]) mark(pageIndex);
	assert.equal(pages.harvest(memory), [0, 3, 7]);
	assert.equal(pages.harvest(memory), []);
});

test("a page whose first bytes changed behind a marked page was written to by a crossing store", () => {
	const { memory, pages, mark } = marking(8);
	memory[3 * PAGE_BYTES + 14]! ^= 0xff;
	assert.equal(pages.harvest(memory), [], "without a mark nobody stored there");
	mark(2);
	assert.equal(pages.harvest(memory), [2, 3]);
	mark(2);
	assert.equal(pages.harvest(memory), [2], "it is the same as at the last harvest");
	memory[3 * PAGE_BYTES + 14]! ^= 0xff;
	mark(2);
	assert.equal(pages.harvest(memory), [2, 3], "it is back at what it was at the beginning");
	memory[3 * PAGE_BYTES + 14]! ^= 0xff;
	for (const pageIndex of [2, 3]) mark(pageIndex);
	assert.equal(pages.harvest(memory), [2, 3], "a page is told once");
});

test("a marked page's own first bytes are no crossing store the next time", () => {
	const { memory, pages, mark } = marking(8);
	memory[4 * PAGE_BYTES]! ^= 1;
	mark(4);
	assert.equal(pages.harvest(memory), [4]);
	mark(3);
	assert.equal(pages.harvest(memory), [3]);
});

test("pages that memory has grown by are watched", () => {
	const { memory, pages, mark } = marking(2);
	const grown = new Uint8Array(4 * PAGE_BYTES);
	grown.set(memory);
	grown[2 * PAGE_BYTES] = 9;
	mark(1);
	assert.equal(pages.harvest(grown), [1, 2]);
	mark(3);
	assert.equal(pages.harvest(grown), [3]);
});

test("marks from before tracking began do not count", () => {
	const map = mapMemory();
	new Uint8Array(map.buffer).fill(1, DIRTY_OFFSET, DIRTY_OFFSET + 4);
	assert.equal(new MarkedPages(map, memoryOf(4)).harvest(memoryOf(4)), []);
});

function arriving(pageCount: number, missingPages: readonly number[]) {
	const map = mapMemory();
	const whole = memoryOf(pageCount);
	const memory = new Uint8Array(whole.length).fill(0xee);
	const missing = new MissingPages(map, pageCount, missingPages);
	const place = (pageIndex: number) => {
		const unit = new Uint8Array(UNIT_BYTES);
		unit.set(whole.subarray(pageIndex * PAGE_BYTES, pageIndex * PAGE_BYTES + UNIT_BYTES));
		return missing.place(memory, pageIndex, unit);
	};
	const looks = new Uint8Array(map.buffer, MISSING_OFFSET, pageCount);
	return { whole, memory, missing, place, looks };
}

test("pages arrive in any order, each once", () => {
	const order = [2, 0, 3, 1];
	const { whole, memory, missing, place, looks } = arriving(4, order);
	assert.equal([...looks], [1, 1, 1, 1]);
	for (const [i, pageIndex] of order.entries()) {
		assert.ok(missing.isMissing(pageIndex));
		assert.ok(place(pageIndex));
		assert.not(missing.isMissing(pageIndex));
		assert.is(missing.remaining, 3 - i);
	}
	assert.not(place(2));
	assert.is(missing.remaining, 0);
	assert.equal([...looks], [0, 0, 0, 0]);
	assert.equal(memory, whole);
});

test("an arriving page leaves alone the prefix that came before it, and pages that are there", () => {
	const { whole, memory, place } = arriving(4, [0, 1]);
	memory[2 * PAGE_BYTES] = 77;
	assert.ok(place(0));
	assert.equal(memory.subarray(0, PAGE_BYTES + 16), whole.subarray(0, PAGE_BYTES + 16));
	assert.is(memory[PAGE_BYTES + 16], 0xee);
	memory[PAGE_BYTES + 3] = 55;
	assert.ok(place(1));
	assert.is(memory[PAGE_BYTES + 3], 55, "a crossing store's bytes stay");
	assert.equal(memory.subarray(PAGE_BYTES + 16, 2 * PAGE_BYTES), whole.subarray(PAGE_BYTES + 16, 2 * PAGE_BYTES));
	assert.is(memory[2 * PAGE_BYTES], 77);
});

test("a page outside the memory and a unit of another length are refused", () => {
	assert.throws(() => arriving(4, [4]), /page 4 is missing from a memory of 4 pages/);
	assert.throws(() => arriving(4, [0.5]), /page 0.5/);
	const missing = new MissingPages(mapMemory(), 2, [0]);
	assert.throws(() => missing.place(memoryOf(2), 0, new Uint8Array(PAGE_BYTES)), /unit must be 4112 bytes/);
});

test.run();
