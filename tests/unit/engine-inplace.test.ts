import { suite } from "uvu";
import * as assert from "uvu/assert";
import { Bitmap } from "../../bindings/engine/bitmap.ts";
import { createEngine } from "../../bindings/engine/engine.ts";
import { hash128 } from "../../bindings/engine/hash.ts";
import { GuestMemoryKernels } from "../../bindings/engine/inplace.ts";

const test = suite("engine in place");

test("instantiating and running over a guest's memory changes no byte of it", () => {
	const memory = new WebAssembly.Memory({ initial: 4 });
	const before = Uint8Array.from({ length: 4 * 65536 }, (_, i) => (i * 31) ^ (i >> 7));
	new Uint8Array(memory.buffer).set(before);
	const engine = createEngine();
	const guest = new GuestMemoryKernels(engine, memory);
	const shadow = engine.allocate(guest.pageCount * 4096);
	const bits = new Bitmap(engine, guest.pageCount);
	guest.zeroPages(0, guest.pageCount, bits);
	guest.compareToShadow(shadow, 0, guest.pageCount, bits);
	guest.hashPages(0, guest.pageCount);
	guest.copyOut(0, guest.pageCount, shadow);
	assert.equal(new Uint8Array(memory.buffer), before);
	assert.equal(engine.view(shadow), before);
});

test("the kernels survive the growth of the guest's and of the engine's memory", () => {
	const memory = new WebAssembly.Memory({ initial: 1 });
	const engine = createEngine();
	const guest = new GuestMemoryKernels(engine, memory);
	const shadow = engine.allocate(32 * 4096);
	const bits = new Bitmap(engine, 32);
	memory.grow(1);
	engine.allocate(32 * 1024 * 1024);
	assert.is(guest.pageCount, 32);
	new Uint8Array(memory.buffer)[31 * 4096 + 4095] = 1;
	assert.is(guest.compareToShadow(shadow, 0, 32, bits), 1);
	assert.equal([...bits.list()], [31]);
	assert.is(guest.zeroPages(0, 32, bits), 31);
	const page = new Uint8Array(4096);
	page[4095] = 1;
	assert.equal(guest.hashPages(31, 1), hash128(engine, page));
});

test("hashes of more pages than fit one staging area arrive whole", () => {
	const memory = new WebAssembly.Memory({ initial: 320 });
	const engine = createEngine();
	const guest = new GuestMemoryKernels(engine, memory);
	new Uint8Array(memory.buffer)[5000 * 4096] = 1;
	const hashes = guest.hashPages(0, 5120);
	const zero = hash128(engine, new Uint8Array(4096));
	for (const page of [0, 4095, 4096, 4999, 5001, 5119]) assert.equal(hashes.subarray(page * 16, page * 16 + 16), zero);
	assert.not.equal(hashes.subarray(5000 * 16, 5001 * 16), zero);
	const into = engine.allocate(5120 * 16);
	guest.hashPagesInto(0, 5120, into);
	assert.equal(engine.view(into), hashes);
});

test("ranges beyond the guest, the shadow or the bitmap are refused by name", () => {
	const memory = new WebAssembly.Memory({ initial: 1 });
	const engine = createEngine();
	const guest = new GuestMemoryKernels(engine, memory);
	const shadow = engine.allocate(8 * 4096);
	const bits = new Bitmap(engine, 16);
	assert.throws(() => guest.hashPages(0, 17), /count/);
	assert.throws(() => guest.compareToShadow(shadow, 0, 9, bits), /shadow: page count/);
	assert.throws(() => guest.zeroPages(0, 16, new Bitmap(engine, 15)), /count/);
	assert.throws(() => guest.copyOut(0, 4, shadow, 5), /into: page count/);
	assert.throws(() => guest.zeroPages(0, 1, new Bitmap(createEngine(), 16)), /another engine/);
});

test("a shared memory is refused", () => {
	const memory = new WebAssembly.Memory({ initial: 1, maximum: 1, shared: true });
	assert.throws(() => new GuestMemoryKernels(createEngine(), memory), /unshared/);
});

test.run();
