// What a keeper says of a snapshot that it has: never that there is none.
import { suite } from "uvu";
import * as assert from "uvu/assert";
import { save } from "../../bindings/snapshot/save.ts";
import { saveTo, sendSnapshot } from "../../bindings/snapshot/save-to.ts";
import { checkEnd, KeeperWorld, settled } from "./keeper-world.ts";

const test = suite("snapshots: a keeper's last word");

/** Writes of the keeper's disk for one snapshot, from the reservation to the commit. */
async function writesOfSave(): Promise<number> {
	const world = new KeeperWorld(5);
	await world.run(() => world.saveTo({ technique: "save" }));
	return world.keeperDisk.writes;
}
const WRITES: number = await writesOfSave();

for (let write = 0; write < WRITES; write++)
	test(`a keeper that is stopped at its write ${write} of ${WRITES} says nothing that is not so`, async () => {
		const world = new KeeperWorld(5);
		await world.run(async () => {
			const stop = new AbortController();
			const link = world.connect([], { signal: stop.signal });
			world.keeperDisk.onWrite = () => {
				if (world.keeperDisk.writes === write) stop.abort();
			};
			const outcome = await settled(world.saveTo({ technique: "save" }, link));
			await checkEnd(world, outcome);
			if (write === WRITES - 1) assert.ok("id" in outcome, "it is committed: that is said before the keeper stops");
		});
	});

test("a keeper whose caller throws over a snapshot has said that it has it", async () => {
	const world = new KeeperWorld(6);
	await world.run(async () => {
		const onSnapshot = () => {
			throw new RangeError("the caller's own");
		};
		const outcome = await settled(world.saveTo({}, world.connect([], { onSnapshot })));
		await checkEnd(world, outcome);
		assert.ok("id" in outcome);
		assert.match((await world.keeping).error?.message ?? "", /the caller's own/);
	});
});

test("a source that hears nothing after the keeper's commit says that nobody knows", async () => {
	const world = new KeeperWorld(7);
	await world.run(async () => {
		const link = world.connect();
		world.keeperDisk.onWrite = () => {
			if (world.keeperDisk.writes === WRITES - 1) world.connection.inject({ kind: "cut", when: { atMs: 0 } });
		};
		const outcome = await settled(world.saveTo({ technique: "save" }, link));
		assert.ok("error" in outcome);
		assert.is(outcome.error.code, "unconfirmed");
		await checkEnd(world, outcome);
		assert.is((await world.keeperStore.list()).length, 1);
	});
});

test("a keeper that can neither commit nor give up only drops the link: nobody knows", async () => {
	const world = new KeeperWorld(8);
	await world.run(async () => {
		const link = world.connect();
		world.keeperDisk.fault = (write) => (write >= WRITES - 1 ? "failed" : undefined);
		const outcome = await settled(world.saveTo({ technique: "save" }, link));
		assert.ok("error" in outcome);
		assert.is(outcome.error.code, "unconfirmed");
	});
});

test("a save that cannot commit, nor give its place up, says that nobody knows", async () => {
	const world = new KeeperWorld(9);
	await world.run(async () => {
		await save(world.services);
		const begun = world.disk.writes;
		world.disk.fault = (write) => (write >= begun + WRITES - 1 ? "failed" : undefined);
		const error = await save(world.services).then(
			() => undefined,
			(reason: unknown) => reason,
		);
		assert.is((error as { code?: string }).code, "unconfirmed");
		assert.ok(world.guest.running);
	});
});

test("a save that fails before it has begun closes its link", async () => {
	for (const fail of ["cancelled", "busy", "no layout"] as const) {
		const world = new KeeperWorld(10);
		await world.run(async () => {
			const link = world.connect();
			const { guest, clock } = world;
			const other = fail === "busy" ? save({ ...world.services, guest }) : undefined;
			if (fail === "no layout")
				guest.state.layout = () => {
					throw new RangeError("no layout today");
				};
			const signal = fail === "cancelled" ? { signal: AbortSignal.abort() } : {};
			const error = await saveTo({ guest, link, clock }, signal).then(
				() => undefined,
				(reason: unknown) => reason,
			);
			assert.instance(error, Error);
			assert.ok(link.ended.aborted, fail);
			await world.keeping;
			await other;
		});
	}
});

test("sending a snapshot that cannot be read closes the link", async () => {
	const world = new KeeperWorld(11);
	await world.run(async () => {
		const { snapshot } = await save(world.services);
		const reader = await world.store.open(snapshot.id);
		for (const name of await world.disk.list("snapshots/packs/")) await world.disk.delete(name);
		const link = world.connect();
		const error = await sendSnapshot({ snapshot: reader, link, clock: world.clock }).then(
			() => undefined,
			(reason: unknown) => reason,
		);
		assert.is((error as { code?: string }).code, "store");
		assert.ok(link.ended.aborted);
		assert.equal((await world.keeping).snapshots, []);
	});
});

test.run();
