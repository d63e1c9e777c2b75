/**
 * Full restore: a new guest with the memory and the state of a snapshot, verified before it can run; one, or many at once.
 *
 *   check ─▶ set-up ─▶ pages (read once, into every copy) ─▶ hashes compared ─▶ state ─▶ told ─▶ runs
 *
 * Guarantee: a guest runs only after every page it has installed has the hash that the snapshot's table says, and table and
 * state have the snapshot's digest (the store compares those when it opens the snapshot). Whatever fails, nothing runs and
 * nothing is left behind. The snapshot can be restored any number of times: what makes the copies different is the
 * generation that each is given, and the policy for clock and random numbers, which the caller has to state.
 *
 * Source: spec section 2 (Xen Restore); the anchors' rules for clones (VM generation id).
 */

import { createEngine } from "../engine/engine.ts";
import { withDeadline } from "../handover/phases.ts";
import type { Clock } from "../ports/clock.ts";
import type { EncodedBatch, Guest, GuestFactory } from "../ports/guest.ts";
import type { Random } from "../ports/random.ts";
import type { RestoreFacts } from "../ports/told-guest.ts";
import { PageHashTable } from "../wire/digest.ts";
import { RestoreError, toRestoreError } from "./restore-error.ts";
import { checkPolicy, type PolicyReport, type RestorePolicy } from "./restore-policy.ts";
import type { SnapshotReader } from "./store-reader.ts";
import { discardAll, factoryFor, restoreFacts, setUpTargets, tellGuest } from "./target-guest.ts";

/** What a restore works with. */
export interface RestoreServices {
	readonly snapshot: SnapshotReader;
	/** One per kind of guest that may be restored here. */
	readonly factories: readonly GuestFactory[];
	readonly clock: Clock;
	/** Generations and seeds come from it. */
	readonly random: Random;
}

/** How to restore. Clock and random numbers have no default: whoever restores a machine has to say what becomes of them. */
export interface RestoreOptions extends RestorePolicy {
	readonly signal?: AbortSignal;
	/** Longest time for all of it, in ms. No limit if left out. */
	readonly deadlineMs?: number;
	/** Leaves the guest paused: the caller lets it run. */
	readonly stayPaused?: boolean;
	/** The caller's own word to each copy, before it runs: new names, new keys, closed connections. */
	readonly onClone?: (guest: Guest, facts: RestoreFacts) => void | Promise<void>;
	readonly onProgress?: (progress: RestoreProgress) => void;
}

/** One step of a restore. */
export interface RestoreProgress {
	readonly phase: "set-up" | "pages" | "state" | "done";
	/** 0 … 1, never smaller than before. */
	readonly fraction: number;
	readonly installedPages: number;
	readonly pageCount: number;
	readonly etaMs: number | undefined;
}

/** A restored guest. */
export interface Restored {
	readonly guest: Guest;
	/** Which copy it is; also in the facts of snapshots that are made of it. */
	readonly generation: string;
	/** What has become of clock and random numbers. */
	readonly policy: PolicyReport;
	readonly metrics: RestoreMetrics;
}

/** The metrics of a restore, in ms. Of clones: all of them together. */
export interface RestoreMetrics {
	/** Memory allocated and touched, code compiled. */
	readonly setupMs: number;
	/** Reading, installing and comparing pages. */
	readonly pagesMs: number;
	/** State, hooks, and the first moment of running. */
	readonly activationMs: number;
	readonly totalMs: number;
	readonly pageCount: number;
	/** Pages installed, zero ones left out: a new memory is zero. */
	readonly installedPages: number;
	/** Bytes of page batches that were read. */
	readonly readBytes: number;
}

/** Batches that may be on their way into the guests while the next is read. */
const BATCHES_UNDER_WAY = 3;

/**
 * Restores one guest.
 *
 * @throws {RestoreError} nothing runs and nothing is left behind. TypeError for a policy that is not stated.
 *
 * @example
 * ```ts
 * import { MemoryGuest, MemoryGuestFactory } from "../guests/memory/memory-guest.ts";
 * import { MemoryStore } from "../lab/memory-store.ts";
 * import { SeededRandom } from "../lab/seeded-random.ts";
 * import { systemClock as clock } from "../platform/system-clock.ts";
 * import { restore } from "./restore.ts";
 * import { save } from "./save.ts";
 * import { SnapshotStore } from "./store.ts";
 * const random = new SeededRandom(1);
 * const store = new SnapshotStore(new MemoryStore(), { clock, random });
 * const { snapshot: saved } = await save({ guest: new MemoryGuest({ pageCount: 64 }), store, clock });
 * const snapshot = await store.open(saved.id);
 * const factories = [new MemoryGuestFactory(clock, 64)];
 * const services = { snapshot, factories, clock, random };
 * const { guest, generation } = await restore(services, { clock: "jump", random: "reseed" });
 * console.log(guest.kind, generation);
 * ```
 */
export async function restore(services: RestoreServices, options: RestoreOptions): Promise<Restored> {
	const [restored] = await restoreClones(services, 1, options);
	return restored!;
}

/**
 * Restores a snapshot into several guests at once; its pages are read once. All of them run at the end, or none.
 * @throws {RestoreError}; RangeError for a count below 1; TypeError for a policy that is not stated.
 */
