// Images whose checksums are all right and whose contents are not: other versions, sizes beyond every limit, chains that lead
// nowhere, tables and indexes that contradict what they speak of. Each is refused by name, before anything is allocated for it.
import { suite } from "uvu";
import * as assert from "uvu/assert";
import { batchChecksum } from "../../bindings/engine/batch.ts";
import { createEngine } from "../../bindings/engine/engine.ts";
import { hash64 as hash64In, hash128 as hash128In } from "../../bindings/engine/hash.ts";
import { MemoryStore } from "../../bindings/lab/memory-store.ts";
import { SeededRandom } from "../../bindings/lab/seeded-random.ts";
import { systemClock } from "../../bindings/platform/system-clock.ts";
import { PAGE_BYTES } from "../../bindings/ports/guest.ts";
import { identityOf, readFrame } from "../../bindings/snapshot/image.ts";
import { ObjectBuilder } from "../../bindings/snapshot/image-builder.ts";
import { SnapshotError, type SnapshotErrorCode, SnapshotStore } from "../../bindings/snapshot/store.ts";
import { encodeFrameHeader, FRAME_HEADER_BYTES } from "../../bindings/wire/frame.ts";
import { IMAGE_TYPES, OPTIONAL_BIT, RECORD_TYPES } from "../../bindings/wire/record-types.ts";
import { decodeRecord, encodeRecord } from "../../bindings/wire/records.ts";
import { failsWith, failureOf } from "../contract/suites/failures.ts";
import { acceptPages, assertIs, guestOf, remember, restoreAll, save } from "../simulation/snapshot-store-world.ts";

const test = suite("forged snapshots");
const engine = createEngine();

interface Frame {
	type: number;
	payload: Uint8Array<ArrayBuffer>;
}

/** A store with a parent and a child, and a way to make their manifests anew. */
class Forge {
	readonly store = new MemoryStore();
	readonly random = new SeededRandom(8);
	readonly guest = guestOf(this.random, 12);
	parent = "";
	child = "";

	open(options: { readonly maximumPageCount?: number } = {}): SnapshotStore {
		return new SnapshotStore(this.store, { clock: systemClock, random: this.random, ...options });
	}

	async fill(): Promise<this> {
		for (let page = 0; page < 12; page++) this.guest.write(page * PAGE_BYTES, Uint8Array.of(page + 1));
		this.parent = (await save(this.open(), this.guest)).id;
		this.guest.write(PAGE_BYTES, Uint8Array.of(1, 2, 3));
		this.child = (await save(this.open(), this.guest, { parent: this.parent, pages: [1] })).id;
		return this;
	}

	/** The frames of an object, but its first and its last. */
	async frames(name: string): Promise<Frame[]> {
		const bytes = await this.store.get(name);
		const frames: Frame[] = [];
		for (let at = 0; at < bytes.byteLength; ) {
			const { type, payload } = readFrame(engine, bytes, at, { offset: at });
			frames.push({ type, payload: payload.slice() });
			at += FRAME_HEADER_BYTES + payload.byteLength;
		}
		return frames.slice(1, -1);
	}

	/** Puts other frames under an object's name, all checksums right. @returns the new reference as the head has it. */
	async replace(name: string, frames: readonly Frame[], first?: (payload: Uint8Array) => void) {
		const builder = new ObjectBuilder(engine, identityOf(name)!);
		for (const { type, payload } of frames) builder.append(type, payload);
		let built = builder.finish();
		if (first !== undefined) {
			const other = new AlteredBuilder(built.bytes, first);
			built = { ...built, ...other.rebuilt(frames) };
		}
		await this.store.delete(name);
		await this.store.put(name, built.bytes.slice());
		return { object: name, byteLength: built.byteLength, digest: built.digest };
	}

