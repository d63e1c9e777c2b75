// The list of a store in which something cannot be read, or in which somebody prunes at the same time.
import { suite } from "uvu";
import * as assert from "uvu/assert";
import { MemoryStore } from "../../bindings/lab/memory-store.ts";
import { SeededRandom } from "../../bindings/lab/seeded-random.ts";
import { systemClock as clock } from "../../bindings/platform/system-clock.ts";
import { PAGE_BYTES } from "../../bindings/ports/guest.ts";
import type { Store } from "../../bindings/ports/store.ts";
import {
	importEncryptionKey,
	SnapshotError,
	SnapshotStore,
	type UnreadableSnapshot,
} from "../../bindings/snapshot/store.ts";
import { failsWith } from "../contract/suites/failures.ts";
import { Sleeper } from "../simulation/snapshot-sleepers.ts";
import { guestOf, save } from "../simulation/snapshot-store-world.ts";

const test = suite("snapshot store: list");
const HEADS = "snapshots/heads/";

/** A store with three snapshots of one guest. */
async function world() {
	const random = new SeededRandom(7);
	const store = new MemoryStore();
	const open = (other: Store = store) => new SnapshotStore(other, { clock, random });
	const snapshots = open();
	const guest = guestOf(random, 12);
	const ids: string[] = [];
	for (let i = 0; i < 3; i++) {
		guest.write(0, random.fill(new Uint8Array(PAGE_BYTES)));
		const parent = ids.at(-1);
		const { id } = await save(snapshots, guest, parent === undefined ? {} : { parent, pages: [0] });
		ids.push(id);
	}
	return { random, store, open, guest, ids };
}

async function listed(snapshots: SnapshotStore) {
	const unreadable: UnreadableSnapshot[] = [];
	const infos = await snapshots.list({ onUnreadable: (one) => unreadable.push(one) });
	return { ids: infos.map(({ id }) => id), unreadable };
}

/** The same store, in which an object or a reference has other bytes. */
function damaged(store: Store, name: string): Store {
	const bad = Uint8Array.of(1, 2, 3);
	return {
		put: (other, bytes) => store.put(other, bytes),
		get: (other, range) => (other === name ? Promise.resolve(bad) : store.get(other, range)),
		list: (prefix) => store.list(prefix),
		delete: (other) => store.delete(other),
		readReference: (other) => (other === name ? Promise.resolve(bad) : store.readReference(other)),
		compareAndSetReference: (other, expected, next) => store.compareAndSetReference(other, expected, next),
		listReferences: (prefix) => store.listReferences(prefix),
	};
}

test("a manifest that cannot be read is told with its id, and the others are listed", async () => {
	const { store, open, ids } = await world();
	const name = (await store.list("snapshots/manifests/")).find((object) => object.includes(ids[2]!))!;
	const snapshots = open(damaged(store, name));
	const { ids: readable, unreadable } = await listed(snapshots);
	assert.equal(readable, ids.slice(0, 2));
	assert.is(unreadable.length, 1);
	const [{ id, object, error } = { id: "", object: "", error: undefined }] = unreadable;
	assert.is(id, ids[2]);
	assert.is(object, name);
	assert.is(error?.code, "corrupt");
	// Without that it is never left out in silence: whoever keeps what is listed would delete it.
	const refusal = await failsWith(SnapshotError, "corrupt", snapshots.list());
	assert.match(refusal.message, /2 can be read, list them with onUnreadable/);
	await failsWith(SnapshotError, "corrupt", snapshots.prune({ keep: (infos) => infos.map((info) => info.id) }));
	assert.is((await open().list()).length, 3);
	await snapshots.delete(ids[2]!);
	assert.equal(
		(await snapshots.list()).map((info) => info.id),
		ids.slice(0, 2),
	);
	await snapshots.prune();
	for (const one of ids.slice(0, 2)) await snapshots.verify(one);
});

test("a head that is damaged is told by its name; the others are listed, opened and saved beside it, and nothing is pruned", async () => {
	const { store, open, guest, ids } = await world();
	const [first] = await store.listReferences(HEADS);
	const snapshots = open(damaged(store, first!));
	const { ids: readable, unreadable } = await listed(snapshots);
	assert.equal(readable, ids.slice(1));
	assert.equal(
		unreadable.map(({ id, object, error }) => [id, object, error.code]),
		[[undefined, first, "corrupt"]],
	);
	await failsWith(SnapshotError, "corrupt", snapshots.list());
	await snapshots.verify(ids[1]!);
	const { sequence } = await save(snapshots, guest);
	assert.is(sequence, 4);
	const before = await store.list("");
	await failsWith(SnapshotError, "corrupt", snapshots.prune());
	assert.equal(await store.list(""), before);
	await open().verify(ids[0]!);
});

test("snapshots whose key is not here are told as unreadable, and the others are listed", async () => {
	const { random, store, open, guest, ids } = await world();
	const keys = new Map([["mine", await importEncryptionKey(random.fill(new Uint8Array(32)))]]);
	const sealed = new SnapshotStore(store, { clock, random, sealing: { encryption: { keyId: "mine", keys } } });
	const { id } = await save(sealed, guest);
	const { ids: readable, unreadable } = await listed(open());
	assert.equal(readable, ids);
	assert.equal(
		unreadable.map((one) => one.id),
		[id],
	);
});

for (const side of ["before", "after"] as const)
	test(`a list that sleeps ${side} any of its operations while others prune and delete lists what is there`, async () => {
		for (let operation = 1; ; operation++) {
			const { random, store, open, ids } = await world();
			const process = new Sleeper(store);
			const snapshots = new SnapshotStore(process.store, { clock: process.clock, random });
			let found: string[] = [];
			const list = async () => {
				found = (await snapshots.list()).map(({ id }) => id);
			};
			const { isOver, ended } = await process.run(list, { operation, side });
			if (isOver) {
				assert.ok(operation > 5);
				return;
			}
			const other = open();
			await other.delete(ids[0]!);
			await other.prune({ repackBelow: 1 });
			await other.prune();
			process.wake();
			await ended;
			assert.equal(
				found.filter((id) => id !== ids[0]),
				ids.slice(1),
				`asleep ${side} operation ${operation}`,
			);
		}
	});

test.run();
