/**
 * The contents that snapshots of a store hold already, so that the next one can share them.
 *
 * Only packs of kept snapshots are in it: what a writer has not committed may be deleted at any moment. Whether a writer may
 * refer to a pack is a matter of its reservation ({@link usablePacks}): the pack was there when the writer looked, after it
 * had made its reservation, and was not condemned.
 */
import { objectName } from "./image.ts";
import { SnapshotError } from "./image-error.ts";
import { PackDirectory } from "./pack-directory.ts";
import type { PackIndex } from "./pack-index.ts";
import { readCondemned } from "./prune-list.ts";
import type { Catalog } from "./store-catalog.ts";
import type { Condemned } from "./store-heads.ts";

/** What is known of one kept snapshot. */
interface KnownHead {
	readonly sequence: number;
	readonly manifest: string;
}

/** See the head of this file. One per store and process. */
export class Contents {
	readonly #catalog: Catalog;
	readonly #directory: PackDirectory;
	readonly #heads = new Map<string, KnownHead>();
	readonly #slots = new Set<number>();

	/** @param limit - pages that the directory holds at most. */
	constructor(catalog: Catalog, limit: number) {
		this.#catalog = catalog;
		this.#directory = new PackDirectory(limit);
	}

	get directory(): PackDirectory {
		return this.#directory;
	}

	/** Takes in snapshots that were made since the last call. @returns the largest sequence number there is, or 0. */
	async refresh(): Promise<number> {
		const ids = await this.#catalog.heads.ids();
		const present = new Set(ids);
		for (const id of this.#heads.keys()) if (!present.has(id)) this.#heads.delete(id);
		for (const id of ids) if (!this.#heads.has(id)) await this.#take(id);
		let sequence = 0;
		for (const known of this.#heads.values()) sequence = Math.max(sequence, known.sequence);
		return sequence;
	}

	/** Takes in a pack that this process has written. */
	add(slot: number, index: PackIndex): void {
		if (this.#slots.has(slot)) return;
		this.#slots.add(slot);
		this.#directory.add(slot, index);
	}

	async #take(id: string): Promise<void> {
		const { heads, registry, packs } = this.#catalog;
		try {
			const found = await heads.read(id);
			if (found?.head.phase !== "kept") return;
			const { sequence, manifest } = found.head;
			this.#heads.set(id, { sequence, manifest: objectName(manifest.identity) });
			const start = await this.#catalog.manifestStart(manifest);
			for (const pack of start.packs) {
				const slot = registry.slotOf(pack);
				if (this.#slots.has(slot)) continue;
				this.add(slot, await packs.index(slot));
			}
		} catch (error) {
			// A snapshot that cannot be read is no reason not to make another one: nothing is shared with it.
			if (!(error instanceof SnapshotError)) throw error;
		}
	}
}

/** Names of the packs that a writer with this reservation may refer to. */
export async function usablePacks(catalog: Catalog, condemned: Condemned): Promise<ReadonlySet<string>> {
	// The list of condemned objects is read before the packs are listed: what leaves it in between has been deleted.
	const dead = new Set((await readCondemned(catalog, condemned)).map(({ name }) => name));
	const present = await catalog.plain.list("pack");
	return new Set(present.map(objectName).filter((name) => !dead.has(name)));
}
