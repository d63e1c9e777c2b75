/**
 * Snapshots in a store (ports/store.ts): pages shared by content, made durable by one last step, restored in one pass.
 *
 *   snapshots/packs/ID-n        contents of pages                    written by writer ID, never changed
 *   snapshots/manifests/ID-n    one snapshot: layout, facts, state, page table
 *   snapshots/resources/ID-n    code that guests need
 *   snapshots/heads/ID          reference: a writer's reservation, then the snapshot
 *   snapshots/condemned         reference: what nobody may refer to any more, see prune.ts
 *
 * Invariants: a snapshot is visible if and only if its head says `kept`, and then everything it needs is durable; what a kept
 * snapshot or a living writer needs is never removed. Any number of processes may use one store.
 *
 * The bytes are in `docs/image-format.md`, with the order of writes that makes this hold.
 */
import type { Clock } from "../ports/clock.ts";
import { PAGE_BYTES } from "../ports/guest.ts";
import type { Random } from "../ports/random.ts";
import type { Store } from "../ports/store.ts";
import { SnapshotError } from "./image-error.ts";
import { DEFAULT_DIRECTORY_PAGES, DEFAULT_MAXIMUM_PAGES } from "./image-limits.ts";
import type { StoredResource } from "./manifest.ts";
import { Catalog } from "./store-catalog.ts";
import { Contents, usablePacks } from "./store-contents.ts";
import { Heads } from "./store-heads.ts";
import { infoOf, type SnapshotInfo } from "./store-info.ts";
import { PlainObjects } from "./store-objects.ts";
import { SnapshotReader } from "./store-reader.ts";
import { Reservation } from "./store-reservation.ts";
import { type BeginOptions, SnapshotWriter } from "./store-writer.ts";

export type { SnapshotInfo } from "./store-info.ts";
export type { ReadOptions } from "./store-reader.ts";
export { SnapshotReader } from "./store-reader.ts";
export type { BeginOptions, CommitParts, WriterFigures } from "./store-writer.ts";
export { SnapshotWriter } from "./store-writer.ts";

/** What a snapshot store works with. */
export interface SnapshotStoreServices {
	readonly clock: Clock;
	readonly random: Random;
}

/** Limits of one side; see image-limits.ts. */
export interface SnapshotStoreOptions extends SnapshotStoreServices {
	/** Pages of the largest guest that is taken; 4 million (16 GiB) if left out. */
	readonly maximumPageCount?: number;
	/** Pages whose contents are known, to be shared, at most; 2 million (8 GiB, 64 MiB of table) if left out. */
	readonly directoryPages?: number;
}

/**
 * See the head of this file.
 *
 * @example
 * ```ts
 * import { MemoryGuest } from "../guests/memory/memory-guest.ts";
 * import { MemoryStore } from "../lab/memory-store.ts";
 * import { SeededRandom } from "../lab/seeded-random.ts";
 * import { systemClock } from "../platform/system-clock.ts";
 * import { SnapshotStore } from "./store.ts";
 * const snapshots = new SnapshotStore(new MemoryStore(), { clock: systemClock, random: new SeededRandom(1) });
 * const guest = new MemoryGuest({ pageCount: 16 });
 * await guest.pause();
 * const writer = await snapshots.begin({ layout: guest.state.layout() });
 * await writer.accept(await guest.pages.encode(Uint32Array.of(0, 1, 2, 3), { compress: true }));
 * const { id } = await writer.commit({ state: await guest.state.capture() });
 * const reader = await snapshots.open(id);
 * await guest.pages.apply(await reader.pages(Uint32Array.of(0, 1)));
 * ```
 */
export class SnapshotStore {
	readonly #clock: Clock;
	readonly #random: Random;
	readonly #catalog: Catalog;
	readonly #contents: Contents;

	constructor(store: Store, options: SnapshotStoreOptions) {
		const {
			clock,
			random,
			maximumPageCount = DEFAULT_MAXIMUM_PAGES,
			directoryPages = DEFAULT_DIRECTORY_PAGES,
		} = options;
		this.#clock = clock;
		this.#random = random;
		const plain = new PlainObjects(store);
		this.#catalog = new Catalog({
			heads: new Heads(store),
			plain,
			objects: plain,
			maximumPageCount,
			checkSignature: () => Promise.resolve(),
		});
		this.#contents = new Contents(this.#catalog, directoryPages);
	}

	/**
	 * Begins a snapshot. Nothing of it is visible before {@link SnapshotWriter.commit}.
	 * @throws {SnapshotError} `missing` for a parent that does not exist; `too-large`; `full`, `failed`.
	 */
	async begin(options: BeginOptions): Promise<SnapshotWriter> {
		const { layout, parent } = options;
		if (layout.pageBytes !== PAGE_BYTES) throw new RangeError(`layout.pageBytes: must be ${PAGE_BYTES}`);
		this.#catalog.checkPageCount(layout.pageCount);
		const catalog = this.#catalog;
		const { reservation, condemned } = await Reservation.open(catalog.heads, {
			clock: this.#clock,
			random: this.#random,
		});
		try {
			const usable = await usablePacks(catalog, condemned);
			const sequence = (await this.#contents.refresh()) + 1;
			const resolved = parent === undefined ? undefined : await catalog.resolve(await catalog.manifestOf(parent));
			if (resolved !== undefined && resolved.table.pageCount > layout.pageCount)
				throw new RangeError(`layout.pageCount: the parent has ${resolved.table.pageCount} pages`);
			const known: readonly StoredResource[] = resolved?.manifest.description.resources ?? [];
			return new SnapshotWriter({
				catalog,
				contents: this.#contents,
				clock: this.#clock,
				reservation,
				sequence,
				usable,
				parent: resolved,
				options,
				known,
				sign: () => Promise.resolve(),
				fingerprint: () => Promise.resolve(""),
			});
		} catch (error) {
			await reservation.release();
			throw error;
		}
	}

	/**
	 * Opens a snapshot: its manifests are read and checked, no page is.
	 * @throws {SnapshotError} `missing`, or whatever is wrong with its manifests.
	 */
	async open(id: string): Promise<SnapshotReader> {
		const reference = await this.#catalog.manifestOf(id);
		return new SnapshotReader(this.#catalog, await this.#catalog.resolve(reference));
	}

	/** All snapshots, in the order in which they were begun. @throws {SnapshotError} for one that cannot be read. */
	async list(): Promise<readonly SnapshotInfo[]> {
		const infos: SnapshotInfo[] = [];
		for (const id of await this.#catalog.heads.ids()) {
			const found = await this.#catalog.heads.read(id);
			if (found?.head.phase !== "kept") continue;
			const { description } = await this.#catalog.manifestStart(found.head.manifest);
			infos.push(infoOf(description));
		}
		return infos.sort((a, b) => a.sequence - b.sequence || (a.id < b.id ? -1 : 1));
	}

	/** Forgets a snapshot at once; the room it took comes back with the next prune. @throws {SnapshotError} `missing`. */
	async delete(id: string): Promise<void> {
		for (;;) {
			const found = await this.#catalog.heads.read(id);
			if (found?.head.phase !== "kept") throw new SnapshotError("missing", `there is no snapshot ${id}`);
			if (await this.#catalog.heads.remove(id, found.raw)) return;
		}
	}
}
