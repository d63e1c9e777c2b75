import { suite } from "uvu";
import * as assert from "uvu/assert";
import { V86Guest } from "../../bindings/guests/v86/guest.ts";
import { V86WorkerGuest } from "../../bindings/guests/v86/worker-guest.ts";
import { MemoryStore } from "../../bindings/lab/memory-store.ts";
import { openLinkPair } from "../../bindings/links/open-link.ts";
import { systemClock as clock } from "../../bindings/platform/system-clock.ts";
import { systemRandom as random } from "../../bindings/platform/system-random.ts";
import { startHistory } from "../../bindings/snapshot/history.ts";
import { keepSnapshots } from "../../bindings/snapshot/keeper.ts";
import { improvedLiveSave, liveSave } from "../../bindings/snapshot/live-save.ts";
import { restore, restoreClones } from "../../bindings/snapshot/restore.ts";
import { save } from "../../bindings/snapshot/save.ts";
import { saveTo, sendSnapshot } from "../../bindings/snapshot/save-to.ts";
import { SnapshotSeries } from "../../bindings/snapshot/series.ts";
import { SnapshotStore } from "../../bindings/snapshot/store.ts";
import { letterFault, Mode, oracleFault, Variable } from "../v86/boot-sector.ts";
import { Console } from "../v86/move.ts";
import { bootSectorFactory, MEMORY_BYTES, openBootSector, runBootSector } from "../v86/open-guests.ts";
import { workerFactory } from "../v86/worker-guests.ts";

const test = suite("v86 guest: snapshots");
const open = new Set<V86Guest>();
const keep = (guest: unknown): V86Guest => {
	assert.instance(guest, V86Guest);
	open.add(guest as V86Guest);
	return guest as V86Guest;
};
test.after.each(async () => {
	for (const guest of open) await guest.discard();
	open.clear();
});

const POLICY = { clock: "continue", random: "keep" } as const;
const newStore = (): SnapshotStore => new SnapshotStore(new MemoryStore(), { clock, random });

async function oracle(): Promise<{ readonly guest: V86Guest; readonly console: Console }> {
	const guest = keep(await runBootSector("oracle"));
	const console = new Console();
	console.follow(guest);
	await console.more(10);
	return { guest, console };
}

/** Restores a snapshot, lets it work, and looks at its memory and letters. @returns its letters */
async function checkRestored(store: SnapshotStore, id: string): Promise<string> {
	const services = { snapshot: await store.open(id), factories: [bootSectorFactory()], clock, random };
	const restored = keep((await restore(services, { ...POLICY, stayPaused: true })).guest);
	assert.is(oracleFault(restored.readMemory(0, MEMORY_BYTES)), undefined);
	const console = new Console();
	console.follow(restored);
	await restored.resume();
	await console.more(30);
	await restored.pause({ deadlineMs: 5000 });
	assert.is(letterFault(console.text), undefined);
	assert.is(oracleFault(restored.readMemory(0, MEMORY_BYTES)), undefined);
	return console.text;
}

for (const [name, technique] of Object.entries({ save, liveSave, improvedLiveSave }))
	test(`${name}: what is restored goes on where it was saved, and so does the guest`, async () => {
		const { guest, console } = await oracle();
		const store = newStore();
		const { snapshot } = await technique({ guest, store, clock });
		await console.more(30);
		assert.is(letterFault(console.text), undefined);
		const letters = await checkRestored(store, snapshot.id);
		assert.ok(console.text.includes(letters.slice(0, 20)), "the copy writes what the guest wrote");
	});

test("each snapshot of a series is whole", async () => {
	const { guest, console } = await oracle();
	const store = newStore();
	const series = await SnapshotSeries.open({ guest, store, clock });
	const ids: string[] = [];
	for (let taken = 0; taken < 4; taken++) {
		const { snapshot, metrics } = await series.liveSave();
		assert.is(metrics.incremental, taken > 0);
		ids.push(snapshot.id);
		await console.more(20);
	}
	await series.close();
	assert.is(letterFault(console.text), undefined);
	for (const id of ids) await checkRestored(store, id);
});

test("a history goes back, and the guest of now is gone", async () => {
	const { guest, console } = await oracle();
	const store = newStore();
	const history = await startHistory({ guest, store, clock }, { everyMs: 20, keep: { ageMs: 600_000 } });
	const { snapshot } = await history.now();
	await console.more(50);
	const { guest: again } = await history.rewind(snapshot.id, { factories: [bootSectorFactory()], random }, POLICY);
	const restored = keep(again);
	const after = new Console();
	after.follow(restored);
	await after.more(30);
	assert.is(letterFault(after.text), undefined);
	await restored.pause({ deadlineMs: 5000 });
	assert.is(oracleFault(restored.readMemory(0, MEMORY_BYTES)), undefined);
	const error = await guest.resume().catch((reason: { code?: string }) => reason);
	assert.is((error as { code?: string }).code, "gone");
});

/** A run that is the same every time, at the oracle, after this many steps. */
async function counted(steps = 0): Promise<V86Guest> {
	const guest = keep(await openBootSector(COUNTED));
	await guest.resume();
	guest.writeMemory(Variable.mode, Uint8Array.of(Mode.oracle));
	await guest.pause({ deadlineMs: 5000 });
	if (steps > guest.steps) await guest.advance(steps - guest.steps);
	return guest;
}
const COUNTED = { time: "counted", compile: false } as const;

