// Makes the fixtures of tests/vectors/images: a whole store as names and base64, an exported image, and a sealed store.
import { BatchEncoder } from "../../bindings/engine/batch.ts";
import { createEngine } from "../../bindings/engine/engine.ts";
import { MemoryStore } from "../../bindings/lab/memory-store.ts";
import { SeededRandom } from "../../bindings/lab/seeded-random.ts";
import { systemClock } from "../../bindings/platform/system-clock.ts";
import { type GuestLayout, PAGE_BYTES } from "../../bindings/ports/guest.ts";
import { importEncryptionKey, importSigningKey, type Sealing, SnapshotStore } from "../../bindings/snapshot/store.ts";
import {
	CHANGED_PAGES,
	CHILD_PAGES,
	CODE,
	childMemory,
	childState,
	ENCRYPTION_KEY,
	PARENT_PAGES,
	parentMemory,
	parentState,
	SIGNING_KEY,
} from "./images/contents.ts";

/** A store as text. */
export interface StoredFixture {
	readonly parent: string;
	readonly child: string;
	readonly objects: Readonly<Record<string, string>>;
	readonly references: Readonly<Record<string, string>>;
}

/** The fixture of one format version. */
export interface ImageFixture {
	readonly plain: StoredFixture;
	readonly sealed: StoredFixture;
	/** The child, exported. */
	readonly image: string;
}

/** Keys by which the sealed fixture was made. */
export async function fixtureSealing(): Promise<Sealing> {
	const signer = await importSigningKey(SIGNING_KEY);
	return {
		encryption: { keyId: "fixture", keys: new Map([["fixture", await importEncryptionKey(ENCRYPTION_KEY)]]) },
		signing: { keyId: "signer", key: signer, trusted: new Map([["signer", signer]]) },
	};
}

async function layoutOf(pageCount: number): Promise<GuestLayout> {
	const sum = new Uint8Array(await crypto.subtle.digest("SHA-256", CODE));
	const hash = Array.from(sum, (byte) => byte.toString(16).padStart(2, "0")).join("");
	const resources = [{ name: "code", hash, byteLength: CODE.byteLength }];
	return {
		kind: "memory",
		pageBytes: PAGE_BYTES,
		pageCount,
		maximumPageCount: 64,
		resources,
		facts: { program: "fixture" },
	};
}

async function fill(store: MemoryStore, sealing?: Sealing): Promise<{ parent: string; child: string; image: string }> {
	const random = new SeededRandom(1);
	const services = { clock: systemClock, random };
	const snapshots = new SnapshotStore(store, sealing === undefined ? services : { ...services, sealing });
	const encoder = new BatchEncoder(createEngine());
	const encode = (memory: Uint8Array, pages: readonly number[]) => {
		const { bytes, checksum } = encoder.encode({
			pageIndices: Uint32Array.from(pages),
			source: { kind: "memory", bytes: memory },
		});
		return { bytes: new Uint8Array(bytes), checksum };
	};
	const layout = await layoutOf(PARENT_PAGES);
	const first = await snapshots.begin({ layout, label: "parent", generation: "g-1" });
	await first.addResource(layout.resources[0]!.hash, CODE);
	await first.accept(
		encode(
			parentMemory(),
			Array.from({ length: PARENT_PAGES }, (_, page) => page),
		),
	);
	const parent = await first.commit({ state: parentState(), facts: { why: "fixture" } });
	const second = await snapshots.begin({ layout, parent: parent.id, label: "child" });
	await second.grow(CHILD_PAGES);
	await second.accept(encode(childMemory(), CHANGED_PAGES));
	const child = await second.commit({ state: childState() });
	const image: number[] = [];
	for await (const chunk of snapshots.export(child.id)) image.push(...chunk);
	return { parent: parent.id, child: child.id, image: base64(Uint8Array.from(image)) };
}

async function stored(store: MemoryStore, ids: { parent: string; child: string }): Promise<StoredFixture> {
	const objects: Record<string, string> = {};
	const references: Record<string, string> = {};
	for (const name of await store.list("")) objects[name] = base64(await store.get(name));
	for (const name of await store.listReferences("")) references[name] = base64((await store.readReference(name))!);
	return { parent: ids.parent, child: ids.child, objects, references };
}

const base64 = (bytes: Uint8Array): string => btoa(String.fromCharCode(...bytes));

/** A fixture of the format version that this code writes. */
export async function makeImageFixture(): Promise<ImageFixture> {
	const [plain, sealed] = [new MemoryStore(), new MemoryStore()];
	const ids = await fill(plain);
	const sealedIds = await fill(sealed, await fixtureSealing());
	return { plain: await stored(plain, ids), sealed: await stored(sealed, sealedIds), image: ids.image };
}
