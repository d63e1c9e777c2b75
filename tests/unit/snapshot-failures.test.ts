import { suite } from "uvu";
import * as assert from "uvu/assert";
import type { MemoryGuest } from "../../bindings/guests/memory/memory-guest.ts";
import { MemoryStore } from "../../bindings/lab/memory-store.ts";
import { SeededRandom } from "../../bindings/lab/seeded-random.ts";
import { systemClock } from "../../bindings/platform/system-clock.ts";
import { PAGE_BYTES } from "../../bindings/ports/guest.ts";
import { type Store, StoreError, type StoreErrorCode } from "../../bindings/ports/store.ts";
import { SnapshotError, type SnapshotErrorCode, SnapshotStore } from "../../bindings/snapshot/store.ts";
import { failsWith, failureOf } from "../contract/suites/failures.ts";
import { acceptPages, assertIs, guestOf, remember, restoreAll, save } from "../simulation/snapshot-store-world.ts";

const test = suite("snapshot store: failures");

/** A store that fails at its nth operation that changes something. */
class Failing implements Store {
	readonly inner = new MemoryStore();
	failAt = Number.POSITIVE_INFINITY;
	steps = 0;
	code: StoreErrorCode = "full";

	put = (name: string, bytes: Uint8Array) => this.#change(() => this.inner.put(name, bytes));
	get: Store["get"] = (name, range) => this.inner.get(name, range);
	list = (prefix: string) => this.inner.list(prefix);
	delete = (name: string) => this.#change(() => this.inner.delete(name));
	readReference = (name: string) => this.inner.readReference(name);
	listReferences = (prefix: string) => this.inner.listReferences(prefix);
	compareAndSetReference = (name: string, expected: Uint8Array | undefined, next: Uint8Array | undefined) =>
		this.#change(() => this.inner.compareAndSetReference(name, expected, next));

	async #change<Value>(work: () => Promise<Value>): Promise<Value> {
		if (this.steps++ === this.failAt) throw new StoreError(this.code, "made by the test");
		return work();
	}
}

function world(seed: number) {
	const random = new SeededRandom(seed);
	const store = new Failing();
	const open = () => new SnapshotStore(store, { clock: systemClock, random });
	return { random, store, open };
}

const CASES: readonly (readonly [StoreErrorCode, SnapshotErrorCode])[] = [
	["full", "full"],
	["failed", "failed"],
];

for (const [storeCode, code] of CASES)
	test(`a store that is ${storeCode} at any step: the old state stays, the next snapshot loses nothing`, async () => {
		for (let failAt = 0, hasFinished = false; !hasFinished; failAt++) {
			assert.ok(failAt < 30);
			const { random, store, open } = world(failAt);
			store.code = storeCode;
			const snapshots = open();
			const guest = guestOf(random, 40);
			const first = await save(snapshots, guest);
			const before = remember(guest);
			const changed = [3, 9, 20];
			for (const page of changed) guest.write(page * PAGE_BYTES, random.fill(new Uint8Array(100)));
			store.steps = 0;
			store.failAt = failAt;
			const error = await save(snapshots, guest, { parent: first.id, pages: changed }).then(
				() => undefined,
				(failure: unknown) => failure,
			);
			hasFinished = store.steps <= failAt;
			if (!hasFinished) {
				assert.instance(error, SnapshotError);
				assert.is((error as SnapshotError).code, code);
				assert.instance((error as SnapshotError).cause, StoreError);
			} else assert.is(error, undefined);
			store.failAt = Number.POSITIVE_INFINITY;
			assert.is((await snapshots.list()).length, hasFinished ? 2 : 1);
			assertIs(await restoreAll(open(), first.id), before);
			// What the failed one would have had comes with the next: the technique has put its dirty bits back.
			const again = await save(snapshots, guest, { parent: first.id, pages: changed });
			assertIs(await restoreAll(open(), again.id), remember(guest));
			await snapshots.prune({ deadWriters: "all" });
			assertIs(await restoreAll(open(), again.id), remember(guest));
			await snapshots.verify(first.id);
		}
	});

