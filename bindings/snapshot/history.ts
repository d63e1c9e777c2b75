/**
 * History: increments of a running guest at even times, in a store that is kept bounded; any of them can be gone back to.
 *
 *   every everyMs ─▶ increment ─▶ the oldest beyond the bounds are deleted ─▶ …     a failure is reported; the next one has
 *                                                                                  its pages too
 *   rewind ─▶ restored, paused, verified ─▶ the guest of now is paused ─▶ the old one runs, that of now is discarded
 *
 * Guarantee: each snapshot that is listed is whole by itself. It runs beside a move or other saves of the same guest (each has
 * its own dirty cursor, one at a time holds the guest paused); a guest that is moved away ends its history with `gone`, and
 * at the target another one begins. The bounds hold after each snapshot; the newest is never deleted. A snapshot that is
 * late makes the next one late: they are never taken at once, and never in a hurry afterwards.
 *
 * Cost: the dirty tracker stays attached; per snapshot one or a few scans, and what changed.
 */
import { holdPaused } from "../handover/pause-turn.ts";
import { type ConvergencePolicy, downtimeConvergence, firstOf, xenConvergence } from "../policies/convergence.ts";
import type { Clock } from "../ports/clock.ts";
import type { Guest, GuestFactory } from "../ports/guest.ts";
import type { Random } from "../ports/random.ts";
import { type Restored, type RestoreOptions, restore } from "./restore.ts";
import { toRestoreError } from "./restore-error.ts";
import type { SaveResult, SaveServices } from "./save.ts";
import { SaveError } from "./save-error.ts";
import type { SaveMetrics } from "./save-metrics.ts";
import { DEFAULT_SAVE_DEADLINES, type SaveOptions } from "./saving.ts";
import { SnapshotSeries } from "./series.ts";
import type { SnapshotInfo } from "./store-info.ts";

/** How far back a history goes. What is left out is no bound; the newest snapshot always stays. */
export interface HistoryBounds {
	/** Snapshots. */
	readonly count?: number;
	/** Age, in ms on the history's clock. */
	readonly ageMs?: number;
	/** Bytes that the kept snapshots have added to the store, their manifests apart. */
	readonly bytes?: number;
}

/** How to keep a history. */
export interface HistoryOptions extends Omit<SaveOptions, "signal" | "onProgress"> {
	/** From the beginning of one snapshot to the beginning of the next. */
	readonly everyMs: number;
	readonly keep: HistoryBounds;
	/**
	 * When to pause. Default: as soon as the rest is expected to take no more than 5 ms, and after 3 live rounds in any case:
	 * a snapshot a second must not cost more than it is worth.
	 */
	readonly convergence?: ConvergencePolicy;
	/** Ends the history, as `stop` does. */
	readonly signal?: AbortSignal;
	readonly onSnapshot?: (entry: HistoryEntry) => void;
	/** A snapshot that was not made. The history goes on, and the next one has its pages too. A callback that throws ends it. */
	readonly onFailure?: (error: SaveError) => void;
}

/** One snapshot of a history. */
export interface HistoryEntry {
	readonly snapshot: SnapshotInfo;
	/** When it was begun, on the history's clock. */
	readonly takenAtMs: number;
	readonly metrics: SaveMetrics;
}

/** How a history has ended: it was stopped, the guest is gone, or something threw that is no failure of a save, as a callback. */
export type HistoryEnd =
	| { readonly reason: "stopped" }
	| { readonly reason: "gone"; readonly error: SaveError }
	| { readonly reason: "failed"; readonly error: unknown };

/** What a rewind gives. */
export interface Rewound extends Restored {
	/** Why the guest of before could not be discarded: it is paused for good, and nobody else can let it run. */
	readonly notDiscarded?: unknown;
}

/** What a rewind works with beside the history. */
export interface RewindServices {
	readonly factories: readonly GuestFactory[];
	readonly random: Random;
}

/** See the head of this file. Made by {@link startHistory}. */
export class History {
	readonly #services: SaveServices;
	readonly #options: HistoryOptions;
	readonly #series: SnapshotSeries;
	readonly #stop = new AbortController();
	readonly #entries: HistoryEntry[] = [];
	/** Snapshots are taken one after another, those that are asked for included. */
	#turn: Promise<unknown> = Promise.resolve();
	#end: HistoryEnd = { reason: "stopped" };
	/** Resolves when it takes no more snapshots and its tracker is detached; never rejects. */
	readonly ended: Promise<HistoryEnd>;

