import { suite } from "uvu";
import * as assert from "uvu/assert";
import { MarkedPages } from "../../bindings/guests/wasm/marked-pages.ts";
import { MissingMap } from "../../bindings/guests/wasm/missing-map.ts";
import { WATCHED } from "../../bindings/guests/wasm/module/instrument.ts";
import { DIRTY_OFFSET, MAP_MEMORY_PAGES, supportsInstrumentation } from "../../bindings/guests/wasm/module/page-map.ts";
import { rewriteModule } from "../../bindings/guests/wasm/module/rewrite.ts";
import * as asm from "../wasm/assembler.ts";
import { callback } from "../wasm/callback.ts";

const PAGE_BYTES = 4096;
const test = suite("marked and missing pages");

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

/** Loads 1 byte, loads 16, copies and fills, at addresses that come as parameters, in code that waits for pages. */
function waiting() {
	const numbers = [asm.I32, asm.I32, asm.I32];
	const operands = [0x20, 0, 0x20, 1, 0x20, 2];
	const original = asm.wasm(
		asm.section(asm.SECTION_TYPE, asm.functionType([asm.I32]), asm.functionType(numbers)),
		asm.section(asm.SECTION_FUNCTION, [0], [0], [1], [1]),
		asm.MEMORY,
		asm.section(asm.SECTION_EXPORT, ...["byte", "vector", "copy", "fill"].map((name, i) => asm.exported(name, 0, i))),
		asm.section(
			asm.SECTION_CODE,
			asm.body([0x20, 0, 0x2d, 0, 0, 0x1a]),
			asm.body([0x20, 0, 0xfd, 0, 0, 0, 0x1a]),
			asm.body([...operands, 0xfc, 10, 0, 0]),
			asm.body([...operands, 0xfc, 11, 0]),
		),
	);
	const { bytes } = rewriteModule(original, { checkPresence: true });
	const { exports } = new WebAssembly.Instance(new WebAssembly.Module(Uint8Array.from(bytes)));
	const map = exports[WATCHED.map] as WebAssembly.Memory;
	/** @returns the pages waited for when all but those given are missing */
	return (here: readonly number[], name: string, ...values: number[]): (number | string)[] => {
		const missing = new MissingMap(map, Uint8Array.of(0xff, 0xff), 16);
		for (const pageIndex of here) {
			missing.arrived(pageIndex);
			missing.touch(pageIndex);
		}
		const waited: (number | string)[] = [];
		const arrive = callback((pageIndex) => {
			const wanted = missing.has(pageIndex) ? pageIndex : pageIndex + 1;
			waited.push(wanted);
			missing.arrived(wanted);
			missing.touch(wanted);
		});
		(exports[WATCHED.arrive] as WebAssembly.Table).set(0, arrive);
		try {
			(exports[name] as CallableFunction)(...values);
		} catch (error) {
			assert.match((error as Error).message, /bounds/);
			waited.push("trap");
		}
		return waited;
	};
}

if (supportsInstrumentation()) {
	const waitsFor = waiting();

	test("an access waits for its page, and for the next one only if it may go on into that", () => {
		const start = 2 * PAGE_BYTES;
		assert.equal(waitsFor([2], "byte", start), []);
		assert.equal(waitsFor([], "byte", start), [2]);
		assert.equal(waitsFor([], "vector", start + 4080), [2]);
		assert.equal(waitsFor([2], "vector", start + 4080), []);
		assert.equal(waitsFor([2], "vector", start + 4081), [3]);
		assert.equal(waitsFor([], "vector", start + 4081), [2, 3]);
		assert.equal(waitsFor([3], "vector", start + 4095), [2]);
		assert.equal(waitsFor([2, 3], "vector", start + 4095), []);
		assert.equal(waitsFor([15], "byte", 15 * PAGE_BYTES + 4095), [], "behind the last page nothing is missing");
	});

	test("ranges wait for all their pages, and for no other", () => {
		const page = PAGE_BYTES;
		assert.equal(waitsFor([], "fill", 2 * page, 7, 0), []);
		assert.equal(waitsFor([], "fill", 2 * page, 7, 1), [2]);
		assert.equal(waitsFor([], "fill", 2 * page, 7, page), [2]);
		assert.equal(waitsFor([3], "fill", 2 * page + 1, 7, 2 * page), [2, 4]);
		assert.equal(waitsFor([], "copy", 2 * page, 9 * page - 1, 2), [2, 8, 9]);
		assert.equal(waitsFor([], "copy", 9 * page - 1, 2 * page, 2), [8, 9, 2]);
	});

	test("a range that cannot be traps as it would, waiting for nothing beyond the memory", () => {
		const trap = "trap";
		assert.equal(waitsFor([15], "fill", 65_530, 1, 100), [trap]);
		assert.equal(waitsFor([], "fill", 0xffff_fff0, 1, 0x20), [trap]);
		assert.equal(waitsFor([], "fill", 2 * PAGE_BYTES, 1, 0xffff_ffff), [trap]);
		assert.equal(waitsFor([], "vector", 0xffff_fff0), [trap]);
		assert.equal(waitsFor([], "fill", 0, 7, 0), []);
	});
}

test.run();