export async function restoreClones(
	services: RestoreServices,
	count: number,
	options: RestoreOptions,
): Promise<readonly Restored[]> {
	if (!Number.isInteger(count) || count < 1) throw new RangeError(`count: must be an integer from 1, got ${count}`);
	return new Restoring(services, count, options).run();
}

class Restoring {
	readonly #services: RestoreServices;
	readonly #options: RestoreOptions;
	readonly #count: number;
	readonly #moments: number[] = [];
	#guests: readonly Guest[] = [];
	#installedPages = 0;
	#readBytes = 0;

	constructor(services: RestoreServices, count: number, options: RestoreOptions) {
		this.#services = services;
		this.#count = count;
		this.#options = options;
	}

	async run(): Promise<readonly Restored[]> {
		const { signal: cancel, deadlineMs } = this.#options;
		checkPolicy(this.#services.snapshot.layout, this.#options);
		this.#mark();
		try {
			return await withDeadline(this.#services.clock, { cancel, deadlineMs }, (signal) => this.#restore(signal));
		} catch (error) {
			await discardAll(this.#guests);
			throw toRestoreError(error, cancel);
		}
	}

	async #restore(signal: AbortSignal): Promise<readonly Restored[]> {
		const { snapshot, factories } = this.#services;
		this.#report("set-up");
		const factory = factoryFor(snapshot, factories, { faulting: false });
		const targets = await setUpTargets(snapshot, factory, this.#count, { faulting: false, signal });
		this.#guests = targets.map(({ guest }) => guest);
		this.#mark();
		await this.#installPages(signal);
		this.#mark();
		this.#report("state");
		const activated = await this.#activate(signal);
		this.#mark();
		this.#report("done");
		const metrics = this.#metrics();
		return activated.map((one) => ({ ...one, metrics }));
	}

	/** Reads the pages once and installs them in every copy. */
	async #installPages(signal: AbortSignal): Promise<void> {
		const { snapshot } = this.#services;
		const tables = this.#guests.map(() => new PageHashTable(createEngine(), snapshot.layout.pageCount));
		const underWay: Promise<void>[] = [];
		try {
			for await (const batch of snapshot.batches({ signal })) {
				this.#readBytes += batch.bytes.byteLength;
				const installing = this.#install(batch, tables);
				installing.catch(() => undefined); // seen when its turn comes
				underWay.push(installing);
				if (underWay.length >= BATCHES_UNDER_WAY) await underWay.shift();
				signal.throwIfAborted();
				this.#report("pages");
			}
			await Promise.all(underWay);
		} finally {
			await Promise.allSettled(underWay);
		}
		const hashes = snapshot.hashes().rangeBytes(0, snapshot.layout.pageCount);
		for (const table of tables) {
			const pageIndex = table.firstDifference(0, hashes);
			if (pageIndex !== undefined)
				throw new RestoreError("corrupt", `page ${pageIndex} was not restored as it was saved`, { pageIndex });
		}
	}

	async #install(batch: EncodedBatch, tables: readonly PageHashTable[]): Promise<void> {
		const applied = await Promise.all(this.#guests.map((guest) => guest.pages.apply(batch)));
		for (const [i, { pageIndices, hashes }] of applied.entries()) tables[i]!.set(pageIndices, hashes);
		this.#installedPages += applied[0]!.pageIndices.length;
	}

	async #activate(signal: AbortSignal): Promise<readonly Omit<Restored, "metrics">[]> {
		const { snapshot, random } = this.#services;
		const state = snapshot.state();
		const restored: Omit<Restored, "metrics">[] = [];
		for (const [index, guest] of this.#guests.entries()) {
			await guest.state.restore(state);
			const facts = restoreFacts(snapshot.info.id, this.#options, random, { index, count: this.#count });
			const policy = await tellGuest(guest, snapshot, facts);
			await this.#options.onClone?.(guest, facts);
			restored.push({ guest, generation: facts.generation, policy });
		}
		signal.throwIfAborted();
		// Nothing runs before everything is ready.
		if (!this.#options.stayPaused) for (const guest of this.#guests) await guest.resume();
		return restored;
	}

	#mark(): void {
		this.#moments.push(this.#services.clock.now());
	}

	#metrics(): RestoreMetrics {
		const [started = 0, prepared = 0, installed = 0, ended = 0] = this.#moments;
		return {
			setupMs: prepared - started,
			pagesMs: installed - prepared,
			activationMs: ended - installed,
			totalMs: ended - started,
			pageCount: this.#services.snapshot.layout.pageCount,
			installedPages: this.#installedPages,
			readBytes: this.#readBytes,
		};
	}

	#report(phase: RestoreProgress["phase"]): void {
		const { onProgress } = this.#options;
		if (onProgress === undefined) return;
		const { snapshot, clock } = this.#services;
		const { pageCount } = snapshot.layout;
		const wanted = Math.max(1, snapshot.info.storedPages);
		const share = Math.min(1, this.#installedPages / wanted);
		const fraction = phase === "set-up" ? 0 : phase === "done" ? 1 : 0.05 + 0.9 * (phase === "state" ? 1 : share);
		const sinceMs = clock.now() - (this.#moments[1] ?? clock.now());
		const etaMs = phase === "done" ? 0 : share > 0 ? (sinceMs * (1 - share)) / share : undefined;
		onProgress({ phase, fraction, installedPages: this.#installedPages, pageCount, etaMs });
	}
}
