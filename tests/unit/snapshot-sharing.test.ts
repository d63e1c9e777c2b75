import { suite } from "uvu";
import * as assert from "uvu/assert";
import { batchChecksum } from "../../bindings/engine/batch.ts";
import { createEngine } from "../../bindings/engine/engine.ts";
import { MemoryGuest } from "../../bindings/guests/memory/memory-guest.ts";
import { MemoryStore } from "../../bindings/lab/memory-store.ts";
import { SeededRandom } from "../../bindings/lab/seeded-random.ts";
import { systemClock } from "../../bindings/platform/system-clock.ts";
import { MAX_BATCH_PAGES, PAGE_BYTES } from "../../bindings/ports/guest.ts";
import type { Store } from "../../bindings/ports/store.ts";
import { SnapshotStore } from "../../bindings/snapshot/store.ts";
import { toHex } from "../../bindings/wire/digest.ts";
import { acceptPages, assertIs, guestOf, remember, restoreAll, save } from "../simulation/snapshot-store-world.ts";

const test = suite("snapshot store: contents that are shared");

function world(seed: number) {
	const random = new SeededRandom(seed);
	const store = new MemoryStore();
	const open = () => new SnapshotStore(store, { clock: systemClock, random });
	return { random, store, snapshots: open(), open };
}

async function bytesOf(store: Store): Promise<number> {
	let bytes = 0;
	for (const name of await store.list("")) bytes += (await store.get(name)).byteLength;
	return bytes;
}

test("ten snapshots with one page in a hundred changed take at most 1.5 times the room of one", async () => {
	const { random, store, snapshots } = world(1);
	const guest = guestOf(random, 1000);
	let parent = await save(snapshots, guest);
	const one = await bytesOf(store);
	for (let i = 0; i < 9; i++) {
		const pages = [...new Set(Array.from({ length: 10 }, () => random.nextU32() % 1000))].sort((a, b) => a - b);
		for (const page of pages) guest.write(page * PAGE_BYTES, random.fill(new Uint8Array(PAGE_BYTES)));
		parent = await save(snapshots, guest, { parent: parent.id, pages });
	}
	const ratio = (await bytesOf(store)) / one;
	assert.ok(ratio <= 1.5, `${ratio} times`);
	assert.ok(ratio > 1.05, `${ratio} times: the changes are there`);
});

test("four guests of one program take at most 1.3 times the room of one, whoever made them", async () => {
	const { random, store, open } = world(2);
	const program = remember(guestOf(random, 1000));
	let one = 0;
	for (let i = 0; i < 4; i++) {
		const guest = new MemoryGuest({ pageCount: 1000 });
		guest.write(0, program.memory);
		for (let page = i * 7; page < 1000; page += 40) guest.write(page * PAGE_BYTES, random.fill(new Uint8Array(300)));
		const { id } = await save(open(), guest);
		assertIs(await restoreAll(open(), id), remember(guest));
		if (i === 0) one = await bytesOf(store);
	}
	const ratio = (await bytesOf(store)) / one;
	assert.ok(ratio <= 1.3, `${ratio} times`);
});

/** A snapshot of a guest with this code. @returns its id, and whether the code had to be given. */
async function saveWithCode(snapshots: SnapshotStore, guest: MemoryGuest, code: Uint8Array<ArrayBuffer>) {
	const hash = toHex(new Uint8Array(await crypto.subtle.digest("SHA-256", code)));
	const resources = [{ name: "code", hash, byteLength: code.byteLength }];
	const writer = await snapshots.begin({ layout: { ...guest.state.layout(), resources } });
	const isMissing = writer.missingResources.length > 0;
	if (isMissing) await writer.addResource(hash, code);
	await acceptPages(writer, guest);
	const { id } = await writer.commit({ state: guest.getState() });
	return { id, hash, isMissing };
}

test("code is stored once for all guests that run it, and outlives the snapshot that brought it", async () => {
	const { random, store, open } = world(12);
	const code = random.fill(new Uint8Array(50_000));
	const first = await saveWithCode(open(), guestOf(random, 3), code);
	const second = await saveWithCode(open(), guestOf(random, 3), code);
	assert.equal([first.isMissing, second.isMissing], [true, false]);
	assert.is((await store.list("snapshots/resources/")).length, 1);
	await open().delete(first.id);
	await open().prune({ deadWriters: "all" });
	await open().verify(second.id);
	assert.equal(await (await open().open(second.id)).resource(second.hash), code);
	await open().delete(second.id);
	await open().prune({ deadWriters: "all" });
	assert.equal(await store.list("snapshots/resources/"), []);
});

test("code that is damaged in the store is asked for again", async () => {
	const { random, store, open } = world(13);
	const code = random.fill(new Uint8Array(5000));
	await saveWithCode(open(), guestOf(random, 3), code);
	const [name] = await store.list("snapshots/resources/");
	const bytes = await store.get(name!);
	await store.delete(name!);
	await store.put(name!, bytes.with(2000, bytes[2000]! ^ 1));
	const again = await saveWithCode(open(), guestOf(random, 3), code);
	assert.ok(again.isMissing);
	await open().verify(again.id);
});

