/**
 * Pre-copy as Xen does it: live rounds over the pages that became dirty in the round before, then a short pause for the
 * rest. Guarantee: until *go* the guest runs here and loses nothing whatever fails. Cost: pages that change while they
 * travel are sent again; a guest that dirties faster than the link carries never converges, and the stop conditions end
 * the rounds. Source: spec section 1 (Hines et al. on Xen; Clark et al. for adaptive rates).
 */
import { type ConvergencePolicy, downtimeConvergence, firstOf, xenConvergence } from "../policies/convergence.ts";
import type { PacingPolicy } from "../policies/pacing.ts";
import { type MoveOptions, type MoveResult, type MoveServices, move } from "./move.ts";

/** What pre-copy takes beside {@link MoveOptions}. */
export interface PreCopyOptions extends MoveOptions {
	/**
	 * When to pause. Default: as soon as the rest is expected to take no more than `downtimeLimitMs`, and in any case
	 * under Xen's three conditions. `xenConvergence()` alone is the paper's pre-copy.
	 */
	readonly convergence?: ConvergencePolicy;
	/** For the default convergence: 300 ms if left out. */
	readonly downtimeLimitMs?: number;
	/** Rate per round, e.g. `adaptiveRate().pacing`. Default: as fast as the link takes it. */
	readonly pacing?: PacingPolicy;
}

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
export function preCopy(services: MoveServices, options: PreCopyOptions = {}): Promise<MoveResult> {
	const policy = options.convergence ?? firstOf(downtimeConvergence(options.downtimeLimitMs ?? 300), xenConvergence());
	return move(
		{
			name: "pre-copy",
			...(options.pacing === undefined ? {} : { pacing: options.pacing }),
			async transfer(steps) {
				steps.roundsLeft = LIVE_ROUNDS;
				const reason = await steps.live((signal, timeIsUp) =>
					steps.iteration.live((facts) => (timeIsUp() ? "total-time-limit" : policy(facts)), signal),
				);
				await steps.pauseAndFinish();
				return reason;
			},
		},
		services,
		options,
	);
}
