/**
 * When the next checkpoint of a running guest begins: a pure function of what has been seen. It is asked when the last one
 * has been acknowledged, and again whenever output begins to be held.
 *
 * Source: spec sections 1 (checkpoints at output boundaries) and 3 (Remus and its intervals).
 */

/** What a policy decides by. Times in ms. */
export interface CheckpointFacts {
	/** Since the last checkpoint's pause; since protection began before the first. */
	readonly sinceLastMs: number;
	/** From the last checkpoint's pause to its acknowledgement; 0 before the first. */
	readonly lastDurationMs: number;
	/** Pieces of output that wait for a checkpoint. */
	readonly heldCount: number;
	/** As much is held as may be: the guest gets no new work until a checkpoint is acknowledged. */
	readonly full: boolean;
}

/** How long to wait for the next checkpoint, in ms; 0: now. */
export type CheckpointPolicy = (facts: CheckpointFacts) => number;

/** Parameters of {@link outputBoundaries}. Plain data: it travels with a move. */
export interface OutputBoundaryOptions {
	/** Least time between two checkpoints while output waits, in ms: 5 by default. What waits meanwhile goes with one. */
	readonly minMs?: number;
	/** Time between two checkpoints while none does, in ms: 100 by default. Bounds what is sent at once. */
	readonly maxMs?: number;
}

/** See {@link OutputBoundaryOptions}. */
export const DEFAULT_MIN_MS = 5;
/** See {@link OutputBoundaryOptions}. */
export const DEFAULT_MAX_MS = 100;

/** Checkpoints at output boundaries: as soon as output waits, else now and then. @throws RangeError */
export function outputBoundaries({
	minMs = DEFAULT_MIN_MS,
	maxMs = DEFAULT_MAX_MS,
}: OutputBoundaryOptions = {}): CheckpointPolicy {
	if (!(minMs >= 0)) throw new RangeError(`minMs: must be 0 or more, got ${minMs}`);
	if (!(maxMs >= minMs && maxMs <= 60_000))
		throw new RangeError(`maxMs: must be from minMs ${minMs} to 60000, got ${maxMs}`);
	return ({ sinceLastMs, heldCount, full }) => Math.max(0, (heldCount > 0 || full ? minMs : maxMs) - sinceLastMs);
}
