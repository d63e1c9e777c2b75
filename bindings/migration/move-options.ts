/** What a move is given: services, options, and what a technique adds. See move.ts. */
import type { SourceLedger } from "../handover/ledger.ts";
import type { Deadlines } from "../handover/phases.ts";
import type { CompressionPolicy } from "../policies/compression.ts";
import type { StopReason } from "../policies/convergence.ts";
import type { PacingPolicy } from "../policies/pacing.ts";
import type { PushOrder } from "../policies/push-order.ts";
import type { Clock } from "../ports/clock.ts";
import type { Guest } from "../ports/guest.ts";
import type { Lease, LeaseGrant } from "../ports/lease.ts";
import type { Link } from "../ports/link.ts";
import type { Random } from "../ports/random.ts";
import type { Iteration } from "../rounds/iteration.ts";
import type { FollowingPagesOptions } from "./following-pages.ts";
import type { MoveProgress, TechniqueName, Verification } from "./metrics.ts";
import type { MoveThrottle } from "./throttle.ts";

/** What a move works with. */
export interface MoveServices {
	readonly guest: Guest;
	/** An open link to a target that runs {@link receiveGuest}. The move owns it from here on and closes it. */
	readonly link: Link;
	readonly clock: Clock;
	readonly random: Random;
	/** Where this side records its moves; in memory if left out. */
	readonly ledger?: SourceLedger;
	/** The right to run, if one governs this guest: given up before *go*. */
	readonly lease?: { readonly lease: Lease; readonly grant: LeaseGrant };
}

/** What every technique takes. */
export interface MoveOptions {
	/** Identifies the move on both sides, for {@link resolveMove}: 1–64 characters of `a-z 0-9 -`. Random if left out. */
	readonly moveId?: string;
	/** Cancels at every phase up to `release`; the guest then runs on here. */
	readonly signal?: AbortSignal;
	readonly verification?: Verification;
	/**
	 * A cap in bytes per ms (117 MB/s = 117_000). Not held back: the final round, when the guest is paused, and after a
	 * post-copy switch the pages that the guest waits for; what is pushed then waits for them too.
	 */
	readonly bandwidthBytesPerMs?: number;
	/** Limits the live part of the move: afterwards `cancel` it, or `switch-over` at the end of the round under way. */
	readonly totalTime?: { readonly limitMs: number; readonly onLimit: "cancel" | "switch-over" };
	readonly deadlines?: Partial<Deadlines>;
	/** Overrules the choice that the engine makes from the link's rate and from what compressing costs and saves. */
	readonly compression?: CompressionPolicy;
	/**
	 * Pages of which the source holds the version sent last, from the second round on, to send what changed instead of the
	 * whole page: 0 for none, at most 2^18; 16 384 (64 MiB) if left out. The memory it costs is in the result. For guests
	 * that can (wasm, memory); of others nothing is held, nor where there is no memory for it (`deltaObstacle` in the metrics).
	 */
	readonly deltaCachePages?: number;
	readonly onProgress?: (progress: MoveProgress) => void;
}

/** What a technique adds to a move. */
export interface Technique {
	readonly name: TechniqueName;
	/** Rate policy of the live rounds; a bandwidth cap in the options goes before it. */
	readonly pacing?: PacingPolicy;
	/** How pages go that are left for after the handover; absent: none ever are, and the target need not be able to wait. */
	readonly push?: PushOrder;
	/** Whether the guest may have to be slowed down. */
	readonly throttles?: boolean;
	/** What else is asked for them. */
	readonly following?: FollowingPagesOptions;
	/** Moves the pages; on return the guest is paused and everything is sent, or named as left. @returns why the live rounds ended. */
	transfer(step: TransferSteps): Promise<StopReason | undefined>;
}

/** What a technique's transfer is made of. */
export interface TransferSteps {
	readonly iteration: Iteration;
	/** Live rounds left, for the progress estimate. */
	roundsLeft: number;
	readonly throttle: MoveThrottle;
	/** Runs live rounds as the phase `live`, within the total-time limit. */
	live(work: (signal: AbortSignal, timeIsUp: () => boolean) => Promise<StopReason>): Promise<StopReason>;
	/** Pauses the guest and runs the final round. */
	pauseAndFinish(): Promise<void>;
	/** Pauses the guest and leaves what is dirty for after the handover, but for the pages it cannot fault on. */
	pauseAndLeave(): Promise<void>;
}
