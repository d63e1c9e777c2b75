/**
 * Live Save and Improved Live Save: the rounds of pre-copy, into a store here. The guest runs while its pages are written; a
 * short pause is for what it changed last, and for its state.
 *
 * Guarantee: the snapshot is the guest as it was in that pause. The guest runs on before the snapshot is durable: until the
 * promise resolves there is none. Cost: pages that change while they are written are written again; a guest that dirties
 * faster than the store takes pages never converges, and the stop conditions end the rounds.
 *
 * Source: spec section 2 (Chuang and Huang: Live Save, table 2; Improved Live Save, table 3 and section 3.2.2).
 */
import { type DirtyFrequencyReading, improvedConvergence } from "../policies/adaptive-iterations.ts";
import { type ConvergencePolicy, xenConvergence } from "../policies/convergence.ts";
import type { PacingPolicy } from "../policies/pacing.ts";
import { type SaveResult, type SaveServices, saveOnce } from "./save.ts";
import type { SaveOptions, SavePlan } from "./saving.ts";

/** What {@link liveSave} takes beside {@link SaveOptions}. */
export interface LiveSaveOptions extends SaveOptions {
	/** When to pause: Xen's three conditions, `xenConvergence()`, if left out. */
	readonly convergence?: ConvergencePolicy;
	/** Rate per round. As fast as the store takes it, if left out. */
	readonly pacing?: PacingPolicy;
}

/** What {@link improvedLiveSave} takes beside {@link SaveOptions}. */
export interface ImprovedLiveSaveOptions extends SaveOptions {
	/** What counts as too high a dirty frequency; see `improvedConvergence`. `sink-limit` if left out. */
	readonly reading?: DirtyFrequencyReading;
	readonly pacing?: PacingPolicy;
}

/**
 * Writes a snapshot while the guest runs.
 *
 * @throws {SaveError} when there is no snapshot; the guest runs on. TypeError when another save of this guest is under way.
 *
 * @example
 * ```ts
 * import { MemoryGuest } from "../guests/memory/memory-guest.ts";
 * import { MemoryStore } from "../lab/memory-store.ts";
 * import { SeededRandom } from "../lab/seeded-random.ts";
 * import { systemClock as clock } from "../platform/system-clock.ts";
 * import { liveSave } from "./live-save.ts";
 * import { SnapshotStore } from "./store.ts";
 * const store = new SnapshotStore(new MemoryStore(), { clock, random: new SeededRandom(1) });
 * const guest = new MemoryGuest({ pageCount: 64 });
 * const { snapshot, metrics } = await liveSave({ guest, store, clock }, { onProgress: console.log });
 * console.log(snapshot.id, metrics.downtimeMs, metrics.rounds.length);
 * ```
 */
export function liveSave(services: SaveServices, options: LiveSaveOptions = {}): Promise<SaveResult> {
	return saveOnce(livePlan(options), services, options);
}

/**
 * {@link liveSave} whose maximum of rounds falls while the guest dirties too fast for rounds to help.
 *
 * @throws {SaveError}, TypeError as {@link liveSave}.
 */
export function improvedLiveSave(services: SaveServices, options: ImprovedLiveSaveOptions = {}): Promise<SaveResult> {
	return saveOnce(improvedPlan(options), services, options);
}

/** How {@link liveSave} goes. */
export function livePlan({ convergence = xenConvergence(), pacing }: LiveSaveOptions): SavePlan {
	return {
		technique: "live-save",
		convergence,
		afterwards: "resume-first",
		...(pacing === undefined ? {} : { pacing }),
	};
}

/** How {@link improvedLiveSave} goes. */
export function improvedPlan({ reading = "sink-limit", pacing }: ImprovedLiveSaveOptions): SavePlan {
	const convergence = improvedConvergence({ reading });
	return {
		technique: "improved-live-save",
		convergence,
		afterwards: "resume-first",
		...(pacing === undefined ? {} : { pacing }),
	};
}
