// Snapshots beside a move and beside each other: each has its own cursor, one at a time holds the guest paused.
import { suite } from "uvu";
import * as assert from "uvu/assert";
import { MemoryGuest, MemoryGuestFactory } from "../../bindings/guests/memory/memory-guest.ts";
import { MemoryStore } from "../../bindings/lab/memory-store.ts";
import { PAGE_BYTES } from "../../bindings/ports/guest.ts";
import { liveSave } from "../../bindings/snapshot/live-save.ts";
import { restore } from "../../bindings/snapshot/restore.ts";
import { save } from "../../bindings/snapshot/save.ts";
import { SaveError } from "../../bindings/snapshot/save-error.ts";
import { SnapshotSeries } from "../../bindings/snapshot/series.ts";
import { SnapshotStore } from "../../bindings/snapshot/store.ts";
import { DiskStore, isSame } from "./snapshot-world.ts";
import { PAGES, World, type WorldOptions } from "./world.ts";

const test = suite("snapshots: beside a move");

/** Snapshots of a series, one after another, until the guest is gone. @returns those that were made, with the memory at their pause */
async function history(world: World, store: SnapshotStore, everyMs: number, isOver: () => boolean) {
	const made: { readonly id: string; readonly memory: Uint8Array }[] = [];
	const errors: SaveError[] = [];
	const { guest, clock } = world;
	const pauses: Uint8Array[] = [];
	const { pause } = guest;
	guest.pause = async () => {
		await pause.call(guest);
		pauses.push(guest.read(0, guest.pageCount * PAGE_BYTES));
	};
	const series = await SnapshotSeries.open({ guest, store, clock });
	while (!isOver()) {
		await clock.sleep(everyMs);
		const before = pauses.length;
		try {
			const { snapshot } = await series.liveSave({ deadlines: { turnMs: 200 } });
			// Of the pauses meanwhile the last one before it ran on is the snapshot's; the digest says which.
			made.push({ id: snapshot.id, memory: await memoryOf(world, store, snapshot.id, pauses.slice(before)) });
		} catch (error) {
			assert.instance(error, SaveError, String(error));
			errors.push(error as SaveError);
			if ((error as SaveError).code === "gone") break;
		}
	}
	await series.close().catch(() => undefined); // the guest is gone
	return { made, errors };
}

/** The memory of a snapshot, which must be that of one of these pauses. */
async function memoryOf(world: World, store: SnapshotStore, id: string, pauses: readonly Uint8Array[]) {
	const services = { snapshot: await store.open(id), clock: world.clock, random: world.random };
	const factories = [new MemoryGuestFactory(world.clock, 2 * PAGES)];
	const { guest } = await restore({ ...services, factories }, { clock: "jump", random: "reseed", stayPaused: true });
	if (!(guest instanceof MemoryGuest)) throw new TypeError("another guest than was saved");
	const memory = guest.read(0, guest.pageCount * PAGE_BYTES);
	await guest.discard();
	assert.ok(
		pauses.some((pause) => isSame(pause, memory)),
		"the snapshot is the guest at one of its pauses",
	);
	return memory;
}

async function overlap(options: WorldOptions, technique: "pre-copy" | "stop-and-copy", cancelAfterMs?: number) {
	const world = new World(options);
	const store = new SnapshotStore(new MemoryStore(), { clock: world.clock, random: world.random });
	return world.run(async () => {
		let isOver = false;
		const taking = history(world, store, 4, () => isOver);
		await world.clock.sleep(10);
		const stop = new AbortController();
		if (cancelAfterMs !== undefined) void world.clock.sleep(cancelAfterMs).then(() => stop.abort());
		const saving = liveSave({ guest: world.guest, store, clock: world.clock }).catch((error) => error);
		const result = await world.move(technique, { signal: stop.signal });
		await saving;
		if (result.outcome === "kept") await world.clock.sleep(30);
		isOver = true;
		const taken = await taking;
		assert.equal(world.violations, []);
		return { world, result, ...taken };
	});
}

for (const technique of ["pre-copy", "stop-and-copy"] as const)
	for (const seed of [1, 2, 3, 4])
		test(`history, a live save and a ${technique} at once: the guest is moved whole, and every snapshot is (seed ${seed})`, async () => {
			const { result, made, errors, world } = await overlap({ seed, rateBytesPerMs: 6000 }, technique);
			assert.is(result.outcome, "moved");
			assert.is(world.runners.length, 1);
			assert.ok(made.length > 0);
			assert.ok(
				errors.every(({ code }) => code === "gone" || code === "guest"),
				errors.map(String).join(),
			);
		});

for (const cancelAfterMs of [1, 3, 7, 12, 20, 33, 40])
	test(`a move that is cancelled after ${cancelAfterMs} ms leaves the history and the guest going`, async () => {
		const { result, made, world } = await overlap({ seed: 5, rateBytesPerMs: 3000 }, "pre-copy", cancelAfterMs);
		if (result.outcome === "moved") return;
		assert.is(result.outcome, "kept");
		assert.ok(world.guest.running);
		assert.ok(made.length > 1);
	});

test("a save beside a move does not let a guest run on that the move has paused for good", async () => {
	const world = new World({ seed: 1 });
	const store = new SnapshotStore(new MemoryStore(), { clock: world.clock, random: world.random });
	await world.run(async () => {
		// The save asks for its pause while the move is about to say go.
		let saving: Promise<unknown> | undefined;
		const services = { guest: world.guest, store, clock: world.clock };
		const result = await world.move(
			"pre-copy",
			{},
			{
				phase: "verify",
				event: () => {
					saving = save(services).catch((error) => error);
				},
			},
		);
		assert.is(result.outcome, "moved");
		const error = await saving;
		assert.instance(error, SaveError);
		assert.is((error as SaveError).code, "gone");
		assert.equal(world.violations, []);
		assert.equal(await store.list(), []);
	});
});

test("an unconfirmed move keeps the guest paused: a save is told so when its time is up, and succeeds once it is settled", async () => {
	const world = new World({ seed: 1, durable: true });
	const store = new SnapshotStore(new MemoryStore(), { clock: world.clock, random: world.random });
	await world.run(async () => {
		const result = await world.move(
			"pre-copy",
			{},
			{ phase: "confirm", event: () => world.connection.inject({ kind: "cut", when: { atMs: 0 } }) },
		);
		assert.is(result.outcome, "unconfirmed");
		const services = { guest: world.guest, store, clock: world.clock };
		const error = await liveSave(services, { deadlines: { turnMs: 100 } }).catch((failure) => failure);
		assert.is(error.code, "guest");
		assert.match(error.message, /a move holds the guest paused/);
		assert.not(world.guest.running);
		assert.equal(world.violations, []);
	});
});

test("a move waits for its turn while a save holds the guest paused, and both are whole", async () => {
	const world = new World({ seed: 3 });
	const store = new SnapshotStore(new DiskStore(world.clock), { clock: world.clock, random: world.random });
	await world.run(async () => {
		const saving = save({ guest: world.guest, store, clock: world.clock });
		await world.clock.sleep(2);
		const result = await world.move("pre-copy");
		assert.is(result.outcome, "moved");
		const { metrics } = await saving;
		assert.ok(metrics.downtimeMs > result.metrics.preparationMs / 2, "the move had to wait");
		assert.is((await store.list()).length, 1);
		assert.equal(world.violations, []);
	});
});

test.run();
