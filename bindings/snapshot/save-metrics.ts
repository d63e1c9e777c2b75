/** What a save reports: the paper's metrics, per round and in total, and its progress. Times are in ms on the caller's clock. */
import {
	type ConvergenceFacts,
	expectedDowntimeMs,
	type RoundFacts,
	type StopReason,
} from "../policies/convergence.ts";
import { ProgressEstimator } from "../policies/progress.ts";
import type { Clock } from "../ports/clock.ts";
import type { Guest } from "../ports/guest.ts";
import type { Iteration } from "../rounds/iteration.ts";
import type { Verification } from "../wire/records.ts";
import type { SavePhase } from "./save-error.ts";

/** The save family. Where it goes, to a store here or to a keeper, makes no other technique of it. */
export type SaveTechnique = "save" | "live-save" | "improved-live-save";

/** The metrics of one save: complete after a success, as far as it came after a failure. */
export interface SaveMetrics {
	readonly technique: SaveTechnique;
	readonly verification: Verification;
	/** Only what became dirty since the parent was written. */
	readonly incremental: boolean;
	/** Opening the store or asking the keeper, attaching the tracker: beside the paper's times and in none of them. */
	readonly setupMs: number;
	/** The live rounds. */
	readonly preparationMs: number;
	/** From the guest being paused until it runs again, or until the snapshot is durable if it stays paused. */
	readonly downtimeMs: number;
	/** From the last page and the state being handed over, or copied, until the snapshot is durable. */
	readonly commitMs: number;
	/** Preparation + downtime, and the commit where the guest runs meanwhile. */
	readonly totalMs: number;
	readonly downtimeParts: {
		/** Of a live save of a guest that can be copied: copying the last pages. */
		readonly finalRoundMs: number;
		readonly stateMs: number;
		/** Hashing all memory again; 0 with transport verification. */
		readonly verifyMs: number;
	};
	readonly pageCount: number;
	/** Pages handed to the sink, duplicates counted. */
	readonly pagesTransferred: number;
	readonly zeroPages: number;
	/** Bytes handed to the sink, encoded. What a store writes of them may be less: it keeps equal pages once. */
	readonly bytesTransferred: number;
	readonly rounds: readonly RoundFacts[];
	readonly stopReason: StopReason | undefined;
	readonly longestSliceMs: number;
	readonly sliceP95Ms: number;
	/** How long the guest took to reach its pause point. */
	readonly pauseWaitMs: number;
	/** How long another operation held the guest paused when this one wanted to. */
	readonly turnWaitMs: number;
	/** What the operation itself held: bitmaps, lists, hash table. */
	readonly memoryBytes: number;
}

/** One step of progress. The fraction never runs backwards. */
export interface SaveProgress {
	readonly phase: SavePhase | "done";
	/** 0 … 1. */
	readonly fraction: number;
	readonly etaMs: number | undefined;
	/** The round under way, from 1; 0 before the first. */
	readonly round: number;
	readonly pendingPages: number;
	readonly sentPages: number;
	readonly bandwidthBytesPerMs: number;
	/** What pausing now would cost. */
	readonly expectedDowntimeMs: number | undefined;
}

/** The moments of a save. */
export type SaveMoment =
	| "started"
	| "live"
	| "asked"
	| "paused"
	| "rounds-done"
	| "state"
	| "verified"
	| "resumed"
	| "durable";

/** Collects times and counts of one save. */
export class SaveWatch {
	readonly #clock: Clock;
	readonly #moments = new Map<SaveMoment, number>();
	stopReason: StopReason | undefined;
	setupMs = 0;

	constructor(clock: Clock) {
		this.#clock = clock;
	}

	mark(moment: SaveMoment): void {
		this.#moments.set(moment, this.#clock.now());
	}

	/** ms since a moment; 0 if it has not come. */
	since(moment: SaveMoment): number {
		const at = this.#moments.get(moment);
		return at === undefined ? 0 : this.#clock.now() - at;
	}

	/** The metrics so far. */
	metrics(
		facts: Pick<SaveMetrics, "technique" | "verification" | "incremental">,
		guest: Guest,
		iteration: Iteration,
	): SaveMetrics {
		const { slicesMs, pauseWaitMs } = guest.takeInterruptions();
		const preparationMs = this.#between("live", "paused");
		const commitMs = this.#between("verified", "durable");
		const resumedFirst = this.#between("resumed", "durable") > 0;
		const downtimeMs = this.#between("paused", this.#moments.has("resumed") ? "resumed" : "durable");
		return {
			...facts,
			setupMs: this.setupMs,
			preparationMs,
			downtimeMs,
			commitMs,
			totalMs: preparationMs + downtimeMs + (resumedFirst ? this.#between("resumed", "durable") : 0),
			downtimeParts: {
				finalRoundMs: this.#between("paused", "rounds-done"),
				stateMs: this.#between("rounds-done", "state"),
				verifyMs: this.#between("state", "verified"),
			},
			pageCount: guest.pages.pageCount,
			pagesTransferred: iteration.sentPages,
			zeroPages: iteration.zeroPages,
			bytesTransferred: iteration.rounds.reduce((sum, { sentBytes }) => sum + sentBytes, 0),
			rounds: iteration.rounds,
			stopReason: this.stopReason,
			longestSliceMs: slicesMs.reduce((longest, slice) => Math.max(longest, slice), 0),
			sliceP95Ms: percentile95(slicesMs),
			pauseWaitMs,
			turnWaitMs: Math.max(0, this.#between("asked", "paused") - pauseWaitMs),
			memoryBytes: iteration.memoryBytes,
		};
	}

	#between(from: SaveMoment, to: SaveMoment): number {
		const start = this.#moments.get(from);
		const end = this.#moments.get(to);
		return start === undefined || end === undefined ? 0 : end - start;
	}
}

/** Turns what a save has done so far into progress records. */
export class SaveProgressReport {
	readonly #iteration: Iteration;
	readonly #estimator = new ProgressEstimator();

	constructor(iteration: Iteration) {
		this.#iteration = iteration;
	}

	next(phase: SavePhase | "done", pendingPages: number, roundsLeft: number, elapsedMs: number): SaveProgress {
		const facts = this.#factsSoFar(pendingPages, elapsedMs);
		const last = facts.rounds[facts.rounds.length - 1];
		const dirtyPagesPerMs = last === undefined || last.durationMs <= 0 ? 0 : last.dirtiedPages / last.durationMs;
		const { fraction, etaMs } =
			phase === "done"
				? this.#estimator.finish()
				: this.#estimator.estimate({ ...facts, dirtyPagesPerMs, roundsLeft, elapsedMs });
		return {
			phase,
			fraction,
			etaMs,
			round: facts.rounds.length + (phase === "live" ? 1 : 0),
			pendingPages,
			sentPages: this.#iteration.sentPages,
			bandwidthBytesPerMs: facts.bandwidthBytesPerMs,
			expectedDowntimeMs: expectedDowntimeMs(facts),
		};
	}

	/** Before the first round has ended no round's rate is known: what went out since the start will do. */
	#factsSoFar(pendingPages: number, elapsedMs: number): ConvergenceFacts {
		const facts = this.#iteration.facts(pendingPages);
		if (facts.bandwidthBytesPerMs > 0 || elapsedMs <= 0) return facts;
		return { ...facts, bandwidthBytesPerMs: (this.#iteration.sentPages * facts.bytesPerPage) / elapsedMs };
	}
}

function percentile95(values: readonly number[]): number {
	const sorted = [...values].sort((a, b) => a - b);
	return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * 0.95))] ?? 0;
}
