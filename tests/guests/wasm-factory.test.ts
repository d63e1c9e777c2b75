import { suite } from "uvu";
import * as assert from "uvu/assert";
import { WasmGuestFactory, type WasmGuestFactoryOptions } from "../../bindings/guests/wasm/factory.ts";
import type { WasmGuest } from "../../bindings/guests/wasm/guest.ts";
import type { GuestLayout } from "../../bindings/ports/guest.ts";
import * as asm from "../wasm/assembler.ts";
import { guestPorts, programUrl } from "../wasm/guest-ports.ts";
import { ask, discardGuests, keep, rejection, startGuest } from "../wasm/open-guests.ts";
import { scratchModule } from "../wasm/scratch-module.ts";

const test = suite("wasm guest: targets and refusals");
test.after.each(discardGuests);

async function openFactory(options: Partial<WasmGuestFactoryOptions> = {}): Promise<WasmGuestFactory> {
	const programUrls = ["scratch", "scratch-glue"].map(programUrl);
	return WasmGuestFactory.open({ ...(await guestPorts()), programUrls, ...options });
}

test("a layout names the module by hash and the facts that must agree", async () => {
	const guest = await startGuest("scratch");
	const layout = guest.state.layout();
	assert.is(layout.kind, "wasm");
	assert.is(layout.pageCount, 16);
	assert.is(layout.maximumPageCount, 64 * 16);
	assert.equal(layout.facts, {
		program: "scratch",
		programVersion: "1",
		clock: "none",
		random: "none",
		stateVersion: "1",
	});
	const [module] = layout.resources;
	const digest = new Uint8Array(await crypto.subtle.digest("SHA-256", scratchModule("own")));
	assert.is(module!.hash, Array.from(digest, (byte) => byte.toString(16).padStart(2, "0")).join(""));
	assert.is(module!.byteLength, scratchModule("own").byteLength);
	const factory = await openFactory();
	assert.equal(factory.check(layout), []);
	assert.equal(factory.missing(layout), []);
});

test("check names every fact that differs, and set-up refuses with the first", async () => {
	const guest = await startGuest("scratch");
	const layout = guest.state.layout();
	const factory = await openFactory({ maximumPageCount: 64 });
	const named = (change: Partial<GuestLayout>): string[] =>
		factory.check({ ...layout, ...change }).map(({ fact }) => fact);
	assert.equal(named({ kind: "memory" }), ["kind"]);
	assert.equal(named({ pageBytes: 16384 }), ["pageBytes"]);
	assert.equal(named({ pageCount: 17 }), ["pageCount"]);
	assert.equal(named({ pageCount: 80 }), ["pageCount"]);
	assert.equal(named({ resources: [] }), ["module"]);
	assert.equal(named({ resources: [{ name: "module", hash: "../../etc", byteLength: 5 }] }), ["module"]);
	assert.equal(named({ resources: [{ ...layout.resources[0]!, byteLength: 2 ** 31 }] }), ["module"]);
	assert.equal(named({ facts: { ...layout.facts, program: "other" } }), ["program"]);
	assert.equal(named({ facts: { ...layout.facts, programVersion: "2", clock: "host", extra: "1" } }), [
		"programVersion",
		"clock",
		"extra",
	]);
	const tooLarge = await rejection(factory.setUp({ ...layout, pageCount: 80 }, new Map()));
	assert.is(tooLarge.code, "too-large");
	const other = { ...layout, facts: { ...layout.facts, programVersion: "2" } };
	const incompatible = await rejection(factory.setUp(other, new Map()));
	assert.is(incompatible.code, "incompatible");
	assert.match(incompatible.message, /programVersion/);
	const unsent = { ...layout, resources: [{ name: "module", hash: "0".repeat(64), byteLength: 5 }] };
	assert.is((await rejection(factory.setUp(unsent, new Map()))).code, "incompatible");
});

test("a set-up can be given up, and leaves nothing", async () => {
	const guest = await startGuest("scratch");
	const factory = await openFactory();
	const stop = new AbortController();
	const set = rejection(factory.setUp(guest.state.layout(), new Map(), stop.signal));
	stop.abort(new Error("enough"));
	assert.match((await set).message, /enough/);
	assert.match((await rejection(factory.setUp(guest.state.layout(), new Map(), stop.signal))).message, /enough/);
});

test("bytes that are no module are refused at set-up and not kept", async () => {
	const guest = await startGuest("scratch-glue", { moduleBytes: scratchModule("imported") });
	const layout = guest.state.layout();
	const factory = await openFactory();
	const [hash] = factory.missing(layout);
	const garbage = new Map([[hash!, Uint8Array.of(0, 0x61, 0x73, 0x6d, 1, 0, 0, 0, 99, 99)]]);
	assert.is((await rejection(factory.setUp(layout, garbage))).name, "WasmModuleError");
	assert.equal(factory.missing(layout), [hash]);
});

