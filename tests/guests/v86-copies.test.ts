// What a pause has copied of a v86 guest is encoded later, whatever the guest does then.
import { suite } from "uvu";
import * as assert from "uvu/assert";
import type { V86Guest } from "../../bindings/guests/v86/guest.ts";
import { MemoryStore } from "../../bindings/lab/memory-store.ts";
import { systemClock as clock } from "../../bindings/platform/system-clock.ts";
import { systemRandom as random } from "../../bindings/platform/system-random.ts";
import { GuestError, PAGE_BYTES, type PageBatch } from "../../bindings/ports/guest.ts";
import { liveSave } from "../../bindings/snapshot/live-save.ts";
import { restore } from "../../bindings/snapshot/restore.ts";
import { SnapshotSeries } from "../../bindings/snapshot/series.ts";
import { SnapshotStore } from "../../bindings/snapshot/store.ts";
import { Mode, SWEPT, Variable } from "../v86/boot-sector.ts";
import { Console } from "../v86/move.ts";
import { bootSectorFactory, openBootSector, runBootSector, watchedV86 } from "../v86/open-guests.ts";

const test = suite("v86 guest: copies");
const open = new Set<V86Guest>();
const keep = (guest: V86Guest): V86Guest => {
	open.add(guest);
	return guest;
};
test.after.each(async () => {
	for (const guest of open) await guest.discard();
	open.clear();
});

const PAUSE = { deadlineMs: 5000 };
const same = (one: Uint8Array, other: Uint8Array): boolean =>
	one.byteLength === other.byteLength && one.every((byte, at) => byte === other[at]);
/** Pages with gaps between them, more than are encoded at once while a guest runs. */
const pagesOf = (count: number): Uint32Array =>
	Uint32Array.from({ length: count }, (_, at) => at * 2 + Math.floor(at / 7));

/** A paused guest in the middle of writing its memory, and what follows of it. */
async function busy(options: Parameters<typeof runBootSector>[1] = {}): Promise<V86Guest> {
	const guest = keep(await runBootSector("oracle", options));
	const console = new Console();
	console.follow(guest);
	await console.more(10);
	await guest.pause(PAUSE);
	return guest;
}

/** Lets it write until its pages are others. */
async function moveOn(guest: V86Guest): Promise<void> {
	const console = new Console();
	console.follow(guest);
	await guest.resume();
	await console.more(20);
}

/** Whether a batch is these pages with these contents. */
async function check(batch: PageBatch, pages: Uint32Array, memory: Uint8Array): Promise<void> {
	const target = keep(await openBootSector());
	await target.pages.apply(batch);
	assert.equal([...batch.pageIndices], [...pages]);
	for (const page of pages) {
		const at = page * PAGE_BYTES;
		const content = target.readMemory(at, PAGE_BYTES);
		assert.ok(same(content, memory.subarray(at, at + PAGE_BYTES)), `page ${page}`);
	}
}

for (const tracker of ["page-walk", "scan"] as const)
	test(`pages are encoded as they were while the guest runs on, ${tracker}`, async () => {
		const guest = await busy({ tracker });
		const cursor = await guest.dirty.open();
		const memory = guest.readMemory(0, guest.pages.pageCount * PAGE_BYTES);
		const pages = pagesOf(300);
		const copy = await guest.copies.pages(pages);
		await moveOn(guest);
		const some = pages.filter((_, at) => at % 3 === 1);
		for (const wanted of [pages, some]) {
			const batch = await copy.encode(wanted, { compress: true });
			await check(batch, wanted, memory);
			batch.release();
		}
		assert.not.ok(same(guest.readMemory(0, memory.byteLength), memory), "the guest has gone on");
		copy.release();
		await cursor.close();
	});

test("a state is what was captured in the pause, although later ones were captured first", async () => {
	const guest = await busy();
	const states: Uint8Array[] = [];
	const copies = [];
	for (let time = 0; time < 3; time++) {
		copies.push(await guest.copies.state());
		states.push(await guest.state.capture());
		await moveOn(guest);
		await guest.pause(PAUSE);
	}
	for (const at of [2, 0, 1]) {
		assert.ok(same(await copies[at]!.encode(), states[at]!), `state ${at}`);
		copies[at]!.release();
	}
	assert.not.ok(same(states[0]!, states[1]!), "they differ");
});

test("a state that was copied is whole although v86's memory has grown since", async () => {
	const { v86, last } = watchedV86();
	const guest = await busy({ v86 });
	const captured = await guest.state.capture();
	const copy = await guest.copies.state();
	last().v86.cpu.wasm_memory.grow(1);
	assert.ok(same(await copy.encode(), captured));
	copy.release();
});

