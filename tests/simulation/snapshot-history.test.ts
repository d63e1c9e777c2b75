// A history in virtual time: even increments, bounds, failures on the way, and going back.
import { suite } from "uvu";
import * as assert from "uvu/assert";
import { GuestError } from "../../bindings/ports/guest.ts";
import { countBeyond, type HistoryEntry, startHistory } from "../../bindings/snapshot/history.ts";
import { save } from "../../bindings/snapshot/save.ts";
import { SaveError } from "../../bindings/snapshot/save-error.ts";
import { isSame, SnapshotWorld } from "./snapshot-world.ts";

const test = suite("snapshots: history");
const POLICY = { clock: "jump", random: "keep" } as const;

test("snapshots are taken at even times, and each is the guest at its pause", async () => {
	const world = new SnapshotWorld(1);
	await world.run(async () => {
		const memories: Uint8Array[] = [];
		const history = await startHistory(world.services, {
			everyMs: 200,
			keep: {},
			onSnapshot: () => memories.push(world.lastPause.memory),
		});
		await world.clock.sleep(1100);
		await history.stop();
		const times = history.entries.map(({ takenAtMs }) => takenAtMs);
		assert.ok(times.length >= 5, `${times.length}`);
		for (const [i, at] of times.entries()) assert.ok(Math.abs(at - times[0]! - i * 200) < 1, `number ${i} at ${at}`);
		for (const [i, { snapshot, metrics }] of history.entries.entries()) {
			assert.is(metrics.incremental, i > 0);
			assert.ok(isSame((await world.contentOf(snapshot.id)).memory, memories[i]!), `number ${i}`);
		}
		assert.equal(await history.ended, { reason: "stopped" });
		assert.instance(await history.now().catch((error) => error), TypeError);
	});
});

test("the bounds hold after each snapshot, and what is left is whole", async () => {
	const world = new SnapshotWorld(2);
	await world.run(async () => {
		const memories = new Map<string, Uint8Array>();
		const history = await startHistory(world.services, {
			everyMs: 200,
			keep: { count: 3 },
			onSnapshot: ({ snapshot }) => memories.set(snapshot.id, world.lastPause.memory),
		});
		for (let i = 0; i < 8; i++) {
			await world.clock.sleep(200);
			assert.ok(history.entries.length <= 3);
		}
		await history.stop();
		const listed = (await world.store.list()).map(({ id }) => id);
		assert.equal(
			listed,
			history.entries.map(({ snapshot }) => snapshot.id),
		);
		assert.is(listed.length, 3);
		for (const id of listed) assert.ok(isSame((await world.contentOf(id)).memory, memories.get(id)!));
	});
});

test("bounds of count, age and bytes; the newest always stays", () => {
	const entry = (takenAtMs: number, addedBytes: number) => ({ takenAtMs, snapshot: { addedBytes } }) as HistoryEntry;
	const entries = [entry(0, 1000), entry(10, 10), entry(20, 10), entry(30, 10)];
	assert.is(countBeyond(entries, {}, 1000), 0);
	assert.is(countBeyond(entries, { count: 3 }, 30), 1);
	assert.is(countBeyond(entries, { ageMs: 15 }, 30), 2);
	assert.is(countBeyond(entries, { bytes: 25 }, 30), 2);
	assert.is(countBeyond(entries, { bytes: 1 }, 30), 3);
	assert.is(countBeyond(entries, { ageMs: 1 }, 1000), 3);
	assert.is(countBeyond([], { count: 1 }, 0), 0);
});

test("a failure is reported, and the next snapshot has its pages too", async () => {
	const world = new SnapshotWorld(3);
	await world.run(async () => {
		const failures: SaveError[] = [];
		const history = await startHistory(world.services, {
			everyMs: 100,
			keep: {},
			onFailure: (error) => failures.push(error),
		});
		await world.clock.sleep(150);
		world.disk.fault = () => "full";
		await world.clock.sleep(200);
		world.disk.fault = () => undefined;
		const entry = await history.now({ label: "after the flood" });
		const memory = world.lastPause.memory;
		await history.stop();
		assert.ok(failures.length > 0 && failures.every(({ code }) => code === "full"));
		assert.is(entry.snapshot.label, "after the flood");
		assert.ok(isSame((await world.contentOf(entry.snapshot.id)).memory, memory));
	});
});

test("a snapshot that takes longer than the interval makes the next one late, never two at once", async () => {
	const world = new SnapshotWorld(4);
	world.disk.rateBytesPerMs = 100;
	await world.run(async () => {
		const history = await startHistory(world.services, { everyMs: 10, keep: {} });
		await world.clock.sleep(4000);
		await history.stop();
		const { entries } = history;
		assert.ok(entries.length >= 2);
		for (const [i, { takenAtMs }] of entries.entries())
			if (i > 0) assert.ok(takenAtMs >= entries[i - 1]!.takenAtMs + entries[i - 1]!.metrics.totalMs);
	});
});

test("the history of a guest that is gone ends, and says so", async () => {
	const world = new SnapshotWorld(5);
	await world.run(async () => {
		const history = await startHistory(world.services, { everyMs: 50, keep: {} });
		await world.clock.sleep(120);
		await world.guest.discard();
		const end = await history.ended;
		assert.is(end.reason, "gone");
		assert.instance(end.reason === "gone" && end.error, SaveError);
	});
});

test("its signal ends it", async () => {
	const world = new SnapshotWorld(5);
	await world.run(async () => {
		const stop = new AbortController();
		const history = await startHistory(world.services, { everyMs: 50, keep: {}, signal: stop.signal });
		await world.clock.sleep(70);
		stop.abort();
		assert.equal(await history.ended, { reason: "stopped" });
		assert.ok(world.guest.running);
	});
});

