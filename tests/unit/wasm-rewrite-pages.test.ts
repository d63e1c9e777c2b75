import { suite } from "uvu";
import * as assert from "uvu/assert";
import { MarkedPages } from "../../bindings/guests/wasm/marked-pages.ts";
import { DIRTY_OFFSET, MAP_MEMORY_PAGES } from "../../bindings/guests/wasm/module/page-map.ts";

const PAGE_BYTES = 4096;
const test = suite("marked pages");

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

test.run();
