/**
 * Snapshots in a store (ports/store.ts): pages shared by content, made durable by one last step, restored in one pass.
 *
 *   snapshots/packs/ID-n        contents of pages                    written by writer ID, never changed
 *   snapshots/manifests/ID-n    one snapshot: layout, facts, state, page table
 *   snapshots/resources/ID-n    code that guests need
 *   snapshots/heads/PLACE       reference: a writer's reservation, then the snapshot
 *   snapshots/condemned         reference: what nobody may refer to any more, see prune.ts
 *
 * Invariants: a snapshot is visible if and only if its head says `kept`, and then everything it needs is durable; what a kept
 * snapshot or a living writer needs is never removed. Any number of processes may use one store.
 *
 * The bytes are in `docs/image-format.md`, with the order of writes that makes this hold.
 */
import { createEngine } from "../engine/engine.ts";
import type { Clock } from "../ports/clock.ts";
import { PAGE_BYTES, type PageBits } from "../ports/guest.ts";
import type { Random } from "../ports/random.ts";
import type { Store } from "../ports/store.ts";
import { exportImage, importImage, type StreamOptions } from "./export.ts";
import { objectName } from "./image.ts";
import { SnapshotError } from "./image-error.ts";
import { DEFAULT_DIRECTORY_PAGES, DEFAULT_MAXIMUM_PAGES } from "./image-limits.ts";
import type { StoredResource } from "./manifest.ts";
import { isSame } from "./pack-index.ts";
import { type Pruned, type PruneOptions, pruneStore } from "./prune.ts";
import type { Needs } from "./prune-needs.ts";
import { WriterWatch } from "./prune-writers.ts";
import { ManifestSeal, type Sealing } from "./seal.ts";
import { FingerprintedObjects, SealedObjects } from "./seal-objects.ts";
import { Catalog } from "./store-catalog.ts";
import { Contents, usableObjects } from "./store-contents.ts";
import { Heads } from "./store-heads.ts";
import type { SnapshotInfo } from "./store-info.ts";
import { listSnapshots, type SnapshotListOptions } from "./store-list.ts";
import { PlainObjects } from "./store-objects.ts";
import { SnapshotReader } from "./store-reader.ts";
import { Reservation } from "./store-reservation.ts";
import { type BeginOptions, SnapshotWriter } from "./store-writer.ts";
import { type Verified, type VerifyOptions, verifySnapshot } from "./verify.ts";

export type { StreamOptions } from "./export.ts";
export { SnapshotError, type SnapshotErrorCode } from "./image-error.ts";
export type { Pruned, PruneOptions } from "./prune.ts";
export { importEncryptionKey, importSigningKey, type Sealing } from "./seal.ts";
export type { SnapshotInfo } from "./store-info.ts";
export type { SnapshotListOptions, UnreadableSnapshot } from "./store-list.ts";
export type { ReadOptions } from "./store-reader.ts";
export { SnapshotReader } from "./store-reader.ts";
export type { BeginOptions, CommitParts, WriterFigures } from "./store-writer.ts";
export { SnapshotWriter } from "./store-writer.ts";
export type { Verified, VerifyOptions } from "./verify.ts";

/** What a snapshot store works with. */
export interface SnapshotStoreServices {
	readonly clock: Clock;
	readonly random: Random;
}

/** Limits of one side; see image-limits.ts. */
export interface SnapshotStoreOptions extends SnapshotStoreServices {
	/** Pages of the largest guest that is taken; 4 million (16 GiB) if left out. */
	readonly maximumPageCount?: number;
	/** Encryption and signatures at rest (seal.ts); none if left out. */
	readonly sealing?: Sealing;
	/** Pages whose contents are known, to be shared, at most; 2 million (8 GiB, 64 MiB of table) if left out. */
	readonly directoryPages?: number;
}

/** See {@link SnapshotStore.diff}. */
export interface SnapshotDifference {
	/** One bit for each page that differs; a page that one of them does not have counts as zero there. */
	readonly bits: PageBits;
	/** Pages of the larger one. */
	readonly pageCount: number;
	readonly differentPages: number;
	readonly stateDiffers: boolean;
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
	readonly #watch: WriterWatch;
	readonly #needs = new Map<string, Needs>();
	#pruning: Promise<unknown> = Promise.resolve();