	/** Not called by users: see {@link startHistory}. */
	constructor(services: SaveServices, options: HistoryOptions, series: SnapshotSeries) {
		this.#services = services;
		this.#options = options;
		this.#series = series;
		const stop = (): void => this.#stop.abort();
		options.signal?.addEventListener("abort", stop, { once: true });
		if (options.signal?.aborted) stop();
		this.ended = this.#run().finally(() => options.signal?.removeEventListener("abort", stop));
	}

	/** The snapshots that are kept, the oldest first. */
	get entries(): readonly HistoryEntry[] {
		return [...this.#entries];
	}

	/** One more snapshot, at once or after the one under way. @throws {SaveError}; TypeError when the history has ended. */
	now(options: Pick<SaveOptions, "label" | "signal"> = {}): Promise<HistoryEntry> {
		if (this.#stop.signal.aborted) return Promise.reject(new TypeError("history: it has ended"));
		return this.#take(options);
	}

	/** Takes no more snapshots; one under way is called off. Those that are kept stay. Safe to call twice. */
	async stop(): Promise<void> {
		this.#stop.abort();
		await this.ended;
	}

	/**
	 * Goes back: a new guest, as it was at this snapshot, runs in the place of the present one, which is discarded. The history
	 * ends; begin another one for the new guest. If anything fails before the new guest runs, the present one runs on; once it
	 * runs, nothing stops it any more: see {@link Rewound.notDiscarded}.
	 * @throws {RestoreError}, {SnapshotError} of a snapshot that is not there any more.
	 */
	async rewind(snapshotId: string, services: RewindServices, options: RestoreOptions): Promise<Rewound> {
		const { guest, store, clock } = this.#services;
		const snapshot = await store.open(snapshotId);
		const restored = await restore({ ...services, snapshot, clock }, { ...options, stayPaused: true });
		try {
			await this.stop();
			const left = await replace(guest, restored.guest, clock, options);
			return { ...restored, ...left };
		} catch (error) {
			await restored.guest.discard().catch(() => undefined); // why there is no rewind is what counts
			throw toRestoreError(error, options.signal);
		}
	}

	async #run(): Promise<HistoryEnd> {
		const { clock } = this.#services;
		const { everyMs } = this.#options;
		for (let nextMs = clock.now(); !this.#stop.signal.aborted; ) {
			try {
				await this.#take({});
			} catch (error) {
				this.#note(error);
			}
			nextMs = Math.max(nextMs + everyMs, clock.now());
			await clock.sleep(nextMs - clock.now(), this.#stop.signal).catch(() => undefined); // stopped
		}
		await this.#turn;
		await this.#series.close().catch(() => undefined); // the tracker of a guest that is gone
		return this.#end;
	}

	/** What becomes of the history when a snapshot was not made. */
	#note(error: unknown): void {
		if (!(error instanceof SaveError)) this.#endWith({ reason: "failed", error });
		else if (error.code === "gone") this.#endWith({ reason: "gone", error });
		else if (!this.#stop.signal.aborted) this.#tell(() => this.#options.onFailure?.(error));
	}

	#endWith(end: HistoryEnd): void {
		if (this.#end.reason === "stopped") this.#end = end;
		this.#stop.abort();
	}

	/** Calls a callback. What it throws is nobody's failure here: it ends the history, which hands it on. */
	#tell(callback: () => void): void {
		try {
			callback();
		} catch (error) {
			this.#endWith({ reason: "failed", error });
		}
	}

	#take(options: Pick<SaveOptions, "label" | "signal">): Promise<HistoryEntry> {
		const entry = this.#turn.then(() => this.#takeNow(options));
		this.#turn = entry.catch(() => undefined); // whoever asked for it sees its failure
		return entry;
	}

	async #takeNow({ label, signal }: Pick<SaveOptions, "label" | "signal">): Promise<HistoryEntry> {
		const { onSnapshot, convergence } = this.#options;
		const takenAtMs = this.#services.clock.now();
		const work = (stop: AbortSignal): Promise<SaveResult> =>
			this.#series.liveSave({
				...this.#options,
				...(label === undefined ? {} : { label }),
				signal: stop,
				convergence: convergence ?? firstOf(downtimeConvergence(5), xenConvergence({ maxIterations: 4 })),
			});
		const { snapshot, metrics } = await withEither(this.#stop.signal, signal, work);
		const entry = { snapshot, takenAtMs, metrics };
		this.#entries.push(entry);
		await this.#keepBounds();
		this.#tell(() => onSnapshot?.(entry));
		return entry;
	}

	/** Deletes the oldest beyond the bounds. What cannot be deleted now is tried again after the next snapshot. */
	async #keepBounds(): Promise<void> {
		const { store, clock } = this.#services;
		const excess = countBeyond(this.#entries, this.#options.keep, clock.now());
		let deleted = 0;
		try {
			for (const { snapshot } of this.#entries.slice(0, excess)) {
				await store.delete(snapshot.id);
				deleted++;
			}
			if (deleted > 0) await store.prune();
		} catch (cause) {
			const words = `the snapshot is there, but older ones could not be deleted: ${String(cause)}`;
			this.#tell(() => this.#options.onFailure?.(new SaveError("store", words, { cause })));
		} finally {
			this.#entries.splice(0, deleted);
		}
	}
}

