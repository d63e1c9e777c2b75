/**
 * Pre-copy as Xen does it: live rounds over the pages that became dirty in the round before, then a short pause for the
 * rest. Guarantee: until *go* the guest runs here and loses nothing whatever fails. Cost: pages that change while they
 * travel are sent again; a guest that dirties faster than the link carries never converges, and the stop conditions end
 * the rounds. Source: spec section 1 (Hines et al. on Xen; Clark et al. for adaptive rates).
 */
import {
	type ConvergencePolicy,
	downtimeConvergence,
	firstOf,
	type StopReason,
	xenConvergence,
} from "../policies/convergence.ts";
import type { PacingPolicy } from "../policies/pacing.ts";
import { prepaging } from "../policies/push-order.ts";
import { nextShare } from "../policies/throttling.ts";
import type { FollowingPagesOptions } from "./following-pages.ts";
import { type MoveOptions, type MoveServices, move } from "./move.ts";
import type { MoveResult, PostCopyResult } from "./results.ts";

/** What pre-copy takes beside {@link MoveOptions}. */
export interface PreCopyOptions extends MoveOptions, FollowingPagesOptions {
	/**
	 * When to pause. Default: as soon as the rest is expected to take no more than `downtimeLimitMs`, and in any case
	 * under Xen's three conditions. `xenConvergence()` alone is the paper's pre-copy.
	 */
	readonly convergence?: ConvergencePolicy;
	/** For the default convergence: 300 ms if left out. */
	readonly downtimeLimitMs?: number;
	/** Rate per round, e.g. `adaptiveRate().pacing`. Default: as fast as the link takes it. */
	readonly pacing?: PacingPolicy;
	/**
	 * What to do when the rounds end although the rest is large (Xen's limits, the total-time limit): pause for all of it
	 * (`switch-over`, the default), or let the guest run at the target and send the rest after it (`post-copy`), which needs
	 * a guest that can wait for pages; or slow the guest down round by round until little is left (`throttle`), which needs
	 * a guest that can be, and costs it up to 95 % of its time.
	 */
	readonly whenNotConverging?: "switch-over" | "post-copy" | "throttle";
}

/** Reasons to stop that say that little is left. Any other, a caller's own included, says that it would not become less. */
const CONVERGED: ReadonlySet<StopReason | undefined> = new Set(["few-dirty-pages", "downtime-limit"]);

/** Reasons that slowing the guest down does not answer. */
const ENDED: ReadonlySet<StopReason> = new Set(["few-dirty-pages", "downtime-limit", "total-time-limit"]);

/** Xen runs 29 live rounds at most: what the progress estimate counts with. */
const LIVE_ROUNDS = 29;

/**
 * Moves a running guest to the target at the other end of the link.
 *
 * @returns who owns the guest now: `moved`, `kept` or `unconfirmed`. Operating failures are in the result, never thrown.
 * @throws TypeError, RangeError for wrong arguments.
 *
 * @example
 * ```ts ignore
 * const result = await preCopy({ guest, link, clock, random }, { downtimeLimitMs: 100, onProgress: console.log });
 * console.log(result.outcome, result.metrics.downtimeMs);
 * ```
 */
export function preCopy(
	services: MoveServices,
	options?: PreCopyOptions & { readonly whenNotConverging?: "switch-over" | "throttle" },
): Promise<MoveResult>;
export function preCopy(services: MoveServices, options?: PreCopyOptions): Promise<PostCopyResult>;
export function preCopy(services: MoveServices, options: PreCopyOptions = {}): Promise<PostCopyResult> {
	const postCopy = options.whenNotConverging === "post-copy";
	const throttle = options.whenNotConverging === "throttle";
	const policy = options.convergence ?? firstOf(downtimeConvergence(options.downtimeLimitMs ?? 300), xenConvergence());
	return move(
		{
			name: "pre-copy",
			...(options.pacing === undefined ? {} : { pacing: options.pacing }),
			throttles: throttle,
			...(postCopy ? { push: options.push ?? prepaging(), following: options } : {}),
			async transfer(steps) {
				steps.roundsLeft = LIVE_ROUNDS;
				const rounds = (): Promise<StopReason> =>
					steps.live((signal, timeIsUp) =>
						steps.iteration.live((facts) => (timeIsUp() ? "total-time-limit" : policy(facts)), signal),
					);
				try {
					let reason = await rounds();
					let share = throttle ? nextShare(1) : undefined;
					for (; share !== undefined && !ENDED.has(reason); share = nextShare(share)) {
						await steps.throttle.limit(share);
						reason = await rounds();
					}
					await (postCopy && !CONVERGED.has(reason) ? steps.pauseAndLeave() : steps.pauseAndFinish());
					return reason;
				} finally {
					// A guest that is kept gets all of its time again.
					await steps.throttle.release();
				}
			},
		},
		services,
		options,
	);
}
