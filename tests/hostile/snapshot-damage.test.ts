// Every byte of a small snapshot changed, random ones of a large one, objects cut off, exchanged and taken away.
import { suite } from "uvu";
import * as assert from "uvu/assert";
import { MemoryGuest } from "../../bindings/guests/memory/memory-guest.ts";
import { MemoryStore } from "../../bindings/lab/memory-store.ts";
import { SeededRandom } from "../../bindings/lab/seeded-random.ts";
import { systemClock } from "../../bindings/platform/system-clock.ts";
import { PAGE_BYTES } from "../../bindings/ports/guest.ts";
import type { Store } from "../../bindings/ports/store.ts";
import {
	importEncryptionKey,
	importSigningKey,
	type Sealing,
	SnapshotError,
	SnapshotStore,
} from "../../bindings/snapshot/store.ts";
import { failureOf } from "../contract/suites/failures.ts";
import {
	acceptPages,
	assertIs,
	guestOf,
	type Remembered,
	remember,
	restoreAll,
	save,
} from "../simulation/snapshot-store-world.ts";

const test = suite("damaged snapshots");

/** Objects that can be changed under a store's feet. */
class SoftStore implements Store {
	readonly inner = new MemoryStore();
	readonly changed = new Map<string, Uint8Array<ArrayBuffer>>();
	put = (name: string, bytes: Uint8Array) => this.inner.put(name, bytes);
	list = (prefix: string) => this.inner.list(prefix);
	delete = (name: string) => this.inner.delete(name);
	readReference = (name: string) => this.inner.readReference(name);
	listReferences = (prefix: string) => this.inner.listReferences(prefix);
	compareAndSetReference = (name: string, expected: Uint8Array | undefined, next: Uint8Array | undefined) =>
		this.inner.compareAndSetReference(name, expected, next);
	get: Store["get"] = async (name, range) => {
		const changed = this.changed.get(name);
		if (changed === undefined) return this.inner.get(name, range);
		return range === undefined ? changed.slice() : changed.slice(range.offset, range.offset + range.byteLength);
	};
}

interface Small {
	readonly store: SoftStore;
	readonly snapshots: SnapshotStore;
	readonly id: string;
	readonly expected: Remembered;
	readonly open: () => SnapshotStore;
}

const CODE = new TextEncoder().encode("code of the guest ".repeat(4));

/** A parent and a child of a few pages with code and state: two packs, two manifests, a resource. */
async function small(sealing?: Sealing): Promise<Small> {
	const random = new SeededRandom(5);
	const store = new SoftStore();
	const open = () =>
		new SnapshotStore(store, { clock: systemClock, random, ...(sealing === undefined ? {} : { sealing }) });
	const snapshots = open();
	const guest = new MemoryGuest({ pageCount: 6 });
	guest.setState(random.fill(new Uint8Array(40)));
	for (let page = 0; page < 5; page++)
		guest.write(page * PAGE_BYTES + 9 * page, random.fill(new Uint8Array(20 + page)));
	const hash = Array.from(new Uint8Array(await crypto.subtle.digest("SHA-256", CODE)), (byte) =>
		byte.toString(16).padStart(2, "0"),
	).join("");
	const layout = { ...guest.state.layout(), resources: [{ name: "code", hash, byteLength: CODE.byteLength }] };
	const writer = await snapshots.begin({ layout });
	await writer.addResource(hash, CODE);
	await acceptPages(writer, guest);
	const parent = await writer.commit({ state: guest.getState() });
	guest.write(2 * PAGE_BYTES, random.fill(new Uint8Array(30)));
	const child = await snapshots.begin({ layout, parent: parent.id, label: "child" });
	await acceptPages(child, guest, [2]);
	const { id } = await child.commit({ state: guest.getState() });
	return { store, snapshots, id, expected: remember(guest), open };
}

/** With this damage a verification fails by name, and no restore gives anything but what was saved. */
async function assertFound(world: Small, what: string): Promise<void> {
	const error = await failureOf(world.snapshots.verify(world.id)).catch(() => undefined);
	assert.instance(error, SnapshotError, `${what} was not found`);
	const { object, record, pageIndex } = error as SnapshotError;
	assert.ok(object ?? record ?? pageIndex, `${what}: ${String(error)} names nothing`);
}

async function assertNothingWrong(world: Small, what: string): Promise<void> {
	try {
		assertIs(await restoreAll(world.open(), world.id), world.expected, what);
	} catch (error) {
		const isTyped = error instanceof SnapshotError || (error instanceof Error && error.name === "BatchError");
		if (!isTyped) throw error;
	}
}

for (const [name, makeSealing] of [
	["plain", () => Promise.resolve(undefined)],
	["encrypted and signed", sealed],
] as const)
	test(`one changed bit anywhere in a ${name} snapshot is found`, async () => {
		const world = await small(await makeSealing());
		await world.snapshots.verify(world.id);
		let offsets = 0;
		for (const object of await world.store.list("")) {
			const bytes = await world.store.inner.get(object);
			for (let at = 0; at < bytes.byteLength; at++, offsets++) {
				const bit = (at * 5 + 3) % 8;
				world.store.changed.set(object, bytes.with(at, bytes[at]! ^ (1 << bit)));
				await assertFound(world, `bit ${bit} of byte ${at} of ${object}`);
				if (at % 16 === 0) await assertNothingWrong(world, `${object} at ${at}`);
			}
			world.store.changed.delete(object);
		}
		await world.snapshots.verify(world.id);
		assert.ok(offsets > 2000, `${offsets} offsets`);
	});