test("zero pages cost nothing, however many", async () => {
	const { store, snapshots } = world(3);
	const guest = new MemoryGuest({ pageCount: 20_000 });
	guest.write(0, Uint8Array.of(1));
	const info = await save(snapshots, guest);
	assert.is(info.storedPages, 1);
	assert.ok((await bytesOf(store)) < 3000, `${await bytesOf(store)} bytes`);
	assertIs(await restoreAll(snapshots, info.id), remember(guest));
});

test("a content that appears at several places of one guest is stored once", async () => {
	const { random, snapshots } = world(4);
	const guest = new MemoryGuest({ pageCount: 100 });
	const noise = random.fill(new Uint8Array(PAGE_BYTES));
	for (let page = 0; page < 100; page += 3) guest.write(page * PAGE_BYTES, noise);
	const writer = await snapshots.begin({ layout: guest.state.layout() });
	await acceptPages(writer, guest, undefined, 1);
	assert.is(writer.figures.storedPages, 1);
	assert.is(writer.figures.sharedPages, 33);
	const { id } = await writer.commit({ state: guest.getState() });
	assertIs(await restoreAll(snapshots, id), remember(guest));
});

test("the same content is recognised whether it was compressed or not", async () => {
	const { random, snapshots } = world(5);
	const guest = guestOf(random, 60);
	await save(snapshots, guest);
	const writer = await snapshots.begin({ layout: guest.state.layout() });
	const pages = Uint32Array.from({ length: 60 }, (_, page) => page);
	await writer.accept(await guest.pages.encode(pages, { compress: false }));
	assert.is(writer.figures.storedPages, 0);
	const { id } = await writer.commit({ state: guest.getState() });
	assertIs(await restoreAll(snapshots, id), remember(guest));
});

test("two contents with one hash are two contents: bytes decide", async () => {
	const { random, snapshots } = world(6);
	const guest = guestOf(random, 4);
	for (let page = 0; page < 4; page++) guest.write(page * PAGE_BYTES, random.fill(new Uint8Array(PAGE_BYTES)));
	await save(snapshots, guest, { pages: [0] });
	// A batch of another content under the first one's hash: what somebody who can make two contents collide would send.
	const first = await guest.pages.encode(Uint32Array.of(0), { compress: false });
	const second = await guest.pages.encode(Uint32Array.of(1), { compress: false });
	const bytes = second.bytes.slice();
	bytes.set(first.bytes.subarray(24, 40), 24);
	const writer = await snapshots.begin({ layout: guest.state.layout() });
	await writer.accept({ bytes, checksum: batchChecksum(createEngine(), bytes) });
	assert.is(writer.figures.sharedPages, 0);
	assert.is(writer.figures.storedPages, 1);
	await writer.abort();
});

test("a page that changes and changes back within a snapshot counts as it was last", async () => {
	const { random, snapshots } = world(7);
	const guest = guestOf(random, 30);
	const writer = await snapshots.begin({ layout: guest.state.layout() });
	await acceptPages(writer, guest);
	for (let round = 0; round < 20; round++) {
		const page = random.nextU32() % 30;
		guest.write(page * PAGE_BYTES, round % 4 === 0 ? new Uint8Array(PAGE_BYTES) : random.fill(new Uint8Array(80)));
		await acceptPages(writer, guest, [page]);
	}
	const { id } = await writer.commit({ state: guest.getState() });
	await snapshots.verify(id);
	assertIs(await restoreAll(snapshots, id), remember(guest));
});

test("packs end at about 32 MiB, and batches that are accepted at once keep their order", async () => {
	const { random, store, snapshots } = world(8);
	const pageCount = 12 * MAX_BATCH_PAGES;
	const guest = new MemoryGuest({ pageCount });
	const noise = random.fill(new Uint8Array(PAGE_BYTES));
	for (let page = 0; page < pageCount; page++) {
		new DataView(noise.buffer).setUint32(0, page);
		guest.write(page * PAGE_BYTES, noise);
	}
	const writer = await snapshots.begin({ layout: guest.state.layout() });
	const accepted: Promise<void>[] = [];
	for (let first = 0; first < pageCount; first += MAX_BATCH_PAGES) {
		const pages = Uint32Array.from({ length: MAX_BATCH_PAGES }, (_, i) => first + i);
		accepted.push(writer.accept(await guest.pages.encode(pages, { compress: false })));
	}
	guest.write(0, Uint8Array.of(7));
	accepted.push(writer.accept(await guest.pages.encode(Uint32Array.of(0), { compress: false })));
	await Promise.all(accepted);
	const { id } = await writer.commit({ state: guest.getState() });
	const packs = await store.list("snapshots/packs/");
	assert.is(packs.length, 2);
	for (const name of packs) assert.ok((await store.get(name)).byteLength < 35 * 2 ** 20);
	assertIs(await restoreAll(snapshots, id), remember(guest));
});

