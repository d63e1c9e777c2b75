/**
 * Snapshots of one guest, each of which writes only what changed since the one before: a dirty cursor stays open between
 * them, and so do the hashes of all pages, for the digest.
 *
 *   open ─▶ first snapshot: everything ─▶ second: only what is dirty ─▶ …  ─▶ close
 *                  failed: everything again      failed: its pages are dirty again, the next has the same parent
 *
 * Guarantee: each snapshot is whole by itself; it can be restored whatever becomes of the others (the store keeps what it
 * needs of its parents). Cost: the tracker stays attached; a scan tracker keeps its shadow, a second copy of the memory.
 *
 * Source: the anchors' incremental snapshots (Firecracker's diff snapshots, QEMU's background snapshots) and the paper's
 * Live Save, which has none.
 */
import { createEngine, type Engine } from "../engine/engine.ts";
import { PageHashTable } from "../wire/digest.ts";
import { SnapshotError } from "./image-error.ts";
import { KeptDirty } from "./kept-dirty.ts";
import { type ImprovedLiveSaveOptions, improvedPlan, type LiveSaveOptions, livePlan } from "./live-save.ts";
import { type PausedSaveOptions, pausedPlan, type SaveResult, type SaveServices } from "./save.ts";
import { runSave, type SaveOptions, type SavePlan } from "./saving.ts";
import { storeDestination } from "./store-destination.ts";
import type { SnapshotInfo } from "./store-info.ts";

/** See the head of this file. */
export class SnapshotSeries {
	readonly #services: SaveServices;
	readonly #engine: Engine = createEngine();
	readonly #hashes: PageHashTable;
	readonly #dirty: KeptDirty;
	#parent: SnapshotInfo | undefined;
	#isClosed = false;

	private constructor(services: SaveServices, dirty: KeptDirty) {
		this.#services = services;
		this.#dirty = dirty;
		this.#hashes = new PageHashTable(this.#engine, services.guest.pages.pageCount);
	}

	/**
	 * Attaches the dirty tracker: the first snapshot is whole, later ones are increments. May be open beside a move, other
	 * saves and other series of the same guest.
	 * @throws {GuestError} what the tracker throws.
	 *
	 * @example
	 * ```ts
	 * import { MemoryGuest } from "../guests/memory/memory-guest.ts";
	 * import { MemoryStore } from "../lab/memory-store.ts";
	 * import { SeededRandom } from "../lab/seeded-random.ts";
	 * import { systemClock as clock } from "../platform/system-clock.ts";
	 * import { SnapshotSeries } from "./series.ts";
	 * import { SnapshotStore } from "./store.ts";
	 * const store = new SnapshotStore(new MemoryStore(), { clock, random: new SeededRandom(1) });
	 * const guest = new MemoryGuest({ pageCount: 64 });
	 * const series = await SnapshotSeries.open({ guest, store, clock });
	 * await series.liveSave();
	 * guest.write(0, Uint8Array.of(1));
	 * const { metrics } = await series.liveSave();
	 * if (!metrics.incremental || metrics.pagesTransferred !== 1) throw new Error("more than was dirty");
	 * await series.close();
	 * ```
	 */
	static async open(services: SaveServices): Promise<SnapshotSeries> {
		return new SnapshotSeries(services, new KeptDirty(await services.guest.dirty.open()));
	}

	/** The snapshot that the next one builds on; `undefined` while the next one is whole. */
	get parent(): SnapshotInfo | undefined {
		return this.#parent;
	}

	/** See `save`: pauses, writes what is dirty, runs on. @throws as `save`; TypeError when the series is closed or busy. */
	save(options: PausedSaveOptions = {}): Promise<SaveResult> {
		return this.#take(pausedPlan(options), options);
	}

	/** See `liveSave`. @throws as `liveSave`; TypeError when the series is closed or busy. */
	liveSave(options: LiveSaveOptions = {}): Promise<SaveResult> {
		return this.#take(livePlan(options), options);
	}

	/** See `improvedLiveSave`. @throws as `improvedLiveSave`; TypeError when the series is closed or busy. */
	improvedLiveSave(options: ImprovedLiveSaveOptions = {}): Promise<SaveResult> {
		return this.#take(improvedPlan(options), options);
	}

	/** Detaches the tracker. The snapshots stay. Safe to call twice. @throws TypeError while a snapshot is under way. */
	async close(): Promise<void> {
		if (this.#isClosed) return;
		this.#dirty.requireFree();
		this.#isClosed = true;
		try {
			await this.#dirty.close();
		} finally {
			this.#engine.dispose();
		}
	}

	async #take(plan: SavePlan, options: SaveOptions): Promise<SaveResult> {
		if (this.#isClosed) throw new TypeError("series: it is closed");
		const cursor = this.#dirty.lend();
		const { guest, store, clock } = this.#services;
		const parent = this.#parent?.id;
		const kept = { cursor, from: parent === undefined ? "everything" : "dirty", hashes: this.#hashes } as const;
		const destination = storeDestination(guest, store, { parent, label: options.label });
		try {
			const result = await runSave({ ...plan, kept }, { guest, clock, destination }, options);
			this.#parent = result.snapshot;
			await this.#dirty.settle(true);
			return result;
		} catch (error) {
			// Somebody has deleted what it would build on: the next snapshot is whole. The error says why this one is not there.
			if (isWithoutParent(error)) this.#parent = undefined;
			await this.#dirty.settle(false).then(
				// The table says what this snapshot has sent; the parent has something else.
				(taken) => this.#hashes.forget(taken),
				() => {
					this.#parent = undefined; // a cursor that cannot take its bits back (its guest is gone) knows nothing any more
				},
			);
			throw error;
		}
	}
}

function isWithoutParent(error: unknown): boolean {
	const cause = error instanceof Error ? error.cause : undefined;
	return (
		cause instanceof SnapshotError && (cause.code === "missing" || cause.code === "chain" || cause.code === "corrupt")
	);
}
