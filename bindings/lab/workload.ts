/**
 * What a synthetic guest does with its memory: a model, in virtual CPU time.
 *
 * While every page is there a workload runs lazily: whoever looks at the guest lets it catch up with the time, so a second
 * of a fast guest costs no events. While pages are missing it runs event by event ({@link PagedRun}), because when it
 * touches what decides what it waits for.
 */
import type { MissingSet } from "./missing-set.ts";
import type { Scheduled } from "./virtual-clock.ts";

/** What a workload sees of its guest: see `synthetic-guest.ts`. */
export interface WorkloadGuest {
	readonly missing: MissingSet;
	/** Versions by page, for an inner loop that also marks pages dirty itself. */
	readonly versions: Uint32Array<ArrayBuffer>;
	readonly dirty: {
		/** The bits of the only open cursor; `undefined` if there is none or several. */
		readonly only: Uint8Array<ArrayBuffer> | undefined;
		mark(page: number): void;
	};
	/** Writes a page: a new version, dirty in every cursor. */
	touchWrite(page: number): void;
	/** Computes for so many ms on one core, then acts: later on a host whose CPU others use too. */
	compute(cpuMs: number, action: () => void): Scheduled;
}

/** See the head of this file. One belongs to one guest, wherever that runs: it keeps its place across a move. */
export interface Workload {
	/**
	 * Cores it keeps busy while every page is there, at full speed; 1 by default. A host's CPU that others use too may give it
	 * less; without one nobody asks.
	 */
	readonly cores?: number;
	/** Every page is there: works for `cpuMs` of full CPU time, and marks what it writes. */
	advance(guest: WorkloadGuest, cpuMs: number): void;
	/** Pages are missing: starts to work step by step. Absent: the model is for techniques that pause for all pages. */
	startPaged?(guest: WorkloadGuest): PagedRun;
}

/** A workload at work while pages are missing. */
export interface PagedRun {
	/** Ends it: the guest is paused or discarded. */
	stop(): void;
	/** CPU time of useful work done so far, in ms. */
	readonly workMs: number;
}

/** A guest that does nothing. */
export const idleWorkload: Workload = {
	cores: 0,
	advance: () => undefined,
	startPaged: () => ({ stop: () => undefined, workMs: 0 }),
};
