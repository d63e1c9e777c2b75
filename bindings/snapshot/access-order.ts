/**
 * The order in which a guest touched its pages after a lazy restore, kept beside the snapshot: the next lazy restore of it
 * prefetches in that order. A hint and nothing more: a damaged one is left out, and the restore says so.
 *
 *   access-orders/<snapshot> (reference) ─▶ access-orders/<snapshot>/<random>: XXH3-64 of the rest · u32 per page
 *
 * Source: the anchors (REAP, FaaSnap: a guest touches much the same pages, in much the same order, each time it starts).
 */
import { createEngine } from "../engine/engine.ts";
import { hash64 } from "../engine/hash.ts";
import type { Random } from "../ports/random.ts";
import type { Store } from "../ports/store.ts";
import { toHex } from "../wire/digest.ts";

const PREFIX = "access-orders/";
const CHECKSUM_BYTES = 8;
/** Pages that are kept: 16 GiB of guest, 16 MiB of order. */
const MAX_ORDER_PAGES: number = 2 ** 22;

/** What is known of earlier runs. */
export type AccessOrder =
	| { readonly origin: "recorded"; readonly pages: Uint32Array<ArrayBuffer> }
	| { readonly origin: "none" | "damaged" };

/** See the head of this file. */
export class AccessOrders {
	readonly #store: Store;
	readonly #random: Random;

	constructor(store: Store, random: Random) {
		this.#store = store;
		this.#random = random;
	}

	/** The order of the last run of a snapshot. @throws {StoreError} */
	async read(snapshotId: string): Promise<AccessOrder> {
		const reference = await this.#store.readReference(PREFIX + snapshotId);
		if (reference === undefined) return { origin: "none" };
		const bytes = await this.#store.get(new TextDecoder().decode(reference));
		if (bytes.byteLength < CHECKSUM_BYTES || bytes.byteLength % 4 !== 0) return { origin: "damaged" };
		const content = bytes.slice(CHECKSUM_BYTES);
		const view = new DataView(bytes.buffer);
		if (checksumOf(content) !== view.getBigUint64(0, true)) return { origin: "damaged" };
		const pages = Uint32Array.from({ length: content.byteLength / 4 }, (_, i) =>
			view.getUint32(CHECKSUM_BYTES + 4 * i, true),
		);
		return { origin: "recorded", pages };
	}

	/** Keeps the order of a run in place of the one before. @returns whether nobody else was first. @throws {StoreError} */
	async note(snapshotId: string, pages: Uint32Array): Promise<boolean> {
		const kept = pages.subarray(0, MAX_ORDER_PAGES);
		const bytes = new Uint8Array(CHECKSUM_BYTES + kept.length * 4);
		const view = new DataView(bytes.buffer);
		for (const [i, page] of kept.entries()) view.setUint32(CHECKSUM_BYTES + 4 * i, page, true);
		view.setBigUint64(0, checksumOf(bytes.subarray(CHECKSUM_BYTES)), true);
		const name = `${PREFIX}${snapshotId}/${toHex(this.#random.fill(new Uint8Array(8)))}`;
		const before = await this.#store.readReference(PREFIX + snapshotId);
		await this.#store.put(name, bytes);
		const isMine = await this.#store.compareAndSetReference(
			PREFIX + snapshotId,
			before,
			new TextEncoder().encode(name),
		);
		const garbage = isMine ? before && new TextDecoder().decode(before) : name;
		if (garbage !== undefined) await this.#store.delete(garbage);
		return isMine;
	}

	/** Removes what is kept of snapshots that are not among these. @throws {StoreError} */
	async prune(present: ReadonlySet<string>): Promise<void> {
		for (const reference of await this.#store.listReferences(PREFIX)) {
			const snapshotId = reference.slice(PREFIX.length);
			if (present.has(snapshotId)) continue;
			const value = await this.#store.readReference(reference);
			if (value !== undefined) await this.#store.compareAndSetReference(reference, value, undefined);
		}
		for (const name of await this.#store.list(PREFIX)) {
			const [snapshotId = ""] = name.slice(PREFIX.length).split("/");
			if (!present.has(snapshotId)) await this.#store.delete(name);
		}
	}
}

function checksumOf(bytes: Uint8Array): bigint {
	return hash64(createEngine(), bytes);
}
