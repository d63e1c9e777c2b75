/**
 * The contents that snapshots of a store hold already, pages and code, so that the next one can share them.
 *
 * Only objects of kept snapshots are in it: what a writer has not committed may be deleted at any moment. Whether a writer may
 * refer to an object is a matter of its reservation ({@link usableObjects}): it was there when the writer looked, after it had
 * made its reservation, and was not condemned.
 */
import { objectName } from "./image.ts";
import type { ObjectReference } from "./image-builder.ts";
import { SnapshotError } from "./image-error.ts";
import type { StoredResource } from "./manifest.ts";
import { PackDirectory } from "./pack-directory.ts";
import type { PackIndex } from "./pack-index.ts";
import { readCondemned } from "./prune-list.ts";
import type { Catalog } from "./store-catalog.ts";
import type { Condemned } from "./store-heads.ts";

/** See the head of this file. One per store and process. */
export class Contents {
	readonly #catalog: Catalog;
	readonly #limit: number;
	/** Slots of the packs of each manifest that was taken in. */
	readonly #manifests = new Map<string, readonly number[]>();
	readonly #slots = new Set<number>();
	/** Stored code by its SHA-256. */
	readonly #resources = new Map<string, StoredResource[]>();
	/** Objects of code that have been read once: they have their SHA-256. */
	readonly #readable = new Set<string>();
	#directory: PackDirectory;

	/** @param limit - pages that the directory holds at most. */
	constructor(catalog: Catalog, limit: number) {
		this.#catalog = catalog;
		this.#limit = limit;
		this.#directory = new PackDirectory(limit);
	}

	get directory(): PackDirectory {
		return this.#directory;
	}

	/** Takes in snapshots that were made since the last call. @returns the largest sequence number there is, or 0. */
	async refresh(): Promise<number> {
		// A damaged head is no reason not to make another snapshot, as little as a manifest that cannot be read.
		const heads = await this.#catalog.heads.list((error) => {
			if (error.code !== "corrupt") throw error;
		});
		const kept = heads.flatMap(({ head }) => (head.phase === "kept" ? [head] : []));
		this.#forget(new Set(kept.map(({ manifest }) => objectName(manifest.identity))));
		for (const { manifest } of kept) await this.#take(manifest);
		return kept.reduce((most, { sequence }) => Math.max(most, sequence), 0);
	}

	/** Takes in a pack that this process has written. */
	add(slot: number, index: PackIndex): void {
		if (this.#slots.has(slot)) return;
		this.#slots.add(slot);
		this.#directory.add(slot, index);
	}

	/**
	 * Code with this SHA-256 that the store has and a writer may refer to. It has been read once: whoever shares it gives no
	 * bytes of his own that could take its place.
	 */
	async resource(hash: string, { present }: UsableObjects): Promise<StoredResource | undefined> {
		for (const resource of this.#resources.get(hash) ?? []) {
			const name = objectName(resource.identity);
			if (!present.has(name)) continue;
			if (this.#readable.has(name)) return resource;
			try {
				await this.#catalog.resource(resource);
				this.#readable.add(name);
				return resource;
			} catch (error) {
				if (!(error instanceof SnapshotError)) throw error; // a damaged one is not shared
			}
		}
		return undefined;
	}

	/** Packs of snapshots that are no more stay in the directory, unused, until half of a full one is theirs. */
	#forget(present: ReadonlySet<string>): void {
		for (const name of this.#manifests.keys()) if (!present.has(name)) this.#manifests.delete(name);
		if (this.#directory.count < this.#limit) return;
		const used = new Set([...this.#manifests.values()].flat());
		if (2 * used.size > this.#slots.size) return;
		this.#directory = new PackDirectory(this.#limit);
		this.#slots.clear();
		this.#manifests.clear();
	}

	async #take(manifest: ObjectReference): Promise<void> {
		const { registry, packs } = this.#catalog;
		const name = objectName(manifest.identity);
		if (this.#manifests.has(name)) return;
		const slots: number[] = [];
		try {
			const start = await this.#catalog.manifestStart(manifest);
			for (const resource of start.description.resources) this.#noteResource(resource);
			for (const pack of start.packs) {
				const slot = registry.slotOf(pack);
				slots.push(slot);
				if (!this.#slots.has(slot)) this.add(slot, await packs.index(slot));
			}
		} catch (error) {
			// A snapshot that cannot be read is no reason not to make another one: nothing is shared with it.
			if (!(error instanceof SnapshotError)) throw error;
		}
		this.#manifests.set(name, slots);
	}

	#noteResource(resource: StoredResource): void {
		const known = this.#resources.get(resource.hash) ?? [];
		const name = objectName(resource.identity);
		if (known.some(({ identity }) => objectName(identity) === name)) return;
		this.#resources.set(resource.hash, [...known, resource]);
	}
}

/** See {@link usableObjects}. */
export interface UsableObjects {
	/** Names of the packs and the code that the writer may refer to. */
	readonly present: ReadonlySet<string>;
	/** Names of objects that it must never refer to, whoever else does. */
	readonly condemned: ReadonlySet<string>;
}

/** What a writer with this reservation may refer to. */
export async function usableObjects(catalog: Catalog, list: Condemned): Promise<UsableObjects> {
	// The list of condemned objects is read before the others are listed: what leaves it in between has been deleted.
	const condemned = new Set((await readCondemned(catalog, list)).map(({ name }) => name));
	const present = [...(await catalog.plain.list("pack")), ...(await catalog.plain.list("resource"))];
	return { present: new Set(present.map(objectName).filter((name) => !condemned.has(name))), condemned };
}
