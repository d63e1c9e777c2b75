// Snapshots of real WebAssembly guests: saved while they work, restored in a new worker, in full and lazily; they go on.
import { suite } from "uvu";
import * as assert from "uvu/assert";
import { WasmGuestFactory } from "../../bindings/guests/wasm/factory.ts";
import type { WasmGuest } from "../../bindings/guests/wasm/guest.ts";
import { MemoryStore } from "../../bindings/lab/memory-store.ts";
import { SeededRandom } from "../../bindings/lab/seeded-random.ts";
import type { RestoreFacts } from "../../bindings/ports/told-guest.ts";
import { lazyRestore } from "../../bindings/snapshot/lazy-restore.ts";
import { liveSave } from "../../bindings/snapshot/live-save.ts";
import { type RestoreOptions, restore, restoreClones } from "../../bindings/snapshot/restore.ts";
import { save } from "../../bindings/snapshot/save.ts";
import { SnapshotSeries } from "../../bindings/snapshot/series.ts";
import { SnapshotStore } from "../../bindings/snapshot/store.ts";
import { guestPorts, programUrl } from "../wasm/guest-ports.ts";
import { HISTORIES } from "../wasm/histories.ts";
import { discardGuests, keep, rejection, startGuest } from "../wasm/open-guests.ts";

const test = suite("snapshots of wasm guests");
test.after.each(discardGuests);

const POLICY: RestoreOptions = { clock: "jump", random: "keep" };

/** A store in memory, a factory for one program, and what restores and saves take. */
async function setting(program: string) {
	const ports = await guestPorts();
	const random = new SeededRandom(1);
	const store = new SnapshotStore(new MemoryStore(), { clock: ports.clock, random });
	const factory = await WasmGuestFactory.open({ ...ports, programUrls: [programUrl(program)] });
	const services = async (id: string) => ({
		...{ snapshot: await store.open(id), factories: [factory], clock: ports.clock, random },
	});
	return { store, clock: ports.clock, services };
}

/** Requests from `from` on, one after another. */
async function ask(guest: WasmGuest, program: string, from: number, to: number): Promise<unknown[]> {
	const answers: unknown[] = [];
	for (let number = from; number < to; number++)
		answers.push(await guest.call({ number, request: HISTORIES[program]!(number) }));
	return answers;
}

for (const program of ["sqlite", "lua"])
	test(`${program}: saved while it works, restored in a new worker, it goes on as in an undisturbed run`, async () => {
		const { store, clock, services } = await setting(program);
		const guest = await startGuest(program);
		await ask(guest, program, 0, 40);
		const working = ask(guest, program, 40, 80);
		const { snapshot, metrics } = await liveSave({ guest, store, clock });
		await working;
		assert.is(metrics.verification, "full");
		assert.ok(metrics.longestSliceMs > 0);
		const { guest: copy, policy } = await restore(await services(snapshot.id), POLICY);
		const restored = keep(copy as WasmGuest);
		assert.is(policy.randomOutcome, "by-itself");
		// How far it was at its pause: the digest of an undisturbed run that far is the same.
		const undisturbed = await startGuest(program);
		const digest = await restored.call({ digest: true });
		let number = 0;
		for (; number <= 80 && digest !== (await undisturbed.call({ digest: true })); number++)
			await ask(undisturbed, program, number, number + 1);
		assert.ok(number >= 40 && number <= 80, `${number}`);
		assert.equal(await ask(restored, program, number, 90), await ask(undisturbed, program, number, 90));
		assert.is(await restored.call({ digest: true }), await undisturbed.call({ digest: true }));
		assert.equal(
			await ask(guest, program, 80, 90),
			await ask(undisturbed, program, 80, 90),
			"the saved one goes on too",
		);
	});

test("sqlite: increments of a series are each whole, and small", async () => {
	const { store, clock, services } = await setting("sqlite");
	const guest = await startGuest("sqlite");
	await ask(guest, "sqlite", 0, 30);
	const series = await SnapshotSeries.open({ guest, store, clock });
	const digests: unknown[] = [];
	const taken = [];
	for (let i = 0; i < 3; i++) {
		await ask(guest, "sqlite", 30 + i * 5, 35 + i * 5);
		digests.push(await guest.call({ digest: true }));
		taken.push(await series.liveSave());
	}
	await series.close();
	assert.equal(
		taken.map(({ metrics }) => metrics.incremental),
		[false, true, true],
	);
	assert.ok(taken[2]!.metrics.pagesTransferred < taken[0]!.metrics.pagesTransferred / 4);
	for (const [i, { snapshot }] of taken.entries()) {
		const { guest: copy } = await restore(await services(snapshot.id), POLICY);
		assert.is(await keep(copy as WasmGuest).call({ digest: true }), digests[i], `number ${i}`);
	}
});

test("sqlite, lazily: it answers while its pages are still in the store, and has them all in the end", async () => {
	const { store, clock, services } = await setting("sqlite");
	const guest = await startGuest("sqlite");
	await ask(guest, "sqlite", 0, 40);
	const { snapshot } = await save({ guest, store, clock });
	const target = await services(snapshot.id);
	const [obstacle] = target.factories[0]!.check(target.snapshot.layout, { faulting: true });
	if (obstacle !== undefined) {
		// This runtime has no second memory: refused by name, never a wrong answer.
		const error = await rejection(lazyRestore(target, POLICY));
		assert.is(error.code, "refused");
		return;
	}
	const { guest: copy, done, missingPages } = await lazyRestore(target, POLICY);
	const restored = keep(copy as WasmGuest);
	assert.ok(missingPages > 0);
	assert.equal(await ask(restored, "sqlite", 40, 60), await ask(guest, "sqlite", 40, 60));
	const report = await done;
	assert.is(report.missingPages, 0);
	assert.is(await restored.call({ digest: true }), await guest.call({ digest: true }));
});

test("a program that listens is told before it wakes, each clone its own; what it throws fails the restore", async () => {
	const { store, clock, services } = await setting("told");
	const guest = await startGuest("told");
	const { snapshot } = await save({ guest, store, clock });
	const target = await services(snapshot.id);
	const clones = await restoreClones(target, 2, { clock: "jump", random: "reseed" });
	const seeds = new Set<string>();
	for (const [index, { guest: copy, generation, policy }] of clones.entries()) {
		const [facts, woken] = (await keep(copy as WasmGuest).call("told")) as [RestoreFacts, "wake"];
		assert.is(facts.generation, generation);
		assert.is(facts.cloneIndex, index);
		assert.is(facts.clock, "jump");
		assert.is(woken, "wake");
		assert.is(policy.clockOutcome, "told");
		assert.is(policy.randomOutcome, "told");
		seeds.add(facts.seed.join());
	}
	assert.is(seeds.size, 2);
	assert.is((await rejection(restoreClones(target, 13, { clock: "jump", random: "reseed" }))).code, "guest");
});

test("a program that does not listen is not restored with what it would have to be told", async () => {
	const { store, clock, services } = await setting("lua");
	const guest = await startGuest("lua");
	const { snapshot } = await save({ guest, store, clock });
	const target = await services(snapshot.id);
	assert.is((await rejection(restore(target, { clock: "jump", random: "reseed" }))).code, "policy");
	assert.is((await rejection(restore(target, { clock: "continue", random: "keep" }))).code, "policy");
});

test.run();