/** A copy that was restored, paused, is to the last bit the run that nobody saved, now and some steps later. */
async function sameAsUnsaved(store: SnapshotStore, id: string): Promise<void> {
	const services = { snapshot: await store.open(id), factories: [bootSectorFactory()], clock, random };
	const restored = keep((await restore(services, { ...POLICY, stayPaused: true })).guest);
	const unsaved = await counted(restored.steps);
	assert.is(unsaved.steps, restored.steps);
	const all = async (guest: V86Guest): Promise<string> =>
		`${guest.timeMs} ${await guest.pages.hashes(0, guest.pages.pageCount)} ${await guest.state.capture()}`;
	assert.ok((await all(restored)) === (await all(unsaved)), "where it was saved");
	for (const guest of [restored, unsaved]) await guest.advance(40);
	assert.ok((await all(restored)) === (await all(unsaved)), "40 steps later");
}

for (const [name, technique] of Object.entries({ save, liveSave, improvedLiveSave }))
	test(`${name} of a counted run: what is restored is, at every bit, the run that was not saved`, async () => {
		const guest = await counted();
		await guest.resume();
		const store = newStore();
		const { snapshot } = await technique({ guest, store, clock });
		await sameAsUnsaved(store, snapshot.id);
	});

test("every way of saving more than once, of a counted run: series, history, keeper", async () => {
	const guest = await counted();
	await guest.resume();
	const store = newStore();
	const ids: string[] = [];
	const series = await SnapshotSeries.open({ guest, store, clock });
	for (let taken = 0; taken < 3; taken++) ids.push((await series.liveSave()).snapshot.id);
	await series.close();
	const history = await startHistory({ guest, store, clock }, { everyMs: 10, keep: { ageMs: 600_000 } });
	for (let taken = 0; taken < 2; taken++) ids.push((await history.now()).snapshot.id);
	await history.stop();
	for (const id of ids) await sameAsUnsaved(store, id);
	const kept = newStore();
	const [near, far] = openLinkPair();
	const keeper = keepSnapshots({ link: far, store: kept, clock });
	const { snapshot } = await saveTo({ guest, link: near, clock });
	await keeper;
	await sameAsUnsaved(kept, snapshot.id);
});

test("clones of a counted run are, at every bit, the run that was not saved, and then go their own ways", async () => {
	const guest = await counted();
	await guest.resume();
	const store = newStore();
	const { snapshot } = await save({ guest, store, clock });
	const services = { snapshot: await store.open(snapshot.id), factories: [bootSectorFactory()], clock, random };
	const clones = (await restoreClones(services, 3, { ...POLICY, stayPaused: true })).map((one) => keep(one.guest));
	const all = async (one: V86Guest): Promise<string> =>
		`${one.timeMs} ${await one.pages.hashes(0, one.pages.pageCount)} ${await one.state.capture()}`;
	const unsaved = await counted(clones[0]!.steps);
	for (const clone of clones) assert.ok((await all(clone)) === (await all(unsaved)), "where it was saved");
	const [first, second, third] = clones as [V86Guest, V86Guest, V86Guest];
	await first.advance(40);
	assert.ok((await all(second)) === (await all(third)), "what one does is not seen in the others");
	await second.advance(40);
	assert.ok((await all(first)) === (await all(second)), "40 steps later");
	assert.not.ok((await all(second)) === (await all(third)));
});

test("clones in workers run on, each with all of its letters", async () => {
	const { guest } = await oracle();
	const store = newStore();
	const { snapshot } = await liveSave({ guest, store, clock });
	const services = { snapshot: await store.open(snapshot.id), factories: [workerFactory()], clock, random };
	const clones = await restoreClones(services, 2, { ...POLICY, stayPaused: true });
	try {
		for (const { guest: clone } of clones) {
			assert.instance(clone, V86WorkerGuest);
			const console = new Console();
			console.follow(clone as V86WorkerGuest);
			await clone.resume();
			await console.more(30);
			await clone.pause({ deadlineMs: 5000 });
			assert.is(letterFault(console.text), undefined);
			assert.is(oracleFault(await (clone as V86WorkerGuest).readMemory(0, MEMORY_BYTES)), undefined);
		}
	} finally {
		for (const { guest: clone } of clones) await clone.discard();
	}
});

test("a snapshot that was sent to a keeper, an increment too, is there as it is here", async () => {
	const guest = await counted();
	await guest.resume();
	const store = newStore();
	const series = await SnapshotSeries.open({ guest, store, clock });
	const ids: string[] = [];
	for (let taken = 0; taken < 2; taken++) ids.push((await series.liveSave()).snapshot.id);
	await series.close();
	for (const id of ids) {
		const kept = newStore();
		const [near, far] = openLinkPair();
		const keeper = keepSnapshots({ link: far, store: kept, clock });
		const there = await sendSnapshot({ snapshot: await store.open(id), link: near, clock });
		await keeper;
		assert.is(there.digest, (await store.open(id)).info.digest);
		await sameAsUnsaved(kept, there.id);
	}
});

test.run();
