// Images whose checksums are all right and whose contents are not: other versions, sizes beyond every limit, chains that lead
// nowhere, tables and indexes that contradict what they speak of. Each is refused by name, before anything is allocated for it.
import { suite } from "uvu";
import * as assert from "uvu/assert";
import { SnapshotError } from "../../bindings/snapshot/store.ts";
import { IMAGE_TYPES, OPTIONAL_BIT, RECORD_TYPES } from "../../bindings/wire/record-types.ts";
import { failsWith, failureOf } from "../contract/suites/failures.ts";
import { acceptPages, assertIs, remember, restoreAll } from "../simulation/snapshot-store-world.ts";

import { describe, Forge, type Frame, of, u32 } from "./snapshot-forge.ts";

const test = suite("forged snapshots");

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

test.run();
