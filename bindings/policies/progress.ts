/**
 * A fraction that never runs backwards and a time to the end, from facts that do run backwards (pre-copy's dirty set
 * grows and shrinks). Pure but for its own memory of what it has said.
 */

/** What is known when progress is asked for. */
export interface ProgressFacts {
	readonly pageCount: number;
	/** Pages not yet sent in the round under way, plus those known to be dirty again. */
	readonly pendingPages: number;
	readonly elapsedMs: number;
	readonly bandwidthBytesPerMs: number;
	readonly bytesPerPage: number;
	/** Pages that become dirty per ms, as measured over the last round; 0 if unknown. */
	readonly dirtyPagesPerMs: number;
	/** Live rounds that are still allowed. */
	readonly roundsLeft: number;
}

/** An estimate. */
export interface ProgressEstimate {
	/** 0 … 1, never smaller than before; 1 only through {@link ProgressEstimator.finish}. */
	readonly fraction: number;
	/** Milliseconds to the end, `undefined` while there is nothing to go by. */
	readonly etaMs: number | undefined;
}

/** The most that is said before the end is reached: the switchover is the rest. */
const FRACTION_BEFORE_END = 0.99;

/** See the head of this file. One per operation. */
export class ProgressEstimator {
	#fraction = 0;

	/** The next estimate. The time left sums the rounds to come: each sends what the one before let become dirty. */
	estimate(facts: ProgressFacts): ProgressEstimate {
		const etaMs = remainingMs(facts);
		const byTime = etaMs === undefined ? 0 : facts.elapsedMs / (facts.elapsedMs + etaMs || 1);
		this.#fraction = Math.max(this.#fraction, Math.min(byTime, FRACTION_BEFORE_END));
		return { fraction: this.#fraction, etaMs };
	}

	/** The last word: everything is done. */
	finish(): ProgressEstimate {
		this.#fraction = 1;
		return { fraction: 1, etaMs: 0 };
	}
}

function remainingMs(facts: ProgressFacts): number | undefined {
	if (facts.bandwidthBytesPerMs <= 0) return undefined;
	const roundMs = (pages: number): number => (pages * facts.bytesPerPage) / facts.bandwidthBytesPerMs;
	// Round times form a geometric series with this ratio; at 1 or above it ends only with the rounds allowed.
	const ratio = Math.min(facts.dirtyPagesPerMs * roundMs(1), 1);
	let totalMs = 0;
	let pages = facts.pendingPages;
	for (let round = 0; round <= Math.min(facts.roundsLeft, 30) && pages >= 1; round++) {
		totalMs += roundMs(pages);
		pages = Math.min(pages * ratio, facts.pageCount);
	}
	return totalMs;
}
