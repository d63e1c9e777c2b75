/** What a move looked like to the client: gaps between answers, and how many answers came. */

/** See the head of this file. */
export interface ClientFigures {
	readonly answers: number;
	/** Longest time between two answers while the move was under way, in ms. */
	readonly longestGapInMoveMs: number;
	/** The longest while nothing moved, in ms: what this machine does to any client. */
	readonly longestGapOutsideMs: number;
	readonly answersPerSecondBefore: number;
	readonly answersPerSecondDuring: number;
	readonly answersPerSecondAfter: number;
}

/** @param answeredAtMs - ascending. @param move - when it began and ended, on the same clock. */
export function clientFigures(
	answeredAtMs: readonly number[],
	move: { readonly startMs: number; readonly endMs: number },
): ClientFigures {
	const { startMs, endMs } = move;
	let inside = 0;
	let outside = 0;
	for (let i = 1; i < answeredAtMs.length; i++) {
		const from = answeredAtMs[i - 1] ?? 0;
		const to = answeredAtMs[i] ?? 0;
		if (to >= startMs && from <= endMs) inside = Math.max(inside, to - from);
		else outside = Math.max(outside, to - from);
	}
	const first = answeredAtMs[0] ?? startMs;
	const last = answeredAtMs[answeredAtMs.length - 1] ?? endMs;
	const rate = (fromMs: number, toMs: number): number => {
		const count = answeredAtMs.filter((at) => at >= fromMs && at < toMs).length;
		return toMs > fromMs ? (count * 1000) / (toMs - fromMs) : 0;
	};
	return {
		answers: answeredAtMs.length,
		longestGapInMoveMs: inside,
		longestGapOutsideMs: outside,
		answersPerSecondBefore: rate(first, startMs),
		answersPerSecondDuring: rate(startMs, endMs),
		answersPerSecondAfter: rate(endMs, last),
	};
}