test("a store that fails while it is pruned loses nothing, and the next prune ends the work", async () => {
	for (let failAt = 0, hasFinished = false; !hasFinished; failAt++) {
		assert.ok(failAt < 60);
		const { random, store, open } = world(100 + failAt);
		store.code = "failed";
		const guest = guestOf(random, 60);
		const ids: string[] = [];
		for (let i = 0; i < 4; i++) {
			for (let page = i; page < 60; page += 2) guest.write(page * PAGE_BYTES, random.fill(new Uint8Array(100)));
			const parent = ids.at(-1);
			ids.push((await save(open(), guest, parent === undefined ? {} : { parent })).id);
		}
		const expected = remember(guest);
		store.steps = 0;
		store.failAt = failAt;
		await open()
			.prune({ keep: ids.slice(2), repackBelow: 2 })
			.catch((error: unknown) => assert.instance(error, SnapshotError));
		hasFinished = store.steps <= failAt;
		store.failAt = Number.POSITIVE_INFINITY;
		assertIs(await restoreAll(open(), ids[3]!), expected, `failed at ${failAt}`);
		await open().prune({ keep: ids.slice(2), deadWriters: "all" });
		await open().prune({ deadWriters: "all" });
		await open().verify(ids[2]!);
		await open().verify(ids[3]!);
		assert.is((await store.list("snapshots/manifests/")).length, 2);
		assert.is((await store.listReferences("snapshots/heads/")).length, 2);
	}
});

test("a writer that has failed fails the same way ever after: nothing is tried again", async () => {
	const { random, store, open } = world(7);
	const guest = guestOf(random, 4000);
	for (let page = 0; page < 4000; page++) guest.write(page * PAGE_BYTES, random.fill(new Uint8Array(8)));
	const writer = await open().begin({ layout: guest.state.layout() });
	store.code = "failed";
	store.failAt = store.steps;
	await acceptPages(writer, guest);
	const { steps } = store;
	await failsWith(SnapshotError, "failed", writer.commit({ state: guest.getState() }));
	await failsWith(SnapshotError, "failed", acceptAll(writer, guest));
	await failsWith(
		SnapshotError,
		"failed",
		writer.grow(5000).then(() => acceptAll(writer, guest)),
	);
	assert.is(store.steps, steps + 1, "one put was tried, and never again");
	await writer.abort();
	assert.equal(await open().list(), []);
});

const acceptAll = (writer: Parameters<typeof acceptPages>[0], guest: MemoryGuest) => acceptPages(writer, guest, [1]);

test("a writer that has ended takes nothing more", async () => {
	const { random, open } = world(8);
	const guest = guestOf(random, 5);
	const committed = await open().begin({ layout: guest.state.layout() });
	await acceptPages(committed, guest);
	const { id } = await committed.commit({ state: guest.getState() });
	await committed.abort();
	const aborted = await open().begin({ layout: guest.state.layout() });
	await aborted.abort();
	await aborted.abort();
	for (const writer of [committed, aborted]) {
		assert.instance(await failureOf(acceptPages(writer, guest)), TypeError);
		assert.instance(await failureOf(writer.commit({ state: guest.getState() })), TypeError);
		assert.instance(await failureOf(writer.grow(9)), TypeError);
	}
	assertIs(await restoreAll(open(), id), remember(guest));
});

test("an abort while a commit is under way lets it end, and never removes a snapshot", async () => {
	const { random, open } = world(11);
	const guest = guestOf(random, 20);
	for (let turns = 0; turns < 60; turns++) {
		const writer = await open().begin({ layout: guest.state.layout() });
		await acceptPages(writer, guest);
		const committing = writer.commit({ state: guest.getState() });
		for (let turn = 0; turn < turns; turn++) await undefined;
		const [info] = await Promise.all([committing, writer.abort()]);
		await open().verify(info.id);
	}
});

test("code that the layout names and nobody gives, or that has another hash, makes no snapshot", async () => {
	const { random, open } = world(9);
	const guest = guestOf(random, 5);
	const hash = "ab".repeat(32);
	const layout = { ...guest.state.layout(), resources: [{ name: "code", hash, byteLength: 4 }] };
	const writer = await open().begin({ layout });
	await acceptPages(writer, guest);
	assert.instance(await failureOf(writer.commit({ state: guest.getState() })), RangeError);
	await writer.abort();
	const other = await open().begin({ layout });
	assert.instance(await failureOf(other.addResource(hash, new Uint8Array(4))), RangeError);
	await other.abort();
	assert.equal(await open().list(), []);
});

test("a parent that does not exist, or is larger, is refused and leaves no reservation", async () => {
	const { random, store, open } = world(10);
	const guest = guestOf(random, 50);
	const { id } = await save(open(), guest);
	const small = guestOf(random, 40).state.layout();
	await failsWith(SnapshotError, "missing", open().begin({ layout: small, parent: "0".repeat(32) }));
	assert.instance(await failureOf(open().begin({ layout: small, parent: id })), RangeError);
	assert.is((await store.listReferences("snapshots/heads/")).length, 1);
});

test.run();