	/** Makes a snapshot's manifest anew from other frames, and points its head to it. */
	async forge(id: string, change: (frames: Frame[]) => void, first?: (payload: Uint8Array) => void): Promise<void> {
		const name = `snapshots/manifests/${id}-0`;
		const frames = await this.frames(name);
		change(frames);
		const manifest = await this.replace(name, frames, first);
		await this.head(id, (head) => ({ ...head, manifest }));
	}

	async head(id: string, change: (head: Record<string, unknown>) => Record<string, unknown>): Promise<void> {
		const name = `snapshots/heads/${id.slice(-8)}`;
		const raw = await this.store.readReference(name);
		const next = change(JSON.parse(new TextDecoder().decode(raw)));
		assert.ok(await this.store.compareAndSetReference(name, raw, new TextEncoder().encode(JSON.stringify(next))));
	}

	/** Every way to look at a snapshot fails, with this code. */
	async refused(id: string, code: SnapshotErrorCode, message: RegExp, options = {}): Promise<void> {
		const error = await failsWith(SnapshotError, code, this.open(options).open(id));
		assert.match(error.message, message);
		await failsWith(SnapshotError, code, this.open(options).verify(id));
		await failsWith(SnapshotError, code, this.open(options).begin({ layout: this.guest.state.layout(), parent: id }));
		assert.is((await this.store.listReferences("snapshots/heads/")).length, 2, "a failed begin leaves no reservation");
	}
}

/** An object with another image record, every checksum made anew. */
class AlteredBuilder {
	readonly #record: Uint8Array<ArrayBuffer>;

