import { suite } from "uvu";
import * as assert from "uvu/assert";
import { MemoryStore } from "../../bindings/lab/memory-store.ts";
import { SeededRandom } from "../../bindings/lab/seeded-random.ts";
import { systemClock } from "../../bindings/platform/system-clock.ts";
import type { Clock } from "../../bindings/ports/clock.ts";
import { PAGE_BYTES } from "../../bindings/ports/guest.ts";
import type { Store } from "../../bindings/ports/store.ts";
import { SnapshotError, SnapshotStore } from "../../bindings/snapshot/store.ts";
import { failsWith } from "../contract/suites/failures.ts";
import { acceptPages, assertIs, guestOf, remember, restoreAll, save } from "../simulation/snapshot-store-world.ts";

const test = suite("snapshot store: prune");

function world(seed: number, wrap: (store: Store) => Store = (store) => store) {
	const random = new SeededRandom(seed);
	const store = new MemoryStore();
	const open = (clock: Clock = systemClock) => new SnapshotStore(wrap(store), { clock, random });
	return { random, store, snapshots: open(), open };
}

const packsOf = (store: Store) => store.list("snapshots/packs/");
const everything = async (store: Store) => [
	...(await store.list("")),
	...(await store.listReferences("snapshots/heads/")),
];

test("what no snapshot needs is removed, what one needs stays", async () => {
	const { random, store, snapshots } = world(1);
	const [one, other] = [guestOf(random, 60), guestOf(random, 60)];
	const expected = remember(other);
	const first = await save(snapshots, one);
	const second = await save(snapshots, other);
	assert.is((await snapshots.prune()).deletedObjects, 0, "nothing is garbage yet");
	const before = (await store.list("")).length;
	await snapshots.delete(first.id);
	assert.is((await store.list("")).length, before, "a deletion removes no object");
	const pruned = await snapshots.prune();
	assert.ok(pruned.deletedObjects >= 2, "a pack and a manifest at least");
	await snapshots.verify(second.id);
	assertIs(await restoreAll(snapshots, second.id), expected);
	await snapshots.delete(second.id);
	await snapshots.prune();
	assert.equal(await everything(store), []);
});

test("only the snapshots to keep are kept, chosen by what they say of themselves", async () => {
	const { random, snapshots } = world(2);
	const guest = guestOf(random, 30);
	const infos = [await save(snapshots, guest, { label: "0" })];
	for (let i = 1; i < 6; i++) {
		guest.write(i * PAGE_BYTES, random.fill(new Uint8Array(10)));
		infos.push(await save(snapshots, guest, { label: `${i}`, parent: infos[i - 1]!.id, pages: [i] }));
	}
	const expected = remember(guest);
	const pruned = await snapshots.prune({ keep: (all) => all.filter(({ label }) => label === "5").map(({ id }) => id) });
	assert.equal(
		[...pruned.deletedSnapshots].sort(),
		infos
			.slice(0, 5)
			.map(({ id }) => id)
			.sort(),
	);
	assert.equal(
		(await snapshots.list()).map(({ label }) => label),
		["5"],
	);
	assertIs(await restoreAll(snapshots, infos[5]!.id), expected);
	await snapshots.prune({ keep: [infos[5]!.id] });
	assertIs(await restoreAll(snapshots, infos[5]!.id), expected);
});

test("contents of thin packs are packed anew, for every snapshot that shares them, and readers go on", async () => {
	const { random, store, snapshots, open } = world(3);
	const guest = guestOf(random, 100);
	const first = await save(snapshots, guest);
	for (let page = 0; page < 95; page++) guest.write(page * PAGE_BYTES, random.fill(new Uint8Array(PAGE_BYTES)));
	const changed = Array.from({ length: 95 }, (_, page) => page);
	const second = await save(snapshots, guest, { parent: first.id, pages: changed });
	const atSecond = remember(guest);
	guest.write(3 * PAGE_BYTES, Uint8Array.of(9));
	const third = await save(snapshots, guest, { parent: second.id, pages: [3] });
	const atThird = remember(guest);
	const reader = await open().open(third.id);
	const before = await packsOf(store);
	await snapshots.delete(first.id);
	const pruned = await snapshots.prune();
	assert.is(pruned.repackedPacks, 1);
	assert.not.ok((await packsOf(store)).includes(before.find((name) => name.includes(first.id))!));
	for (const place of [snapshots, open()]) {
		assertIs(await restoreAll(place, second.id), atSecond);
		assertIs(await restoreAll(place, third.id), atThird);
		await place.verify(third.id);
	}
	const pages = Uint32Array.from({ length: 100 }, (_, page) => page);
	await guest.pause();
	await guest.pages.apply(await reader.pages(pages));
	assertIs(guest, atThird);
	assert.is((await snapshots.prune()).repackedPacks, 0, "packs that are dense stay");
});

