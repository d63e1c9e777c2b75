// The worker's side of a wasm guest without the worker: tracking, encoding and installing over real memories, with shards
// so small that every path across their borders is taken.
import fc from "fast-check";
import { suite } from "uvu";
import * as assert from "uvu/assert";
import { BatchDecoder, batchLimitBytes } from "../../bindings/engine/batch.ts";
import { createEngine } from "../../bindings/engine/engine.ts";
import { type CompiledEngine, compileEngines } from "../../bindings/guests/wasm/compiled-engine.ts";
import { PageWork } from "../../bindings/guests/wasm/page-work.ts";

const test = suite("wasm guest: pages in the worker");
const compiled: CompiledEngine = compileEngines();
const decoder = new BatchDecoder(createEngine(compiled.engine));
const WASM_PAGES = 10;
const PAGES = WASM_PAGES * 16;

function run<Result>(steps: Generator<void, Result>, between: () => void = () => undefined): Result {
	for (;;) {
		const step = steps.next();
		if (step.done === true) return step.value;
		between();
	}
}

const memoryOf = (wasmPages: number): WebAssembly.Memory => new WebAssembly.Memory({ initial: wasmPages, maximum: 40 });
const view = (memory: WebAssembly.Memory): Uint8Array => new Uint8Array(memory.buffer);
const dirtyList = (bits: Uint8Array, pageCount: number): number[] =>
	Array.from({ length: pageCount }, (_, page) => page).filter((page) => ((bits[page >> 3]! >> (page & 7)) & 1) === 1);

const write = fc.record({
	page: fc.nat(PAGES - 1),
	at: fc.nat(4095),
	value: fc.integer({ min: 1, max: 255 }),
	run: fc.boolean(),
});
const round = fc.record({
	writes: fc.array(write, { maxLength: 30 }),
	between: fc.array(write, { maxLength: 8 }),
	grow: fc.boolean(),
	compress: fc.boolean(),
});

for (const shardPages of [64, 128, 2 ** 18])
	test(`what is encoded from a shadow in shards of ${shardPages} pages makes a true copy`, () => {
		fc.assert(
			fc.property(fc.array(round, { minLength: 1, maxLength: 5 }), (rounds) => {
				const memory = memoryOf(WASM_PAGES);
				const work = new PageWork(memory, compiled, { keepShadow: false, shardPages });
				const copy = memoryOf(40);
				const { cursor } = run(work.open());
				const send = (pages: readonly number[], compress: boolean, between: () => void): void => {
					const buffer = new ArrayBuffer(batchLimitBytes(1024));
					const order = { pageIndices: Uint32Array.from(pages), compress, buffer };
					const { byteLength, checksum } = run(
						work.encode(order, () => false),
						between,
					);
					decoder.decode(new Uint8Array(buffer, 0, byteLength), { pageCount: 640, checksum }).install(view(copy));
				};
				const scribble = ({ page, at, value, run: whole }: (typeof rounds)[0]["writes"][0]): void => {
					if (whole) view(memory).fill(value, page * 4096, (page + 1) * 4096);
					else view(memory)[page * 4096 + at] = value;
				};
				for (const { writes, between, grow, compress } of rounds) {
					for (const one of writes) scribble(one);
					if (grow && memory.grow(2) > 0) view(memory)[memory.buffer.byteLength - 1] = 1;
					let next = 0;
					const disturb = (): void => {
						const one = between[next++];
						if (one !== undefined) scribble(one);
					};
					const { bits, pageCount } = run(work.harvest({ cursor }), disturb);
					send(dirtyList(bits, pageCount), compress, disturb);
				}
				const { bits, pageCount } = run(work.harvest({ cursor }));
				send(dirtyList(bits, pageCount), true, () => undefined);
				assert.is(pageCount, work.pageCount);
				assert.equal(view(copy).slice(0, memory.buffer.byteLength), view(memory));
				work.close({ cursor });
				assert.is(work.shadowBytes, 0);
				work.dispose();
			}),
			{ numRuns: 25 },
		);
	});

test("a batch put together from pieces is the batch that one call makes", () => {
	const memory = memoryOf(WASM_PAGES);
	const bytes = view(memory);
	for (let page = 0; page < PAGES; page += 3) bytes.fill(page, page * 4096 + 100, page * 4096 + 2000);
	for (let at = 0; at < 8192; at++) bytes[5 * 4096 + at] = (at * 2654435761) >>> 24;
	const work = new PageWork(memory, compiled, { keepShadow: false, shardPages: 64 });
	const pageIndices = Uint32Array.from({ length: PAGES }, (_, page) => page);
	const encode = (paused: boolean, compress: boolean): Uint8Array => {
		const buffer = new ArrayBuffer(batchLimitBytes(1024));
		const { byteLength } = run(work.encode({ pageIndices, compress, buffer }, () => paused));
		return new Uint8Array(buffer, 0, byteLength);
	};
	for (const compress of [true, false]) {
		const whole = encode(true, compress);
		assert.equal(encode(false, compress), whole, "from live memory, in pieces");
		const { cursor } = run(work.open());
		assert.equal(encode(true, compress), whole, "from the shadow, across shards");
		work.close({ cursor });
	}
});

test("a shadow that cannot grow leaves what it had, and nothing is lost when it can again", () => {
	const memory = memoryOf(4);
	const work = new PageWork(memory, compiled, { keepShadow: false });
	const { cursor } = run(work.open());
	memory.grow(4);
	const grow = WebAssembly.Memory.prototype.grow;
	WebAssembly.Memory.prototype.grow = () => {
		throw new RangeError("no memory");
	};
	try {
		assert.throws(
			() => run(work.harvest({ cursor })),
			(error: { code?: string }) => error.code === "too-large",
		);
	} finally {
		WebAssembly.Memory.prototype.grow = grow;
	}
	const { bits, pageCount } = run(work.harvest({ cursor }));
	assert.is(pageCount, 128);
	assert.equal(
		dirtyList(bits, pageCount),
		Array.from({ length: 64 }, (_, page) => 64 + page),
	);
});

test("preparing changes nothing, before a cursor is open and while one is", () => {
	const memory = memoryOf(4);
	const work = new PageWork(memory, compiled, { keepShadow: false });
	run(work.prepare());
	const { cursor } = run(work.open());
	view(memory)[9 * 4096] = 1;
	memory.grow(1);
	run(work.prepare());
	const { bits, pageCount } = run(work.harvest({ cursor }));
	assert.equal(dirtyList(bits, pageCount), [9, ...Array.from({ length: 16 }, (_, page) => 64 + page)]);
});

test.run();