test("copies outlive their guest, until they are released", async () => {
	const guest = await busy();
	const memory = guest.readMemory(0, guest.pages.pageCount * PAGE_BYTES);
	const captured = await guest.state.capture();
	const [pages, copied] = [pagesOf(9), pagesOf(10)];
	const copy = await guest.copies.pages(copied);
	const state = await guest.copies.state();
	await guest.discard();
	const batch = await copy.encode(pages, { compress: true });
	await check(batch, pages, memory);
	assert.ok(same(await state.encode(), captured));
	const underWay = copy.encode(copied, { compress: true });
	for (const each of [copy, copy, state, state]) each.release();
	await check(await underWay, copied, memory);
	assert.instance(await copy.encode(pages, { compress: true }).catch((error: unknown) => error), TypeError);
	assert.instance(await state.encode().catch((error: unknown) => error), TypeError);
});

test("what cannot be copied is refused", async () => {
	const guest = await busy();
	const { copies } = guest;
	const errorOf = (work: Promise<unknown>): Promise<unknown> => work.catch((error: unknown) => error);
	assert.instance(await errorOf(copies.pages(pagesOf(copies.mostPages + 1))), RangeError);
	assert.instance(await errorOf(copies.pages(Uint32Array.of(guest.pages.pageCount))), RangeError);
	assert.instance(await errorOf(copies.pages(Uint32Array.of(2, 1))), RangeError);
	const copy = await copies.pages(Uint32Array.of(1, 3));
	for (const missing of [0, 2, 4])
		assert.instance(await errorOf(copy.encode(Uint32Array.of(missing), { compress: true })), RangeError);
	copy.release();
	await guest.resume();
	for (const work of [copies.pages(Uint32Array.of(1)), copies.state()]) {
		const error = await errorOf(work);
		assert.ok(error instanceof GuestError && error.code === "not-paused", String(error));
	}
});

test("a live save needs nothing of the guest once it runs on", async () => {
	const guest = keep(await runBootSector("oracle"));
	const store = new SnapshotStore(new MemoryStore(), { clock, random });
	let memory = new Uint8Array(0);
	const { resume } = guest;
	guest.resume = async () => {
		memory = guest.readMemory(0, guest.pages.pageCount * PAGE_BYTES);
		await resume.call(guest);
		await guest.discard();
	};
	const { snapshot } = await liveSave({ guest, store, clock });
	const services = { snapshot: await store.open(snapshot.id), factories: [bootSectorFactory()], clock, random };
	const { guest: restored } = await restore(services, { clock: "continue", random: "keep", stayPaused: true });
	keep(restored as V86Guest);
	assert.ok(same((restored as V86Guest).readMemory(0, memory.byteLength), memory));
});

/** A run that is the same every time: it writes 100 pages over and over. */
async function counted(steps = 0): Promise<V86Guest> {
	const guest = keep(await openBootSector({ time: "counted", compile: false }));
	await guest.resume();
	guest.writeMemory(Variable.end, new Uint8Array(Uint32Array.of((SWEPT.firstPage + 100) * PAGE_BYTES).buffer));
	guest.writeMemory(Variable.mode, Uint8Array.of(Mode.oracle));
	await guest.pause(PAUSE);
	if (steps > guest.steps) await guest.advance(steps - guest.steps);
	return guest;
}

test("live saves of a counted run: what is restored is, at every bit, the run that was not saved", async () => {
	const guest = await counted();
	const { copies } = guest;
	let copied = 0;
	const pages = copies.pages.bind(copies);
	copies.pages = (indices) => {
		copied += indices.length;
		return pages(indices);
	};
	await guest.resume();
	const store = new SnapshotStore(new MemoryStore(), { clock, random });
	const series = await SnapshotSeries.open({ guest, store, clock });
	const all = async (of: V86Guest): Promise<string> =>
		`${of.timeMs} ${await of.pages.hashes(0, of.pages.pageCount)} ${await of.state.capture()}`;
	for (let taken = 0; taken < 4; taken++) {
		const { snapshot } = await series.liveSave();
		const services = { snapshot: await store.open(snapshot.id), factories: [bootSectorFactory()], clock, random };
		const { guest: restored } = await restore(services, { clock: "continue", random: "keep", stayPaused: true });
		const again = keep(restored as V86Guest);
		const unsaved = await counted(again.steps);
		assert.is(unsaved.steps, again.steps);
		assert.ok((await all(again)) === (await all(unsaved)), `snapshot ${taken}`);
	}
	assert.ok(copied >= 200, `${copied} pages were copied`);
	await series.close();
});

test.run();
