/** What techniques take whose pages follow the guest: in which order they go, and where their positions come from. */
import {
	DEFAULT_MAX_MS,
	DEFAULT_MIN_MS,
	type OutputBoundaryOptions,
	outputBoundaries,
} from "../policies/checkpoint-interval.ts";
import type { PushOrder } from "../policies/push-order.ts";
import type { PageOrder } from "../ports/ordered-guest.ts";
import type { CheckpointInterval } from "../wire/records.ts";

/** See the head of this file. */
export interface FollowingPagesOptions {
	/** The order in which pages are pushed: prepaging with 7 pivots by default. */
	readonly push?: PushOrder;
	/**
	 * What gives pages their positions, along which the push goes and bubbles grow: their `address`, or their last use,
	 * the most recent first (`lru`; pages that nobody has seen used follow by address). Default: `lru` where the guest
	 * notes every use anyway (`guest.order.source` is `uses`), else `address`: sampling costs the guest time before the
	 * switch, 1.6 to 2.6 times that of plain code for a wasm guest.
	 */
	readonly order?: "address" | "lru";
	/**
	 * The target's changes come back to the source as checkpoints while pages are missing, and the guest's output there is
	 * held until the source has the state that produced it: then the guest survives the target (`revive` of the result).
	 * Off by default: without it the target's death loses what the guest did there. Needs a guest that can hold its output.
	 */
	readonly checkpoints?: boolean | OutputBoundaryOptions;
	/** How long uses are noted at least before the pause, in ms: 0 where every use is noted, else 100 by default. */
	readonly learnMs?: number;
}

/** @throws RangeError naming the option */
export function checkFollowing(options: FollowingPagesOptions = {}): void {
	learningTime(options, "uses");
	checkpointInterval(options);
}

/** What the target is told about checkpoints; undefined: none. @throws RangeError */
export function checkpointInterval({ checkpoints }: FollowingPagesOptions): CheckpointInterval | undefined {
	if (checkpoints === undefined || checkpoints === false) return undefined;
	const { minMs = DEFAULT_MIN_MS, maxMs = DEFAULT_MAX_MS } = checkpoints === true ? {} : checkpoints;
	outputBoundaries({ minMs, maxMs });
	return { minMs: Math.round(minMs), maxMs: Math.round(maxMs) };
}

/** Turns of sampling take 10 ms: ten of them tell hot pages from those that were touched once. */
const LEARN_MS = 100;

/** How long to note uses before the pause. @throws RangeError for a negative or infinite time */
export function learningTime({ learnMs }: FollowingPagesOptions, source: PageOrder["source"]): number {
	if (learnMs === undefined) return source === "uses" ? 0 : LEARN_MS;
	if (!(learnMs >= 0 && learnMs < Number.POSITIVE_INFINITY))
		throw new RangeError(`learnMs: must be 0 or more, got ${learnMs}`);
	return learnMs;
}
