import { suite } from "uvu";
import * as assert from "uvu/assert";
import { MemoryStore } from "../../bindings/lab/memory-store.ts";
import { SeededRandom } from "../../bindings/lab/seeded-random.ts";
import { systemClock } from "../../bindings/platform/system-clock.ts";
import { PAGE_BYTES } from "../../bindings/ports/guest.ts";
import { SnapshotError } from "../../bindings/snapshot/image-error.ts";
import { SnapshotStore } from "../../bindings/snapshot/store.ts";
import { failsWith, failureOf } from "../contract/suites/failures.ts";
import {
	acceptPages,
	assertIs,
	guestOf,
	remember,
	restoreAll,
	restoreByPages,
	save,
} from "../simulation/snapshot-store-world.ts";

const test = suite("snapshot store");

function world(seed: number) {
	const random = new SeededRandom(seed);
	const store = new MemoryStore();
	const open = (more = {}) => new SnapshotStore(store, { clock: systemClock, random, ...more });
	return { random, store, snapshots: open(), open };
}

test("a snapshot comes back, by all its batches and page by page, here and in another process", async () => {
	const { random, snapshots, open } = world(1);
	const guest = guestOf(random, 300);
	const before = remember(guest);
	const info = await save(snapshots, guest, { label: "first", generation: "g1" });
	for (const place of [snapshots, open()]) {
		assertIs(await restoreAll(place, info.id), before);
		assertIs(await restoreByPages(place, info.id), before);
		assert.equal(await place.list(), [info]);
	}
	assert.is(info.label, "first");
	assert.is(info.generation, "g1");
	assert.is(info.pageCount, 300);
});

test("an incremental snapshot has the parent's pages where none came, also when the parent is gone", async () => {
	const { random, snapshots, open } = world(2);
	const guest = guestOf(random, 200, 400);
	const first = await save(snapshots, guest);
	const expected = [remember(guest)];
	const infos = [first];
	for (let round = 0; round < 20; round++) {
		const pages = [...new Set(Array.from({ length: 5 }, () => random.nextU32() % 200))].sort((a, b) => a - b);
		for (const page of pages) guest.write(page * PAGE_BYTES, random.fill(new Uint8Array(50)));
		if (round === 7) {
			guest.growMemory(250);
			pages.push(249);
			guest.write(249 * PAGE_BYTES, Uint8Array.of(1));
		}
		infos.push(await save(snapshots, guest, { parent: infos.at(-1)!.id, pages }));
		expected.push(remember(guest));
	}
	await snapshots.delete(infos[3]!.id);
	for (const place of [snapshots, open()])
		for (const [i, info] of infos.entries()) {
			if (i === 3) await failsWith(SnapshotError, "missing", place.open(info.id));
			else assertIs(await restoreAll(place, info.id), expected[i]!, `snapshot ${i}`);
		}
});

test("nothing is visible before the commit, and an abort leaves nothing behind", async () => {
	const { random, store, snapshots } = world(3);
	const guest = guestOf(random, 50);
	const writer = await snapshots.begin({ layout: guest.state.layout() });
	await acceptPages(writer, guest);
	assert.equal(await snapshots.list(), []);
	await failsWith(SnapshotError, "missing", snapshots.open(writer.id));
	await writer.abort();
	assert.equal(await store.list(""), []);
	assert.equal(await store.listReferences(""), []);
});

test("pages and state that do not have the digest make no snapshot", async () => {
	const { random, snapshots } = world(4);
	const guest = guestOf(random, 10);
	const writer = await snapshots.begin({ layout: guest.state.layout() });
	await acceptPages(writer, guest);
	const commit = writer.commit({ state: guest.getState(), digest: "0".repeat(32) });
	await failsWith(SnapshotError, "digest", commit);
	await writer.abort();
	assert.equal(await snapshots.list(), []);
});

test("ids that are none lead nowhere", async () => {
	const { random, snapshots } = world(5);
	await save(snapshots, guestOf(random, 3));
	for (const id of ["", "x", "../../heads", "0".repeat(32), "f".repeat(31), `${"0".repeat(32)}\n`])
		for (const call of [snapshots.open(id), snapshots.verify(id), snapshots.delete(id), snapshots.diff(id, id)])
			await failsWith(SnapshotError, "missing", call);
});

test("a guest of another page size is a mistake of the caller's", async () => {
	const { random, snapshots } = world(6);
	const layout = guestOf(random, 1).state.layout();
	assert.instance(await failureOf(snapshots.begin({ layout: { ...layout, pageBytes: 8192 } })), RangeError);
});

test.run();