test("rewind: the guest of then runs, that of now is discarded, and never both", async () => {
	const world = new SnapshotWorld(6);
	await world.run(async () => {
		const memories = new Map<string, Uint8Array>();
		const history = await startHistory(world.services, {
			everyMs: 100,
			keep: {},
			onSnapshot: ({ snapshot }) => memories.set(snapshot.id, world.lastPause.memory),
		});
		await world.clock.sleep(450);
		const { id } = history.entries[1]!.snapshot;
		const services = { factories: [world.factory], random: world.random };
		let wasRunning: boolean | undefined;
		const { guest } = await history.rewind(id, services, {
			...POLICY,
			onClone: () => {
				wasRunning = world.guest.running;
			},
		});
		assert.ok(wasRunning, "the present one runs until the other is ready");
		assert.is((await world.guest.pause().catch((error: GuestError) => error.code)) as unknown, "gone");
		await guest.pause({ deadlineMs: 1 });
		const memory = await guest.pages.hashes(0, guest.pages.pageCount);
		const { guest: then } = await world.restore(id);
		assert.equal(memory, await then.pages.hashes(0, then.pageCount));
		assert.ok(isSame(then.read(0, then.pageCount * 4096), memories.get(id)!));
		assert.equal(await history.ended, { reason: "stopped" });
	});
});

test("a rewind that fails leaves the present guest and its history going", async () => {
	const world = new SnapshotWorld(7);
	await world.run(async () => {
		const history = await startHistory(world.services, { everyMs: 100, keep: {} });
		await world.clock.sleep(150);
		const { id } = history.entries[0]!.snapshot;
		const none = { factories: [], random: world.random };
		assert.is((await history.rewind(id, none, POLICY).catch((error) => error)).code, "refused");
		const missing = await history.rewind("0".repeat(32), none, POLICY).catch((error) => error);
		assert.is(missing.code, "missing");
		assert.ok(world.guest.running);
		const before = history.entries.length;
		await world.clock.sleep(250);
		assert.ok(history.entries.length > before);
		// The new guest cannot run: the present one does.
		const { setUp } = world.factory;
		world.factory.setUp = async (layout) => {
			const prepared = await setUp.call(world.factory, layout);
			prepared.guest.resume = () => Promise.reject(new GuestError("crashed", "it does not start"));
			return prepared;
		};
		const services = { factories: [world.factory], random: world.random };
		const error = await history.rewind(id, services, POLICY).catch((failure) => failure);
		assert.is(error.code, "guest");
		assert.ok(world.guest.running);
	});
});

for (const callback of ["onSnapshot", "onFailure"] as const)
	test(`an ${callback} that throws ends the history, which says so; nothing stays attached`, async () => {
		const world = new SnapshotWorld(8);
		let open = 0;
		const { dirty } = world.guest;
		const openCursor = dirty.open.bind(dirty);
		dirty.open = async () => {
			const cursor = await openCursor();
			open++;
			const { close } = cursor;
			cursor.close = async () => {
				open--;
				await close.call(cursor);
			};
			return cursor;
		};
		await world.run(async () => {
			const mistake = new RangeError("the caller's own");
			const history = await startHistory(world.services, {
				everyMs: 100,
				keep: {},
				[callback]: () => {
					throw mistake;
				},
			});
			if (callback === "onFailure") {
				await world.clock.sleep(150);
				world.disk.fault = () => "full";
			}
			const end = await history.ended;
			assert.equal(end, { reason: "failed", error: mistake });
			await history.stop();
			assert.is(history.entries.length > 0, true);
			assert.is(open, 0, "the tracker is detached");
			assert.ok(world.guest.running);
			assert.instance(await history.now().catch((error) => error), TypeError);
		});
	});

test("a snapshot that was asked for is told to whoever asked, also when onSnapshot throws", async () => {
	const world = new SnapshotWorld(9);
	await world.run(async () => {
		let calls = 0;
		const history = await startHistory(world.services, {
			everyMs: 1000,
			keep: {},
			onSnapshot: () => {
				if (calls++ > 0) throw new RangeError("the caller's own");
			},
		});
		const { snapshot } = await history.now();
		assert.is((await history.ended).reason, "failed");
		assert.ok((await world.store.list()).some(({ id }) => id === snapshot.id));
	});
});

for (const stayPaused of [false, true])
	test(`rewind: a present guest that cannot be discarded never runs again, and the other one is ${stayPaused ? "paused for its caller" : "running"}`, async () => {
		const world = new SnapshotWorld(10);
		await world.run(async () => {
			const history = await startHistory(world.services, { everyMs: 100, keep: {} });
			await world.clock.sleep(150);
			const { id } = history.entries[0]!.snapshot;
			const failure = new GuestError("crashed", "its worker does not end");
			world.guest.discard = () => Promise.reject(failure);
			const services = { factories: [world.factory], random: world.random };
			const { guest, notDiscarded } = await history.rewind(id, services, { ...POLICY, stayPaused });
			assert.is(notDiscarded, failure);
			assert.is(world.guest.running, false);
			assert.is((guest as typeof world.guest).running, !stayPaused);
			const another = await save(world.services, { deadlines: { turnMs: 10 } }).catch((error) => error);
			assert.instance(another, SaveError);
			assert.is(world.guest.running, false, "nobody else lets it run");
		});
	});

test("bounds and times that make no sense are refused", async () => {
	const world = new SnapshotWorld(1);
	for (const options of [
		{ everyMs: 0, keep: {} },
		{ everyMs: 1, keep: { count: 0 } },
		{ everyMs: 1, keep: { bytes: -1 } },
	])
		assert.instance(await startHistory(world.services, options).catch((error) => error), RangeError);
});

test.run();
