/**
 * Improved Live Save's stop condition: Xen's three, with a maximum of iterations that moves. After each iteration it falls
 * by one if the dirty frequency is too high, and otherwise rises by one again, never above where it began:
 *
 *   too high                ─▶ MAX_iterations − 1
 *   else if below 30        ─▶ MAX_iterations + 1
 *
 * The paper says in two ways what is too high; both are here, by name, and they do not agree (a guest whose dirty pages
 * grow slowly is `not-fewer` long before it outruns its sink).
 *
 * Source: spec section 2 (Chuang and Huang, Live Save, table 3 and section 3.2.2).
 */
import { type ConvergencePolicy, type RoundFacts, type XenConvergenceOptions, xenConvergence } from "./convergence.ts";

/**
 * `sink-limit`: pages were dirtied faster than the sink takes them (the paper's table 3, "system process limit").
 * `not-fewer`: the iteration dirtied no fewer pages than the one before (its section 3.2.2).
 */
export type DirtyFrequencyReading = "sink-limit" | "not-fewer";

/** Parameters of {@link improvedConvergence}: Xen's, and which reading. */
export interface ImprovedConvergenceOptions extends XenConvergenceOptions {
	/** `sink-limit` if left out: the paper's pseudocode. */
	readonly reading?: DirtyFrequencyReading;
}

/**
 * Xen's stop conditions with the adaptive maximum.
 * @throws RangeError for parameters that are not greater than 0.
 */
export function improvedConvergence(options: ImprovedConvergenceOptions = {}): ConvergencePolicy {
	const { reading = "sink-limit", ...xen } = options;
	const limit = xen.maxIterations ?? 30;
	const other = xenConvergence(xen);
	return (facts) =>
		facts.rounds.length >= maxIterationsAfter(facts.rounds, reading, limit) - 1 ? "iterations" : other(facts);
}

/** MAX_iterations as it stands after these live rounds: a function of what they did, so nothing is remembered. */
export function maxIterationsAfter(
	rounds: readonly RoundFacts[],
	reading: DirtyFrequencyReading,
	limit: number = 30,
): number {
	const isTooHigh = reading === "sink-limit" ? exceedsSink : isNotFewer;
	let maximum = limit;
	for (const index of rounds.keys()) {
		if (isTooHigh(rounds, index)) maximum--;
		else if (maximum < limit) maximum++;
	}
	return maximum;
}

/** The sink's rate is that of the last round that gave it anything: a round whose pages were all skipped says nothing of it. */
function exceedsSink(rounds: readonly RoundFacts[], index: number): boolean {
	const { dirtiedPages, durationMs } = rounds[index]!;
	const measured = rounds.slice(0, index + 1).findLast((round) => round.sentPages > 0 && round.durationMs > 0);
	if (measured === undefined || !(durationMs > 0)) return false;
	return dirtiedPages / durationMs > measured.sentPages / measured.durationMs;
}

function isNotFewer(rounds: readonly RoundFacts[], index: number): boolean {
	const before = rounds[index - 1];
	return before !== undefined && rounds[index]!.dirtiedPages >= before.dirtiedPages;
}
