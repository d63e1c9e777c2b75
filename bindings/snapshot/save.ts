/**
 * Xen Save: the guest is paused, all its memory and its state are written, then it runs on (Xen's `save -c`) or stays paused.
 *
 * Guarantee: the snapshot is the guest as it was paused, and durable before the guest runs on. Cost: the downtime is the whole
 * write. {@link liveSave} writes while the guest runs.
 *
 * Which technique to take when is in docs/choosing.md.
 *
 * Source: spec section 2 (Chuang and Huang on Xen Save, section 2.1 of the paper).
 */
import type { Clock } from "../ports/clock.ts";
import type { Guest } from "../ports/guest.ts";
import type { Saved, SaveOptions, SavePlan } from "./saving.ts";
import { runSave } from "./saving.ts";
import type { SnapshotStore } from "./store.ts";
import { storeDestination } from "./store-destination.ts";
import type { SnapshotInfo } from "./store-info.ts";

/** What a save works with. */
export interface SaveServices {
	readonly guest: Guest;
	readonly store: SnapshotStore;
	readonly clock: Clock;
}

/** What {@link save} takes beside {@link SaveOptions}. */
export interface PausedSaveOptions extends SaveOptions {
	/** Leaves the guest paused once the snapshot is durable: to give it up, or to change what is outside it. */
	readonly stayPaused?: boolean;
}

/** What a save of a guest results in. */
export type SaveResult = Saved<SnapshotInfo>;

/** Guests with a save of their own under way: one at a time. Series are not counted: each has its own cursor. */
const saving = new WeakSet<Guest>();

/**
 * Pauses the guest, writes everything, and lets it run on.
 *
 * @throws {SaveError} when there is no snapshot; the guest then runs on. TypeError when another save of this guest is under way.
 *
 * @example
 * ```ts
 * import { MemoryGuest } from "../guests/memory/memory-guest.ts";
 * import { MemoryStore } from "../lab/memory-store.ts";
 * import { SeededRandom } from "../lab/seeded-random.ts";
 * import { systemClock as clock } from "../platform/system-clock.ts";
 * import { save } from "./save.ts";
 * import { SnapshotStore } from "./store.ts";
 * const store = new SnapshotStore(new MemoryStore(), { clock, random: new SeededRandom(1) });
 * const guest = new MemoryGuest({ pageCount: 64 });
 * const { snapshot, metrics } = await save({ guest, store, clock });
 * console.log(snapshot.id, metrics.downtimeMs);
 * ```
 */
export function save(services: SaveServices, options: PausedSaveOptions = {}): Promise<SaveResult> {
	return saveOnce(pausedPlan(options), services, options);
}

/** How {@link save} goes. */
export function pausedPlan({ stayPaused = false }: PausedSaveOptions): SavePlan {
	return { technique: "save", afterwards: stayPaused ? "stay-paused" : "resume-when-durable" };
}

/** A save that is no part of a series: everything is written. */
export async function saveOnce(plan: SavePlan, services: SaveServices, options: SaveOptions): Promise<SaveResult> {
	const { guest, store, clock } = services;
	return onePerGuest(guest, () =>
		runSave(plan, { guest, clock, destination: storeDestination(guest, store, options) }, options),
	);
}

/** @throws TypeError when another save of this guest is under way. */
export async function onePerGuest<T>(guest: Guest, work: () => Promise<T>): Promise<T> {
	if (saving.has(guest)) throw new TypeError("guest: another save of this guest is under way");
	saving.add(guest);
	try {
		return await work();
	} finally {
		saving.delete(guest);
	}
}