test("modules that cannot be guests are refused by name", async () => {
	const refusals: readonly (readonly [string, Uint8Array<ArrayBuffer>])[] = [
		["shared-memory", scratchModule("shared")],
		["no-memory", asm.wasm()],
		["memory64", asm.wasm(asm.section(asm.SECTION_MEMORY, [4, 1]))],
		["multiple-memories", asm.wasm(asm.section(asm.SECTION_MEMORY, [0, 1], [0, 1]))],
		["malformed", new Uint8Array(9)],
	];
	for (const [code, moduleBytes] of refusals) {
		const error = await rejection(startGuest("scratch", { moduleBytes }));
		assert.is(error.name, "WasmModuleError", code);
		assert.is(error.code, code);
	}
	const largest = asm.wasm(asm.section(asm.SECTION_MEMORY, [0, ...asm.unsigned(65_536)]));
	assert.is((await rejection(startGuest("scratch", { moduleBytes: largest }))).code, "too-large");
});

test("two programs of one name, or a URL without a program, are mistakes of whoever sets the factory up", async () => {
	const twice = [programUrl("scratch"), programUrl("scratch")];
	assert.match((await rejection(openFactory({ programUrls: twice }))).message, /two programs are named scratch/);
	const none = await rejection(openFactory({ programUrls: [programUrl("no-such-program")] }));
	assert.match(none.message, /no-such-program/);
});

test("a guest that is prepared works the same, and says what it costs", async () => {
	const guest = await startGuest("scratch");
	const before = await guest.memoryUse();
	assert.is(before.guestBytes, 65_536);
	assert.is(before.shadowBytes, 0);
	assert.is(before.batchBufferBytes, 0);
	await guest.prepare();
	const prepared = await guest.memoryUse();
	assert.ok(prepared.shadowBytes > 65_536);
	assert.ok(prepared.batchBufferBytes > 4 * 2 ** 20);
	const cursor = await guest.dirty.open();
	assert.is((await guest.memoryUse()).shadowBytes, prepared.shadowBytes);
	await ask(guest, { do: "write", at: 8192, bytes: Uint8Array.of(1) });
	assert.is((await cursor.harvest()).dirtyCount, 1);
	await cursor.close();
	assert.is((await guest.memoryUse()).shadowBytes, 0, "the last cursor frees the shadow");
	const kept = await startGuest("scratch", { keepShadow: true });
	await (await kept.dirty.open()).close();
	assert.ok((await kept.memoryUse()).shadowBytes > 65_536, "unless it is to be kept");
	const again = await kept.dirty.open();
	await ask(kept, { do: "write", at: 8192, bytes: Uint8Array.of(1) });
	assert.is((await again.harvest()).dirtyCount, 1);
});

test("buffers of batches are used again", async () => {
	const guest = await startGuest("scratch");
	const batches = await Promise.all(
		[1, 2, 3].map((page) => guest.pages.encode(Uint32Array.of(page), { compress: false })),
	);
	for (const batch of batches) {
		batch.release();
		batch.release();
	}
	const { batchBufferBytes } = await guest.memoryUse();
	for (let i = 0; i < 10; i++) (await guest.pages.encode(Uint32Array.of(1), { compress: true })).release();
	assert.is((await guest.memoryUse()).batchBufferBytes, batchBufferBytes);
	const factory = await openFactory();
	const target = keep((await factory.setUp(guest.state.layout(), new Map())).guest as WasmGuest);
	const held = (await target.memoryUse()).batchBufferBytes;
	const batch = await guest.pages.encode(Uint32Array.of(2), { compress: true });
	for (let i = 0; i < 10; i++) await target.pages.apply(batch);
	const wrong = { bytes: batch.bytes, checksum: batch.checksum ^ 1n };
	for (let i = 0; i < 10; i++) assert.is((await rejection(target.pages.apply(wrong))).name, "BatchError");
	assert.is((await target.memoryUse()).batchBufferBytes, held);
});

test("long jobs on a large running guest come in slices, and calls are answered between them", async () => {
	const guest = await startGuest("quickjs");
	await guest.call({ ballastMiB: 64 });
	guest.takeInterruptions();
	let answered = 0;
	let isScanning = true;
	// More clients than the worker holds calls: one is always ready there, however slow this side is.
	const client = async (first: number): Promise<void> => {
		for (let number = first; isScanning; number += 10) {
			await guest.call({ number, request: "1 + 1" });
			if (isScanning) answered++;
		}
	};
	const clients = Array.from({ length: 10 }, (_, first) => client(first));
	const cursor = await guest.dirty.open();
	await cursor.harvest();
	await guest.pages.hashes(0, guest.pages.pageCount);
	isScanning = false;
	await Promise.all(clients);
	const { slicesMs } = guest.takeInterruptions();
	assert.ok(slicesMs.length > 10, `${slicesMs.length} slices`);
	assert.ok(answered >= 8, `${answered} calls in ${slicesMs.length} slices`);
	await guest.pause({ deadlineMs: 5000 });
	guest.takeInterruptions();
	await cursor.harvest();
	assert.equal(guest.takeInterruptions().slicesMs, [], "a paused guest is not interrupted");
});

test.run();
