import { suite } from "uvu";
import * as assert from "uvu/assert";
import { V86Guest } from "../../bindings/guests/v86/guest.ts";
import { MemoryStore } from "../../bindings/lab/memory-store.ts";
import { systemClock as clock } from "../../bindings/platform/system-clock.ts";
import { systemRandom as random } from "../../bindings/platform/system-random.ts";
import { startHistory } from "../../bindings/snapshot/history.ts";
import { improvedLiveSave, liveSave } from "../../bindings/snapshot/live-save.ts";
import { restore } from "../../bindings/snapshot/restore.ts";
import { save } from "../../bindings/snapshot/save.ts";
import { SnapshotSeries } from "../../bindings/snapshot/series.ts";
import { SnapshotStore } from "../../bindings/snapshot/store.ts";
import { letterFault, oracleFault } from "../v86/boot-sector.ts";
import { Console } from "../v86/move.ts";
import { bootSectorFactory, MEMORY_BYTES, runBootSector } from "../v86/open-guests.ts";

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

test.run();
