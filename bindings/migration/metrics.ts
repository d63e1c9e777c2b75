/**
 * What a move reports: the paper's metrics (spec section 1), per round and in total, and the pauses that downtime alone
 * would hide. Times are on the source's clock, in ms.
 */
import type { FollowerFigures } from "../epochs/checkpoint-follower.ts";
import type { MovePhase } from "../handover/move-error.ts";
import type { PagingSample } from "../paging/fault-figures.ts";
import type { RoundFacts, StopReason } from "../policies/convergence.ts";
import type { PageKinds } from "../ports/guest.ts";
import type { PageOrder } from "../ports/ordered-guest.ts";

/** The techniques of this version. */
export type TechniqueName = "stop-and-copy" | "pre-copy" | "post-copy" | "hybrid";

/**
 * How memory is verified. `transport`: what was sent is what was installed, always on. `full`: the paused source's whole
 * memory is hashed again, which also catches a dirty page that no tracker saw.
 */
export type Verification = "transport" | "full";

/** The metrics of one move. */
export interface MoveMetrics {
	readonly technique: TechniqueName;
	readonly verification: Verification;
	/** Target memory and code, dirty tracker: our own preparation, beside the paper's times and in none of them. */
	readonly setupMs: number;
	/** From the first page until the guest is paused: the live rounds. */
	readonly preparationMs: number;
	/** From the guest being paused until the target is known to run. */
	readonly downtimeMs: number;
	/** From the target running until it has every page, or the source has let go of its copy: the paper's resume time. */
	readonly resumeMs: number;
	/** Preparation + downtime + resume. */
	readonly totalMs: number;
	/** Of the downtime: the final round, capturing state and sending it, hashing all memory again, the target's verification. */
	readonly downtimeParts: {
		readonly finalRoundMs: number;
		readonly stateMs: number;
		readonly verifyMs: number;
		readonly commitMs: number;
	};
	readonly pageCount: number;
	/** Duplicates counted. */
	readonly pagesTransferred: number;
	readonly zeroPages: number;
	/** How the pages of the rounds went, duplicates counted; absent if the guest does not say. Pages that follow are not in it. */
	readonly pageKinds?: PageKinds;
	/** Why nothing was held to send deltas against although the guest could: there was no memory for `deltaCachePages`. Pages went whole. */
	readonly deltaObstacle?: string;
	/** Everything this side gave to the link, headers and control records included. */
	readonly bytesOnWire: number;
	/** Faults that the network served; only techniques that resume before all pages are there have any. */
	readonly networkFaults: number;
	/** First touches of pages that were already there. */
	readonly minorFaults: number;
	/** What came after the handover, if anything was left for then. */
	readonly paging?: PagingMetrics;
	readonly rounds: readonly RoundFacts[];
	readonly stopReason: StopReason | undefined;
	/** The least share of the time that the guest was left with, if it was slowed down. */
	readonly throttledToShare?: number;
	/** Longest time that live work held the guest's thread at a stretch. */
	readonly longestSliceMs: number;
	/** 95 % of the slices were no longer than this. */
	readonly sliceP95Ms: number;
	/** How long the guest took to reach its pause point. */
	readonly pauseWaitMs: number;
	/** What the operation itself held on the source: bitmaps, lists, hash table, versions sent. */
	readonly memoryBytes: number;
}

/** The metrics of paging. What the guest felt is as the target reports it at the end; zero if it never came to that. */
export interface PagingMetrics {
	/** Pages that were missing when the target began to run. */
	readonly owedPages: number;
	/** What gave them their positions: their address, or the order of last use and how it was known. */
	readonly order: "address" | PageOrder["source"];
	/** Pages whose last use was known at the switch. */
	readonly knownPages: number;
	/** Pages served because the guest waited for them and they had not left: the paper's network faults. */
	readonly networkFaults: number;
	/** Faults on pages that were on their way. */
	readonly inFlightWaits: number;
	/** Pages pushed. */
	readonly pushedPages: number;
	/** Pages sent again after a recovery. */
	readonly resentPages: number;
	/** Links that were lost and replaced. */
	readonly recoveries: number;
	/** Time the guest has stood still for pages. */
	readonly blockedMs: number;
	readonly faultLatency: {
		readonly p50Ms: number;
		readonly p90Ms: number;
		readonly maximumMs: number;
		/** Waits of 2^i to 2^(i+1) µs, i from 0. */
		readonly histogram: readonly number[];
	};
	/** Pages the guest has not touched before the end; absent where it cannot tell. */
	readonly pushedInVain?: number;
	/** What has come back from the target, where its changes do: checkpoints, pages and bytes. */
	readonly checkpoints?: FollowerFigures;
	/** The source's view over time, for plots; of the last link. */
	readonly timeline: readonly PagingSample[];
}

/** One step of progress. A fraction never runs backwards. */
export interface MoveProgress {
	readonly moveId: string;
	readonly phase: MovePhase | "done";
	/** 0 … 1. */
	readonly fraction: number;
	/** Milliseconds to the end, as far as it can be told. */
	readonly etaMs: number | undefined;
	/** The round under way, from 1; 0 before the first. */
	readonly round: number;
	readonly pendingPages: number;
	readonly sentPages: number;
	readonly bandwidthBytesPerMs: number;
	/** What pausing now would cost. */
	readonly expectedDowntimeMs: number | undefined;
}

/** The value below which `share` (0 … 1) of the values lie; 0 for none. */
export function percentile(values: readonly number[], share: number): number {
	if (values.length === 0) return 0;
	const sorted = [...values].sort((a, b) => a - b);
	return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))]!;
}
