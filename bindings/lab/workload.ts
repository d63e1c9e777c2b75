/**
 * What a synthetic guest does with its memory: a model, in virtual CPU time.
 *
 * While every page is there a workload runs lazily: whoever looks at the guest lets it catch up with the time, so a second
 * of a fast guest costs no events. While pages are missing it runs event by event ({@link PagedRun}), because when it
 * touches what decides what it waits for.
 */
import type { SyntheticGuest } from "./synthetic-guest.ts";

/** See the head of this file. One belongs to one guest, wherever that runs: it keeps its place across a move. */
export interface Workload {
	/** Every page is there: works for `cpuMs` of full CPU time, and marks what it writes. */
	advance(guest: SyntheticGuest, cpuMs: number): void;
	/** Pages are missing: starts to work step by step. Absent: the model is for techniques that pause for all pages. */
	startPaged?(guest: SyntheticGuest): PagedRun;
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
	advance: () => undefined,
	startPaged: () => ({ stop: () => undefined, workMs: 0 }),
};