/**
 * Starts to keep a history: the first snapshot is taken at once, and is whole.
 *
 * @throws {GuestError} when the tracker cannot be attached; RangeError for bounds or times that make no sense.
 *
 * @example
 * ```ts
 * import { MemoryGuest, MemoryGuestFactory } from "../guests/memory/memory-guest.ts";
 * import { MemoryStore } from "../lab/memory-store.ts";
 * import { SeededRandom } from "../lab/seeded-random.ts";
 * import { systemClock as clock } from "../platform/system-clock.ts";
 * import { startHistory } from "./history.ts";
 * import { SnapshotStore } from "./store.ts";
 * const random = new SeededRandom(1);
 * const store = new SnapshotStore(new MemoryStore(), { clock, random });
 * const guest = new MemoryGuest({ pageCount: 64 });
 * const history = await startHistory({ guest, store, clock }, { everyMs: 1000, keep: { count: 60 } });
 * const { snapshot } = await history.now({ label: "before the upgrade" });
 * const services = { factories: [new MemoryGuestFactory(clock, 64)], random };
 * const { guest: before } = await history.rewind(snapshot.id, services, { clock: "jump", random: "keep" });
 * await before.discard();
 * ```
 */
export async function startHistory(services: SaveServices, options: HistoryOptions): Promise<History> {
	const { everyMs, keep } = options;
	if (!(everyMs > 0)) throw new RangeError(`everyMs: must be greater than 0, got ${everyMs}`);
	for (const name of ["count", "ageMs", "bytes"] as const) {
		const bound = keep[name];
		if (bound !== undefined && !(bound > 0)) throw new RangeError(`keep.${name}: must be greater than 0, got ${bound}`);
	}
	return new History(services, options, await SnapshotSeries.open(services));
}

/** How many of the oldest entries are beyond the bounds; never the last one. */
export function countBeyond(entries: readonly HistoryEntry[], keep: HistoryBounds, nowMs: number): number {
	const { count = Number.POSITIVE_INFINITY, ageMs = Number.POSITIVE_INFINITY, bytes = Number.POSITIVE_INFINITY } = keep;
	let beyond = 0;
	let held = entries.reduce((sum, { snapshot }) => sum + snapshot.addedBytes, 0);
	while (beyond < entries.length - 1) {
		const { snapshot, takenAtMs } = entries[beyond]!;
		if (entries.length - beyond <= count && nowMs - takenAtMs <= ageMs && held <= bytes) break;
		held -= snapshot.addedBytes;
		beyond++;
	}
	return beyond;
}

/**
 * One runs at any time: the present guest is paused before the other one runs, and given up when it does. One that cannot be
 * discarded then stays held for good: whoever could resume it would make a second one run.
 */
async function replace(
	present: Guest,
	next: Guest,
	clock: Clock,
	options: RestoreOptions,
): Promise<Pick<Rewound, "notDiscarded">> {
	const { pauseMs: deadlineMs, turnMs } = DEFAULT_SAVE_DEADLINES;
	const { signal } = options;
	const limits = { operation: "a rewind", clock, deadlineMs, turnMs, ...(signal === undefined ? {} : { signal }) };
	const hold = await holdPaused(present, limits);
	try {
		if (!options.stayPaused) await next.resume();
	} catch (error) {
		await hold.resume();
		throw error;
	}
	try {
		await present.discard();
	} catch (notDiscarded) {
		return { notDiscarded };
	}
	hold.giveUp();
	return {};
}

/** Runs `work` with a signal that aborts with either of two. */
async function withEither<T>(
	one: AbortSignal,
	other: AbortSignal | undefined,
	work: (signal: AbortSignal) => Promise<T>,
): Promise<T> {
	if (other === undefined) return work(one);
	const either = new AbortController();
	const stop = (): void => either.abort(one.aborted ? one.reason : other.reason);
	for (const signal of [one, other]) signal.addEventListener("abort", stop, { once: true });
	if (one.aborted || other.aborted) stop();
	try {
		return await work(either.signal);
	} finally {
		for (const signal of [one, other]) signal.removeEventListener("abort", stop);
	}
}