test("a reader whose snapshot is packed anew between two batches goes on with the next page", async () => {
	const { random, snapshots, open } = world(4);
	const guest = guestOf(random, 200);
	const first = await save(snapshots, guest, { batchPages: 20 });
	const info = await save(snapshots, guest, { batchPages: 20, parent: first.id, pages: [] });
	const expected = remember(guest);
	const reader = await open().open(info.id);
	const target = guestOf(random, 200);
	target.write(0, new Uint8Array(200 * PAGE_BYTES));
	await target.pause();
	let batches = 0;
	for await (const batch of reader.batches()) {
		await target.pages.apply(batch);
		if (batches++ === 2) await snapshots.prune({ repackBelow: 2 });
	}
	await target.state.restore(reader.state());
	assertIs(target, expected);
});

test("writers under way keep what they could refer to, the next prune removes it", async () => {
	const { random, store, snapshots, open } = world(5);
	const guest = guestOf(random, 40);
	const first = await save(snapshots, guest);
	const writer = await open().begin({ layout: guest.state.layout() });
	await snapshots.delete(first.id);
	const pruned = await snapshots.prune();
	assert.is(pruned.deletedObjects, 0);
	assert.is(pruned.waitingObjects, 2);
	assert.equal(pruned.writers, [writer.id]);
	await acceptPages(writer, guest);
	assert.is(writer.figures.storedPages, 0, "all contents are shared");
	const { id } = await writer.commit({ state: guest.getState() });
	assert.is((await snapshots.prune()).deletedObjects, 1, "the manifest of the first, not the pack that it shares");
	assertIs(await restoreAll(snapshots, id), remember(guest));
	assert.is((await packsOf(store)).length, 1);
});

test("a writer that begins while something is condemned shares none of it", async () => {
	const { random, store, snapshots, open } = world(6);
	const guest = guestOf(random, 40);
	const first = await save(snapshots, guest);
	const old = await open().begin({ layout: guest.state.layout() });
	await snapshots.delete(first.id);
	await snapshots.prune();
	const [pack] = await packsOf(store);
	const writer = await snapshots.begin({ layout: guest.state.layout() });
	await acceptPages(writer, guest);
	assert.is(writer.figures.sharedPages, 0);
	await old.abort();
	assert.is((await snapshots.prune()).waitingObjects, 0, "the new writer has seen the list");
	assert.not.ok((await packsOf(store)).includes(pack!));
	const { id } = await writer.commit({ state: guest.getState() });
	assertIs(await restoreAll(snapshots, id), remember(guest));
});

test("a writer that reads what is condemned just before it is published does not refer to it", async () => {
	// The writer stops before its reservation is there, the prune before its first deletion: neither has seen the other.
	let isArmed = false;
	let letWriterGo = () => {};
	let letPruneGo = () => {};
	const writerMayGo = new Promise<void>((resolve) => {
		letWriterGo = resolve;
	});
	const pruneMayGo = new Promise<void>((resolve) => {
		letPruneGo = resolve;
	});
	let stopped = false;
	const { random, store, snapshots } = world(7);
	const guest = guestOf(random, 40);
	const slowWriter: Store = {
		...bound(store),
		compareAndSetReference: async (name, expected, next) => {
			if (isArmed && !stopped && name.startsWith("snapshots/heads/")) {
				stopped = true;
				await writerMayGo;
			}
			return store.compareAndSetReference(name, expected, next);
		},
	};
	const slowPrune: Store = {
		...bound(store),
		delete: async (name) => {
			if (name.startsWith("snapshots/packs/")) {
				letWriterGo();
				await pruneMayGo;
			}
			return store.delete(name);
		},
	};
	// It knows the first snapshot's contents, since it has made it.
	const late = new SnapshotStore(slowWriter, { clock: systemClock, random });
	await snapshots.delete((await save(late, guest)).id);
	isArmed = true;
	const beginning = late.begin({ layout: guest.state.layout() });
	while (!stopped) await systemClock.sleep(0);
	const pruning = new SnapshotStore(slowPrune, { clock: systemClock, random }).prune();
	const writer = await beginning;
	await acceptPages(writer, guest);
	letPruneGo();
	assert.is((await pruning).waitingObjects, 0);
	const { id } = await writer.commit({ state: guest.getState() });
	await snapshots.verify(id);
	assertIs(await restoreAll(snapshots, id), remember(guest));
});

test("a dead writer is given up after a minute without a sign of life, and fails if it was alive after all", async () => {
	const { random, store, open } = world(8);
	let nowMs = 0;
	const clock: Clock = { now: () => nowMs, sleep: systemClock.sleep };
	const guest = guestOf(random, 40);
	const place = open(clock);
	const writer = await open(clock).begin({ layout: guest.state.layout() });
	await acceptPages(writer, guest);
	await place.prune();
	nowMs += 59_999;
	assert.is((await place.prune()).deletedObjects, 0);
	assert.is((await store.listReferences("snapshots/heads/")).length, 1);
	nowMs += 1;
	await place.prune();
	assert.equal(await store.listReferences("snapshots/heads/"), []);
	await failsWith(SnapshotError, "expired", writer.commit({ state: guest.getState() }));
	await writer.abort();
	await place.prune();
	assert.equal(await everything(store), []);
});