	constructor(store: Store, options: SnapshotStoreOptions) {
		const {
			clock,
			random,
			maximumPageCount = DEFAULT_MAXIMUM_PAGES,
			directoryPages = DEFAULT_DIRECTORY_PAGES,
		} = options;
		this.#clock = clock;
		this.#random = random;
		this.#watch = new WriterWatch(clock);
		const engine = createEngine();
		const plain = new PlainObjects(store);
		const encryption = options.sealing?.encryption;
		const sealed = encryption === undefined ? plain : new SealedObjects(engine, random, plain, encryption);
		const seal = new ManifestSeal(options.sealing);
		const objects = seal.isRequired ? new FingerprintedObjects(sealed) : sealed;
		this.#catalog = new Catalog({ engine, heads: new Heads(store), plain, objects, maximumPageCount, seal });
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
		let writer: SnapshotWriter | undefined;
		try {
			const usable = await usableObjects(catalog, condemned);
			const sequence = (await this.#contents.refresh()) + 1;
			const resolved = parent === undefined ? undefined : await catalog.resolveId(parent);
			if (resolved !== undefined && resolved.table.pageCount > layout.pageCount)
				throw new RangeError(`layout.pageCount: the parent has ${resolved.table.pageCount} pages`);
			const ofParent = resolved?.manifest.description.resources ?? [];
			const known: StoredResource[] = ofParent.filter(({ identity }) => !usable.condemned.has(objectName(identity)));
			for (const { hash } of layout.resources) {
				if (known.some((resource) => resource.hash === hash)) continue;
				const stored = await this.#contents.resource(hash, usable);
				if (stored !== undefined) known.push(stored);
			}
			writer = new SnapshotWriter({
				catalog,
				contents: this.#contents,
				clock: this.#clock,
				reservation,
				sequence,
				usable,
				parent: resolved,
				options,
				known,
			});
			await writer.takeOverCondemned();
			return writer;
		} catch (error) {
			const abandoned = writer?.abort() ?? reservation.release();
			await abandoned.catch(() => undefined); // the first failure is what counts; a later prune takes the rest for dead
			throw error;
		}
	}

	/**
	 * Opens a snapshot: its manifests are read and checked, no page is.
	 * @throws {SnapshotError} `missing`, or whatever is wrong with its manifests.
	 */
	async open(id: string): Promise<SnapshotReader> {
		return new SnapshotReader(this.#catalog, await this.#catalog.resolveId(id));
	}

	/**
	 * All snapshots, in the order in which they were begun.
	 * @throws {SnapshotError} for one that cannot be read, unless `onUnreadable` is given: then the others are listed. It is
	 *   never left out in silence, since whoever prunes what is not on a list would lose it. `delete` removes it by its id.
	 */
	async list(options: SnapshotListOptions = {}): Promise<readonly SnapshotInfo[]> {
		return listSnapshots(this.#catalog, options);
	}

	/** Forgets a snapshot at once; the room it took comes back with the next prune. @throws {SnapshotError} `missing`. */
	async delete(id: string): Promise<void> {
		for (;;) {
			const found = await this.#catalog.heads.read(id);
			if (found?.head.phase !== "kept") throw new SnapshotError("missing", `there is no snapshot ${id}`);
			if (await this.#catalog.heads.remove(id, found.raw)) return;
		}
	}
	/**
	 * Reads every byte that a snapshot is made of and compares it with everything that is known of it (verify.ts).
	 * @throws {SnapshotError} naming the object, and the record or page that is wrong.
	 */
	verify(id: string, options: VerifyOptions = {}): Promise<Verified> {
		return verifySnapshot(this.#catalog, id, options);
	}

	/** Which pages of two snapshots differ, by their hashes. @throws {SnapshotError} */
	async diff(a: string, b: string): Promise<SnapshotDifference> {
		const one = await this.#catalog.resolveId(a);
		const other = await this.#catalog.resolveId(b);
		const bits = one.table.differences(other.table);
		const pageCount = Math.max(one.table.pageCount, other.table.pageCount);
		const stateDiffers = !isSame(one.manifest.state, other.manifest.state);
		return { bits, pageCount, differentPages: countBits(bits), stateDiffers };
	}

	/**
	 * A snapshot as one self-contained image, in chunks (export.ts).
	 * @throws {SnapshotError} what is wrong with the snapshot: the image then has no end, and no import takes it.
	 */
	async *export(id: string, options: StreamOptions = {}): AsyncGenerator<Uint8Array> {
		yield* exportImage(await this.open(id), options);
	}

	/** Makes a snapshot of an image. @throws {SnapshotError} naming the record or page; there is no snapshot then. */
	import(chunks: AsyncIterable<Uint8Array> | Iterable<Uint8Array>, options: StreamOptions = {}): Promise<SnapshotInfo> {
		const begin = (begun: BeginOptions) => this.begin(begun);
		const checkPageCount = (pageCount: number) => this.#catalog.checkPageCount(pageCount);
		return importImage({ begin, checkPageCount }, chunks, options);
	}

	/**
	 * Gives back the room of what nobody needs (prune.ts). Safe beside writers, readers and other prunes.
	 * @throws {SnapshotError} for a snapshot that cannot be read, and nothing is removed then; `busy`.
	 */
	prune(options: PruneOptions = {}): Promise<Pruned> {
		const services = { catalog: this.#catalog, clock: this.#clock, random: this.#random };
		const work = () => pruneStore({ ...services, watch: this.#watch, needs: this.#needs }, options);
		// Of one process one after the other: they share what they know.
		const turn = this.#pruning.then(work, work);
		this.#pruning = turn.catch(() => undefined); // the caller sees the failure
		return turn;
	}
}

function countBits(bits: Uint8Array): number {
	let count = 0;
	for (let byte of bits) for (; byte !== 0; byte &= byte - 1) count++;
	return count;
}