	constructor(bytes: Uint8Array<ArrayBuffer>, change: (payload: Uint8Array) => void) {
		this.#record = bytes.slice(FRAME_HEADER_BYTES, 2 * FRAME_HEADER_BYTES);
		change(this.#record);
	}

	/** The first frame of a builder cannot be chosen: it is overwritten, and the headers are hashed again. */
	rebuilt(frames: readonly Frame[]) {
		const builder = new RawBuilder();
		builder.append(IMAGE_TYPES.image, this.#record);
		for (const { type, payload } of frames) builder.append(type, payload);
		return builder.finish();
	}
}

/** Builds an object without an image record of its own: the tests' own writer of frames. */
class RawBuilder {
	readonly #frames: Frame[] = [];

	append(type: number, payload: Uint8Array<ArrayBuffer>): void {
		this.#frames.push({ type, payload });
	}

	finish() {
		const { hash64, hash128, header } = hashes;
		const headers = this.#frames.map(({ type, payload }, sequence) => header(type, sequence, payload, hash64));
		const all = Uint8Array.from(headers.flatMap((bytes) => [...bytes]));
		const trailer = new Uint8Array(24);
		const view = new DataView(trailer.buffer);
		view.setUint32(0, headers.length, true);
		view.setUint32(4, FRAME_HEADER_BYTES + this.#frames.at(-1)!.payload.byteLength, true);
		const digest = hash128(all);
		trailer.set(digest, 8);
		this.#frames.push({ type: IMAGE_TYPES.trailer, payload: trailer });
		headers.push(header(IMAGE_TYPES.trailer, headers.length, trailer, hash64));
		const bytes = Uint8Array.from(this.#frames.flatMap(({ payload }, i) => [...headers[i]!, ...payload]));
		return { bytes, byteLength: bytes.byteLength, digest: hex(digest) };
	}
}

const hashes = {
	hash64: (bytes: Uint8Array) => hash64In(engine, bytes),
	hash128: (bytes: Uint8Array) => hash128In(engine, bytes),
	header: (type: number, sequence: number, payload: Uint8Array, hash64: (bytes: Uint8Array) => bigint) =>
		encodeFrameHeader(
			{
				lane: 0,
				modelledByteLength: 0,
				type,
				sequence,
				payloadByteLength: payload.byteLength,
				checksum: type === RECORD_TYPES.batch ? batchChecksum(engine, payload) : hash64(payload),
			},
			hash64,
		),
};
const hex = (bytes: Uint8Array) => Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");

/** Changes the description's JSON. */
const describe = (change: (json: Record<string, unknown>) => void) => (frames: Frame[]) => {
	const json = JSON.parse(new TextDecoder().decode(frames[0]!.payload));
	change(json);
	frames[0] = { type: IMAGE_TYPES.description, payload: new TextEncoder().encode(JSON.stringify(json)) };
};

const of = (frames: readonly Frame[], type: number) => frames.find((frame) => frame.type === type)!;
const u32 = (frame: Frame, at: number, value: number) =>
	new DataView(frame.payload.buffer, frame.payload.byteOffset).setUint32(at, value, true);

test("the forge itself makes nothing wrong", async () => {
	const forge = await new Forge().fill();
	await forge.forge(forge.child, () => {});
	await forge.open().verify(forge.child);
	assertIs(await restoreAll(forge.open(), forge.child), remember(forge.guest));
	await forge.forge(
		forge.child,
		() => {},
		() => {},
	);
	await forge.open().verify(forge.child);
});

test("other format versions are refused by number, whatever follows", async () => {
	for (const version of [0, 2, 999, 0xffff]) {
		const forge = await new Forge().fill();
		const put = (payload: Uint8Array) => new DataView(payload.buffer, payload.byteOffset).setUint16(0, version, true);
		await forge.forge(forge.child, (frames) => frames.push({ type: 95, payload: new Uint8Array(3) }), put);
		await forge.refused(forge.child, "unsupported-version", new RegExp(`version ${version}, this side reads 1 to 1`));
		await forge.open().verify(forge.parent);
	}
});

test("an optional record that nobody knows is passed over, a mandatory one is refused", async () => {
	const forge = await new Forge().fill();
	await forge.forge(forge.child, (frames) =>
		frames.splice(2, 0, { type: 95 | OPTIONAL_BIT, payload: new Uint8Array(9) }),
	);
	await forge.open().verify(forge.child);
	assertIs(await restoreAll(forge.open(), forge.child), remember(forge.guest));
	await forge.forge(forge.child, (frames) => frames.splice(2, 0, { type: 95, payload: new Uint8Array(9) }));
	await forge.refused(forge.child, "corrupt", /type 95 .*does not know/);
});

test("a guest larger than this side takes is refused before its table is made", async () => {
	const forge = await new Forge().fill();
	await forge.refused(forge.child, "too-large", /12 pages, at most 11/, { maximumPageCount: 11 });
	const huge = describe((json) => {
		json.layout = { ...(json.layout as object), pageCount: 0xffff_fff0, maximumPageCount: 0xffff_fff0 };
	});
	await forge.forge(forge.child, huge);
	await forge.refused(forge.child, "too-large", /4294967280 pages/);
});

test("sizes beyond their limits are refused before anything is read for them", async () => {
	const forge = await new Forge().fill();
	await forge.head(forge.child, (head) => ({
		...head,
		manifest: { ...(head.manifest as object), byteLength: 2 ** 50 },
	}));
	await forge.refused(forge.child, "too-large", /1125899906842624 bytes/);
	const packs = await new Forge().fill();
	await packs.forge(packs.child, (frames) => {
		new DataView(of(frames, IMAGE_TYPES.packs).payload.buffer).setBigUint64(24, 2n ** 40n, true);
	});
	await packs.refused(packs.child, "too-large", /packs \d+: pack 0 has/);
	const state = await new Forge().fill();
	await state.forge(
		state.child,
		describe((json) => {
			json.stateByteLength = 2 ** 40;
		}),
	);
	await state.refused(state.child, "corrupt", /stateByteLength/);
});

test("a chain that is cyclic, too long or does not fit is refused", async () => {
	const forge = await new Forge().fill();
	const name = `snapshots/manifests/${forge.parent}-0`;
	const child = await forge.store.get(`snapshots/manifests/${forge.child}-0`);
	// Two manifests that build on each other: whatever they say of their places in the chain, one of them is wrong.
	const base = { object: `snapshots/manifests/${forge.child}-0`, byteLength: child.byteLength, digest: "0".repeat(32) };
	for (const [chain, code, message] of [
		[1, "chain", /builds on a page table that is not the one below it/],
		[0, "digest", /have the digest/],
		[15, "chain", /builds on a page table/],
		[16, "corrupt", /chain/],
	] as const) {
		const cyclic = await new Forge().fill();
		const frames = await cyclic.frames(name.replace(forge.parent, cyclic.parent));
		describe((json) => {
			json.chain = chain;
			json.base = { ...base, object: base.object.replace(forge.child, cyclic.child) };
			json.facts = { chain: `${chain}` };
		})(frames);
		if (chain === 0) of(frames, IMAGE_TYPES.table).payload.fill(1, -16);
		const parent = await cyclic.replace(`snapshots/manifests/${cyclic.parent}-0`, frames);
		await cyclic.forge(
			cyclic.child,
			describe((json) => {
				json.base = parent;
			}),
		);
		await cyclic.refused(cyclic.child, code, message);
	}
});

test("a base that is another object than the one referred to is refused", async () => {
	const forge = await new Forge().fill();
	const frames = await forge.frames(`snapshots/manifests/${forge.parent}-0`);
	describe((json) => {
		json.label = "exchanged";
	})(frames);
	await forge.replace(`snapshots/manifests/${forge.parent}-0`, frames);
	const error = await failureOf(forge.open().open(forge.child));
	assert.instance(error, SnapshotError);
	assert.ok(["corrupt"].includes((error as SnapshotError).code), String(error));
});

test("page tables that contradict themselves are refused by record and page", async () => {
	const changes: readonly (readonly [string, (frame: Frame) => void, RegExp])[] = [
		["more extents than there are", (frame) => u32(frame, 0, 2 ** 31), /table \d+: has another length/],
		["more hashes than there are", (frame) => u32(frame, 4, 2 ** 31), /table \d+: has another length/],
		["a page that the guest does not have", (frame) => u32(frame, 8, 12), /page 12: extents/],
		["pages around the end of numbers", (frame) => u32(frame, 12, 0xffff_ffff), /extents/],
		["an empty extent", (frame) => u32(frame, 12, 0), /extents/],
		["a pack that is not named", (frame) => u32(frame, 16, 1), /names an entry that no pack has/],
		["an entry that the pack does not have", (frame) => u32(frame, 20, 1), /names an entry that no pack has/],
		["pages that are zero and have hashes", (frame) => u32(frame, 16, 0xffff_ffff), /too many hashes/],
	];
	for (const [what, change, message] of changes) {
		const forge = await new Forge().fill();
		await forge.forge(forge.child, (frames) => change(of(frames, IMAGE_TYPES.table)));
		await forge.refused(forge.child, "corrupt", message);
		assert.ok(what);
	}
	const forge = await new Forge().fill();
	await forge.forge(forge.child, (frames) => of(frames, IMAGE_TYPES.table).payload.fill(7, -16));
	await forge.refused(forge.child, "digest", /pages and state have the digest/);
});

test("records that are out of place, missing or twice are refused", async () => {
	const changes: readonly ((frames: Frame[]) => void)[] = [
		(frames) => frames.reverse(),
		(frames) => frames.splice(0, 1),
		(frames) => frames.splice(0, 0, frames[0]!),
		(frames) =>
			frames.splice(
				frames.findIndex(({ type }) => type === RECORD_TYPES.state),
				1,
			),
		(frames) => frames.push(of(frames, RECORD_TYPES.state)),
		(frames) => frames.push(of(frames, IMAGE_TYPES.packs)),
		(frames) => frames.push(of(frames, IMAGE_TYPES.table)),
		(frames) => frames.push({ type: RECORD_TYPES.batch, payload: new Uint8Array(16) }),
		(frames) => frames.push({ type: RECORD_TYPES.hello, payload: new Uint8Array(16) }),
	];
	for (const change of changes) {
		const forge = await new Forge().fill();
		await forge.forge(forge.child, change);
		await forge.refused(forge.child, "corrupt", /./);
	}
});

test("descriptions that are none are refused by field", async () => {
	const values: readonly (readonly [string, unknown])[] = [
		["id", "x"],
		["id", 5],
		["sequence", 0],
		["sequence", -1],
		["sequence", 1.5],
		["digest", "abc"],
		["chain", -1],
		["base", null],
		["base", { object: "../../etc/passwd", byteLength: 1, digest: "0".repeat(32) }],
		["base", { object: `snapshots/packs/${"0".repeat(32)}-0`, byteLength: 1, digest: "0".repeat(32) }],
		["layout", []],
		["layout", { kind: "memory" }],
		["facts", { __proto__: 1 }],
		["facts", 7],
		["resources", {}],
		["resources", [{ hash: "0".repeat(64), object: "x", byteLength: 1, digest: "0".repeat(32) }]],
		["label", "x".repeat(1000)],
		["storedPages", -1],
	];
	for (const [field, value] of values) {
		const forge = await new Forge().fill();
		await forge.forge(
			forge.child,
			describe((json) => {
				json[field] = value;
				if (field === "facts" && typeof value === "object") json[field] = JSON.parse('{"__proto__": "1"}');
			}),
		);
		await forge.refused(forge.child, "corrupt", new RegExp(`description 1.*${field}`));
	}
	for (const payload of [new Uint8Array(0), Uint8Array.of(0xff, 0xfe), new TextEncoder().encode("[]")]) {
		const forge = await new Forge().fill();
		await forge.forge(forge.child, (frames) => {
			frames[0] = { type: IMAGE_TYPES.description, payload };
		});
		await forge.refused(forge.child, "corrupt", /description 1/);
	}
});

test("a pack whose index contradicts its batches is found by a verification, and by whoever installs a page", async () => {
	const changes: readonly ((index: Frame) => void)[] = [
		(index) => index.payload.fill(3, 0, 16), // another hash
		(index) => u32(index, 16, 7), // another batch
		(index) => u32(index, 20, 41), // another payload
		(index) => u32(index, 24, 4096 | (1 << 24)), // another length
		(index) => u32(index, 24, 10 | (2 << 24)),
		(index) => u32(index, 24, 10 | (4 << 24)), // a delta
		(index) => u32(index, 28, 0), // another page
	];
	for (const [i, change] of changes.entries()) {
		const forge = await new Forge().fill();
		const name = `snapshots/packs/${forge.child}-0`;
		const frames = await forge.frames(name);
		change(of(frames, IMAGE_TYPES.index));
		const pack = await forge.replace(name, frames);
		await forge.forge(forge.child, (manifest) => {
			const { payload } = of(manifest, IMAGE_TYPES.packs);
			for (let byte = 0; byte < 16; byte++)
				payload[32 + byte] = Number.parseInt(pack.digest.slice(2 * byte, 2 * byte + 2), 16);
		});
		const error = await failsWith(SnapshotError, "corrupt", forge.open().verify(forge.child));
		assert.match(error.message, /snapshots\/packs\//, `change ${i}`);
		try {
			assertIs(await restoreAll(forge.open(), forge.child), remember(forge.guest), `change ${i}`);
		} catch (restoring) {
			const names = ["SnapshotError", "BatchError"];
			if (!(restoring instanceof Error) || !names.includes(restoring.name)) throw restoring;
		}
	}
});

test("contents that do not have their hash are found by a verification, by page", async () => {
	const forge = await new Forge().fill();
	const name = `snapshots/packs/${forge.child}-0`;
	const frames = await forge.frames(name);
	const batch = of(frames, RECORD_TYPES.batch);
	batch.payload.fill(9, 24, 40);
	of(frames, IMAGE_TYPES.index).payload.fill(9, 0, 16);
	const pack = await forge.replace(name, frames);
	await forge.forge(forge.child, (manifest) => {
		const { payload } = of(manifest, IMAGE_TYPES.packs);
		for (let byte = 0; byte < 16; byte++)
			payload[32 + byte] = Number.parseInt(pack.digest.slice(2 * byte, 2 * byte + 2), 16);
	});
	const error = await failsWith(SnapshotError, "corrupt", forge.open().verify(forge.child));
	assert.is(error.pageIndex, 1);
	assert.match(error.message, /corrupt-page/);
});

test("a batch that makes no sense is refused by a writer, which then takes nothing more", async () => {
	const forge = await new Forge().fill();
	const batch = await forge.guest.pages.encode(Uint32Array.of(0, 1), { compress: true });
	const bad: readonly ((bytes: Uint8Array) => void)[] = [
		(bytes) => bytes.fill(0xff, 0, 4),
		(bytes) => bytes.fill(0xff, 16, 20), // page index
		(bytes) => bytes.fill(0xff, 20, 23), // length
		(bytes) => bytes.fill(3, 23, 24), // unchanged: a delta's kind
		(bytes) => bytes.fill(5, 23, 24),
	];
	for (const change of bad) {
		const writer = await forge.open().begin({ layout: forge.guest.state.layout() });
		const bytes = batch.bytes.slice();
		change(bytes);
		await failsWith(SnapshotError, "corrupt", writer.accept({ bytes, checksum: batch.checksum }));
		await failsWith(SnapshotError, "corrupt", acceptPages(writer, forge.guest));
		await failsWith(SnapshotError, "corrupt", writer.commit({ state: new Uint8Array(0) }));
		await writer.abort();
	}
	assert.is((await forge.open().list()).length, 2);
});

test("an image from elsewhere cannot bring pages twice, pages that there are not, code that is not asked for, or another format", async () => {
	const forge = await new Forge().fill();
	const chunks: Uint8Array[] = [];
	for await (const chunk of forge.open().export(forge.child)) chunks.push(chunk.slice());
	const frames: Frame[] = [];
	for (let i = 0; i < chunks.length; i += 2)
		frames.push({ type: new DataView(chunks[i]!.buffer).getUint16(6, true), payload: new Uint8Array(chunks[i + 1]!) });
	const inner = frames.slice(1, -1);
	const rebuild = (change: (frames: Frame[]) => void, first = frames[0]!.payload) => {
		const builder = new RawBuilder();
		const changed = inner.map(({ type, payload }) => ({ type, payload: payload.slice() }));
		change(changed);
		builder.append(IMAGE_TYPES.image, first);
		for (const { type, payload } of changed) builder.append(type, payload);
		return builder.finish().bytes;
	};
	const place = new SnapshotStore(new MemoryStore(), { clock: systemClock, random: new SeededRandom(4) });
	await place.import([rebuild(() => {})]);
	const bad: readonly (readonly [RegExp, (frames: Frame[]) => void])[] = [
		[/has a page that came before/, (changed) => changed.push(of(changed, RECORD_TYPES.batch))],
		[/is not where an image may have it/, (changed) => changed.push(of(changed, RECORD_TYPES.state))],
		[/resource/, (changed) => changed.splice(1, 0, { type: RECORD_TYPES.resource, payload: new Uint8Array(50) })],
		[/have the digest/, (changed) => changed.splice(-1, 1)],
		[/bad-index/, describe((json) => Object.assign(json, { layout: { ...(json.layout as object), pageCount: 1 } }))],
		[
			/at most/,
			describe((json) => {
				json.layout = { ...(json.layout as object), pageCount: 2 ** 31, maximumPageCount: 2 ** 31 };
			}),
		],
	];
	for (const [message, change] of bad) {
		const error = await failureOf(place.import([rebuild(change)]));
		assert.instance(error, SnapshotError);
		assert.match(String(error), message);
	}
	const record = frames[0]!.payload;
	for (const version of [0, 2, 0xffff]) {
		const other = rebuild(() => {}, Uint8Array.of(version & 0xff, version >> 8, ...record.subarray(2)));
		const error = await failsWith(SnapshotError, "unsupported-version", place.import([other]));
		assert.match(error.message, new RegExp(`version ${version}, this side reads 1 to 1`));
	}
	for (const role of [1, 2, 3, 5])
		await failsWith(
			SnapshotError,
			"foreign",
			place.import([rebuild(() => {}, Uint8Array.of(...record.subarray(0, 2), role, 0, ...record.subarray(4)))]),
		);
	const random = new SeededRandom(6);
	for (const foreign of [
		new Uint8Array(0),
		random.fill(new Uint8Array(5000)),
		new TextEncoder().encode("PK\u0003\u0004"),
	])
		assert.instance(await failureOf(place.import([foreign])), SnapshotError);
	assert.is((await place.list()).length, 1);
});

test("an image cannot go on for ever with pieces of nothing; pieces of a byte each, and records of later versions, are taken", async () => {
	const forge = await new Forge().fill();
	const chunks: Uint8Array[] = [];
	for await (const chunk of forge.open().export(forge.child)) chunks.push(chunk.slice());
	const frames: Frame[] = [];
	for (let i = 0; i < chunks.length; i += 2)
		frames.push({ type: new DataView(chunks[i]!.buffer).getUint16(6, true), payload: new Uint8Array(chunks[i + 1]!) });
	const place = new SnapshotStore(new MemoryStore(), { clock: systemClock, random: new SeededRandom(4) });
	const image = (change: (frames: Frame[]) => Frame[]) => {
		const builder = new RawBuilder();
		for (const { type, payload } of change(frames.slice(0, -1))) builder.append(type, payload);
		return place.import([builder.finish().bytes]);
	};
	const insteadOf = (type: number, others: (frame: Frame) => Frame[]) => (all: Frame[]) =>
		all.flatMap((frame) => (frame.type === type ? others(frame) : [frame]));
	const stateOf = ({ payload }: Frame) => {
		const record = decodeRecord({ type: RECORD_TYPES.state, payload, checksum: hashes.hash64(payload) });
		assert.is(record?.type, "state");
		return record as Extract<typeof record, { type: "state" }>;
	};
	const piece = (total: number, offset: number, bytes: Uint8Array<ArrayBuffer>) => ({
		type: RECORD_TYPES.state,
		payload: encodeRecord({ type: "state", offset, total, bytes }).payload.slice(),
	});
	/** What the encoder refuses as well: a piece whose byte is cut off. */
	const nothing = (total: number) => {
		const { type, payload } = piece(total, 0, Uint8Array.of(1));
		return { type, payload: payload.slice(0, -1) };
	};
	for (const change of [
		insteadOf(RECORD_TYPES.state, (frame) => [nothing(stateOf(frame).total), frame]),
		insteadOf(RECORD_TYPES.batch, (frame) => [{ type: frame.type, payload: new Uint8Array(16) }, frame]),
	]) {
		const error = await failsWith(SnapshotError, "corrupt", image(change));
		assert.match(error.message, /empty|without pages/);
	}
	const { digest } = await image(
		insteadOf(RECORD_TYPES.state, (frame) => {
			const { bytes, total } = stateOf(frame);
			assert.ok(total > 1);
			return Array.from(bytes, (byte, offset) => piece(total, offset, Uint8Array.of(byte)));
		}),
	);
	const later = { type: OPTIONAL_BIT | 0x7ff0, payload: new Uint8Array(8) };
	const again = await image(insteadOf(RECORD_TYPES.state, (frame) => [...Array<Frame>(300).fill(later), frame]));
	assert.is(again.digest, digest);
	assert.is((await place.list()).length, 2);
});

test.run();