test("a long history restores in one pass: no chain is longer than sixteen tables", async () => {
	const { random, store, snapshots, open } = world(9);
	const guest = guestOf(random, 500);
	let info = await save(snapshots, guest);
	let read = 0;
	const counting: Store = {
		put: (name, bytes) => store.put(name, bytes),
		get: (name, range) => {
			if (name.includes("manifest")) read++;
			return store.get(name, range);
		},
		list: (prefix) => store.list(prefix),
		delete: (name) => store.delete(name),
		readReference: (name) => store.readReference(name),
		compareAndSetReference: (name, expected, next) => store.compareAndSetReference(name, expected, next),
		listReferences: (prefix) => store.listReferences(prefix),
	};
	let most = 0;
	for (let i = 0; i < 50; i++) {
		guest.write((i % 500) * PAGE_BYTES, random.fill(new Uint8Array(100)));
		info = await save(i % 2 === 0 ? snapshots : open(), guest, { parent: info.id, pages: [i % 500] });
		read = 0;
		await new SnapshotStore(counting, { clock: systemClock, random }).open(info.id);
		most = Math.max(most, read);
	}
	assert.is(most, 16);
	assertIs(await restoreAll(open(), info.id), remember(guest));
});

test("which pages differ between two snapshots, of any two guests", async () => {
	const { random, snapshots } = world(10);
	const guest = guestOf(random, 50, 80);
	const first = await save(snapshots, guest);
	for (const page of [0, 7, 49]) guest.write(page * PAGE_BYTES, random.fill(new Uint8Array(100)));
	guest.growMemory(60);
	guest.write(55 * PAGE_BYTES, Uint8Array.of(1));
	const second = await save(snapshots, guest, { parent: first.id, pages: [0, 7, 49, 55] });
	for (const [a, b] of [
		[first.id, second.id],
		[second.id, first.id],
	] as const) {
		const { bits, differentPages, pageCount, stateDiffers } = await snapshots.diff(a, b);
		const pages = Array.from({ length: pageCount }, (_, page) => page).filter(
			(page) => ((bits[page >>> 3]! >>> (page & 7)) & 1) === 1,
		);
		assert.equal(pages, [0, 7, 49, 55]);
		assert.is(differentPages, 4);
		assert.not.ok(stateDiffers);
	}
	assert.is((await snapshots.diff(first.id, first.id)).differentPages, 0);
});

test("an exported image is self-contained, code and all, and becomes a snapshot of its own elsewhere", async () => {
	const { random, snapshots } = world(11);
	const guest = guestOf(random, 300);
	const code = random.fill(new Uint8Array(1_500_000));
	const hash = Array.from(new Uint8Array(await crypto.subtle.digest("SHA-256", code)), (byte) =>
		byte.toString(16).padStart(2, "0"),
	).join("");
	const layout = { ...guest.state.layout(), resources: [{ name: "code", hash, byteLength: code.byteLength }] };
	const writer = await snapshots.begin({ layout, label: "for export" });
	assert.equal(writer.missingResources, [hash]);
	await writer.addResource(hash, code);
	await acceptPages(writer, guest);
	const first = await writer.commit({ state: guest.getState(), facts: { why: "test" } });
	guest.write(0, Uint8Array.of(5));
	const child = await snapshots.begin({ layout, parent: first.id });
	assert.equal(child.missingResources, [], "the parent's code is at hand");
	await acceptPages(child, guest, [0]);
	const second = await child.commit({ state: guest.getState() });
	const elsewhere = world(12).snapshots;
	for (const [id, chunk] of [
		[first.id, 1000],
		[second.id, 1_000_000],
	] as const) {
		const imported = await elsewhere.import(rechunked(snapshots.export(id), chunk));
		assert.is(imported.digest, (await snapshots.open(id)).info.digest);
		await elsewhere.verify(imported.id);
		assert.equal(await (await elsewhere.open(imported.id)).resource(hash), code);
	}
	const [one, other] = await elsewhere.list();
	assert.equal(one?.facts, { why: "test" });
	assert.is(one?.label, "for export");
	assertIs(await restoreAll(elsewhere, other!.id), remember(guest));
});

/** The same bytes in pieces of another size. */
async function* rechunked(chunks: AsyncIterable<Uint8Array>, byteLength: number): AsyncGenerator<Uint8Array> {
	let rest = new Uint8Array(0);
	for await (const chunk of chunks) {
		const joined = new Uint8Array(rest.byteLength + chunk.byteLength);
		joined.set(rest);
		joined.set(chunk, rest.byteLength);
		let at = 0;
		for (; joined.byteLength - at >= byteLength; at += byteLength) yield joined.subarray(at, at + byteLength);
		rest = joined.slice(at);
	}
	yield rest;
}

test.run();
