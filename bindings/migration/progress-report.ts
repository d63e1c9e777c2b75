/** Turns what a move has done so far into progress records: the fraction never runs backwards. */
import type { MovePhase } from "../handover/move-error.ts";
import { type ConvergenceFacts, expectedDowntimeMs } from "../policies/convergence.ts";
import { ProgressEstimator } from "../policies/progress.ts";
import { PAGE_BYTES } from "../ports/guest.ts";
import type { Iteration } from "../rounds/iteration.ts";
import type { MoveProgress } from "./metrics.ts";

/** What is known of a move. */
export interface ProgressSource {
	readonly phase: MovePhase | "done";
	readonly pendingPages: number;
	readonly roundsLeft: number;
	/** ms since the first page. */
	readonly elapsedMs: number;
	/** What has gone out after the handover. */
	readonly served?: { readonly sentPages: number; readonly remainingPages: number; readonly bytesPerMs: number };
}

/** See the head of this file. One per move. */
export class ProgressReport {
	readonly #moveId: string;
	readonly #iteration: Iteration;
	readonly #estimator = new ProgressEstimator();

	constructor(moveId: string, iteration: Iteration) {
		this.#moveId = moveId;
		this.#iteration = iteration;
	}

	/** The next record. */
	next({ phase, pendingPages, roundsLeft, elapsedMs, served }: ProgressSource): MoveProgress {
		const facts = this.#factsSoFar(pendingPages, elapsedMs);
		const last = facts.rounds[facts.rounds.length - 1];
		const dirtyPagesPerMs = last === undefined || last.durationMs <= 0 ? 0 : last.dirtiedPages / last.durationMs;
		// After the handover nothing becomes dirty here: what is left takes as long as the link needs for it.
		const rate =
			served === undefined
				? { ...facts, dirtyPagesPerMs, roundsLeft }
				: {
						...facts,
						pendingPages: served.remainingPages,
						bandwidthBytesPerMs: served.bytesPerMs,
						bytesPerPage: PAGE_BYTES,
						dirtyPagesPerMs: 0,
						roundsLeft: 0,
					};
		const { fraction, etaMs } =
			phase === "done" ? this.#estimator.finish() : this.#estimator.estimate({ ...rate, elapsedMs });
		return {
			moveId: this.#moveId,
			phase,
			fraction,
			etaMs,
			round: facts.rounds.length + (phase === "live" ? 1 : 0),
			pendingPages: rate.pendingPages,
			sentPages: this.#iteration.sentPages + (served?.sentPages ?? 0),
			bandwidthBytesPerMs: rate.bandwidthBytesPerMs,
			expectedDowntimeMs: served === undefined ? expectedDowntimeMs(facts) : undefined,
		};
	}

	/** Before the first round has ended no round's rate is known: what went out since the start will do for progress. */
	#factsSoFar(pendingPages: number, elapsedMs: number): ConvergenceFacts {
		const facts = this.#iteration.facts(pendingPages);
		if (facts.bandwidthBytesPerMs > 0 || elapsedMs <= 0) return facts;
		return { ...facts, bandwidthBytesPerMs: (this.#iteration.sentPages * facts.bytesPerPage) / elapsedMs };
	}
}