async function sealed(): Promise<Sealing> {
	const key = await importEncryptionKey(new Uint8Array(32).fill(7));
	const signer = await importSigningKey(new Uint8Array(32).fill(9));
	return {
		encryption: { keyId: "k", keys: new Map([["k", key]]) },
		signing: { keyId: "s", key: signer, trusted: new Map([["s", signer]]) },
	};
}

test("random changed bits of a large snapshot are found", async () => {
	const random = new SeededRandom(11);
	const store = new SoftStore();
	const open = () => new SnapshotStore(store, { clock: systemClock, random });
	const snapshots = open();
	const guest = guestOf(random, 3000);
	const { id } = await save(snapshots, guest, { batchPages: 256 });
	const world = { store, snapshots, id, expected: remember(guest), open };
	for (const object of await store.list("")) {
		const bytes = await store.inner.get(object);
		const tries = object.includes("pack") ? 40 : 20;
		for (let i = 0; i < tries; i++) {
			const at = random.nextU32() % bytes.byteLength;
			const bit = random.nextU32() % 8;
			store.changed.set(object, bytes.with(at, bytes[at]! ^ (1 << bit)));
			await assertFound(world, `bit ${bit} of byte ${at} of ${object}`);
		}
		store.changed.delete(object);
	}
});

test("an object that is cut off, longer, empty or gone is found, at every length", async () => {
	const world = await small();
	for (const object of await world.store.list("")) {
		const bytes = await world.store.inner.get(object);
		for (let length = 0; length < bytes.byteLength; length += 1 + (length % 7)) {
			world.store.changed.set(object, bytes.slice(0, length));
			await assertFound(world, `${object} cut off at ${length}`);
			await assertNothingWrong(world, `${object} cut off at ${length}`);
		}
		world.store.changed.set(object, Uint8Array.from([...bytes, 0]));
		await assertFound(world, `${object} with a byte more`);
		world.store.changed.delete(object);
		await world.store.inner.delete(object);
		await assertFound(world, `${object} gone`);
		await world.store.inner.put(object, bytes);
	}
	await world.snapshots.verify(world.id);
});

test("objects that are exchanged for each other, or for something else, are found", async () => {
	const world = await small();
	const names = await world.store.list("");
	for (const object of names) {
		for (const other of names) {
			if (other === object) continue;
			world.store.changed.set(object, await world.store.inner.get(other));
			await assertFound(world, `${other} in place of ${object}`);
			await assertNothingWrong(world, `${other} in place of ${object}`);
		}
		const length = (await world.store.inner.get(object)).byteLength;
		for (const foreign of [
			new Uint8Array(length),
			new TextEncoder().encode("PK\u0003\u0004".padEnd(length, "x")),
			new SeededRandom(3).fill(new Uint8Array(length)),
		]) {
			world.store.changed.set(object, foreign);
			await assertFound(world, `other bytes in place of ${object}`);
		}
		world.store.changed.delete(object);
	}
});

test("one changed bit of a head never leads to something else than was saved", async () => {
	const world = await small();
	for (const name of await world.store.listReferences("snapshots/heads/")) {
		const value = await world.store.readReference(name);
		for (let at = 0; at < value!.byteLength; at++) {
			const damaged = value!.with(at, value![at]! ^ (1 << (at % 8)));
			await world.store.compareAndSetReference(name, value, damaged);
			await assertNothingWrong(world, `${name} at ${at}`);
			await failureOrValue(world.open().list());
			await failureOrValue(
				world
					.open()
					.begin({ layout: await layoutOf() })
					.then((writer) => writer.abort()),
			);
			await world.store.compareAndSetReference(name, damaged, value);
		}
	}
	await world.snapshots.verify(world.id);
});

const layoutOf = async () => new MemoryGuest({ pageCount: 1 }).state.layout();

/** Whatever comes of it, it is a value or a typed failure. */
async function failureOrValue(work: Promise<unknown>): Promise<void> {
	await work.catch((error: unknown) => assert.instance(error, SnapshotError));
}

test("one changed bit anywhere in an exported image is found, and no import of it leaves anything", async () => {
	const world = await small();
	const chunks: Uint8Array[] = [];
	for await (const chunk of world.snapshots.export(world.id)) chunks.push(chunk.slice());
	const image = Uint8Array.from(chunks.flatMap((chunk) => [...chunk]));
	const target = new MemoryStore();
	const place = new SnapshotStore(target, { clock: systemClock, random: new SeededRandom(1) });
	for (let at = 0; at < image.byteLength; at++) {
		const damaged = image.with(at, image[at]! ^ (1 << (at % 8)));
		const error = await failureOf(place.import([damaged])).catch(() => undefined);
		assert.instance(error, SnapshotError, `byte ${at} was not found`);
	}
	for (let length = 0; length < image.byteLength; length += 13)
		assert.instance(await failureOf(place.import([image.slice(0, length)])), SnapshotError);
	assert.instance(await failureOf(place.import([image, Uint8Array.of(0)])), SnapshotError);
	assert.equal(await target.list(""), []);
	assert.equal(await target.listReferences(""), []);
	const { id } = await place.import([image.slice(0, 100), image.slice(100)]);
	assertIs(await restoreAll(place, id), world.expected);
});

test.run();