test("a writer that keeps working is never taken for dead", async () => {
	const { random, open } = world(9);
	let nowMs = 0;
	const clock: Clock = { now: () => nowMs, sleep: systemClock.sleep };
	const guest = guestOf(random, 40);
	const place = open(clock);
	const writer = await open(clock).begin({ layout: guest.state.layout() });
	for (let page = 0; page < 40; page++) {
		nowMs += 20_000;
		await acceptPages(writer, guest, [page]);
		await place.prune();
	}
	const { id } = await writer.commit({ state: guest.getState() });
	assertIs(await restoreAll(place, id), remember(guest));
});

test("what a writer that is known to be dead has left is removed at once", async () => {
	const { random, store, snapshots, open } = world(10);
	const guest = guestOf(random, 40);
	const writers = [];
	for (let i = 0; i < 3; i++) {
		const writer = await open().begin({ layout: guest.state.layout() });
		await acceptPages(writer, guest);
		writers.push(writer);
	}
	await snapshots.prune({ deadWriters: [writers[1]!.id] });
	assert.is((await store.listReferences("snapshots/heads/")).length, 2);
	await snapshots.prune({ deadWriters: "all" });
	assert.equal(await everything(store), []);
	for (const writer of writers) await failsWith(SnapshotError, "expired", writer.commit({ state: guest.getState() }));
});

test("a snapshot that cannot be read stops a prune before it removes anything", async () => {
	const { random, store, snapshots, open } = world(11);
	const first = await save(snapshots, guestOf(random, 40));
	await save(snapshots, guestOf(random, 40));
	await snapshots.delete(first.id);
	const [manifest] = (await store.list("snapshots/manifests/")).filter((name) => !name.includes(first.id));
	const bytes = await store.get(manifest!);
	await store.delete(manifest!);
	await store.put(manifest!, bytes.with(200, bytes[200]! ^ 1));
	const before = await everything(store);
	await failsWith(SnapshotError, "corrupt", open().prune());
	assert.equal(await everything(store), before);
});

/** The methods of a store as a plain object, to replace some of them. */
function bound(store: Store): Store {
	return {
		put: (name, bytes) => store.put(name, bytes),
		get: (name, range) => store.get(name, range),
		list: (prefix) => store.list(prefix),
		delete: (name) => store.delete(name),
		readReference: (name) => store.readReference(name),
		compareAndSetReference: (name, expected, next) => store.compareAndSetReference(name, expected, next),
		listReferences: (prefix) => store.listReferences(prefix),
	};
}

/** A snapshot that needs what is condemned: its writer had begun before, and shared it. */
async function withCondemnedContents(seed: number) {
	const { random, open, store } = world(seed);
	const [first, late, pruner, last] = [open(), open(), open(), open()];
	const guest = guestOf(random, 30);
	const { id } = await save(first, guest);
	const begun = await late.begin({ layout: guest.state.layout() });
	await first.delete(id);
	assert.ok((await pruner.prune()).waitingObjects > 0, "condemned, and waiting for the writer under way");
	await acceptPages(begun, guest);
	const needy = await begun.commit({ state: guest.getState() });
	assert.is(begun.figures.storedPages, 0, "everything is shared");
	return { random, store, guest, needy, pruner, last };
}

test("a child of a snapshot that needs condemned contents stays when its parent goes", async () => {
	const { guest, needy, pruner, last } = await withCondemnedContents(40);
	const child = await last.begin({ layout: guest.state.layout(), parent: needy.id });
	await pruner.delete(needy.id);
	await pruner.prune();
	const { id } = await child.commit({ state: guest.getState() });
	await pruner.prune();
	await last.verify(id);
	assertIs(await restoreAll(last, id), remember(guest));
});

test("a child of a child of a snapshot that needs condemned contents stays when both go", async () => {
	const { random, store, guest, needy, pruner, last } = await withCondemnedContents(41);
	guest.write(0, random.fill(new Uint8Array(100)));
	const middle = await save(last, guest, { parent: needy.id, pages: [0] });
	const child = await last.begin({ layout: guest.state.layout(), parent: middle.id });
	for (const { id } of [needy, middle]) await pruner.delete(id);
	await pruner.prune();
	const { id } = await child.commit({ state: guest.getState() });
	await pruner.prune();
	await last.verify(id);
	assertIs(await restoreAll(last, id), remember(guest));
	await last.delete(id);
	await pruner.prune();
	assert.equal(await everything(store), []);
});

test("a child whose parent goes while condemned contents are taken over is refused, and leaves nothing", async () => {
	const { store, guest, needy, pruner, last } = await withCondemnedContents(42);
	for (const pack of await packsOf(store)) await store.delete(pack);
	await failsWith(SnapshotError, "missing", last.begin({ layout: guest.state.layout(), parent: needy.id }));
	await pruner.delete(needy.id);
	await pruner.prune();
	assert.equal(await everything(store), []);
});

test.run();
