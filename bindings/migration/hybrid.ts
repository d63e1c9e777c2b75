/**
 * Hybrid: exactly one pre-copy round, then post-copy of what that round left dirty. Guarantee: as post-copy, but a page
 * may travel twice; the guest waits only for pages that it changed during the round. Source: spec section 1 (Hines,
 * Deshpande, Gopalan, variant 4).
 */
import type { PacingPolicy } from "../policies/pacing.ts";
import { prepaging } from "../policies/push-order.ts";
import type { FollowingPagesOptions } from "./following-pages.ts";
import { type MoveOptions, type MoveServices, move } from "./move.ts";
import type { PostCopyResult } from "./results.ts";

/** What hybrid takes beside {@link MoveOptions}. */
export interface HybridOptions extends MoveOptions, FollowingPagesOptions {
	/** Rate of the live round. Default: as fast as the link takes it. */
	readonly pacing?: PacingPolicy;
}

/**
 * Moves a guest to the target at the other end of the link: once over all pages while it runs here, then the rest while it
 * runs there.
 *
 * @returns as {@link postCopy}.
 * @throws TypeError, RangeError for wrong arguments.
 *
 * @example
 * ```ts ignore
 * const result = await hybrid({ guest, link, clock, random });
 * console.log(result.outcome, result.metrics.paging?.owedPages);
 * ```
 */
export function hybrid(services: MoveServices, options: HybridOptions = {}): Promise<PostCopyResult> {
	return move(
		{
			name: "hybrid",
			push: options.push ?? prepaging(),
			following: options,
			...(options.pacing === undefined ? {} : { pacing: options.pacing }),
			async transfer(steps) {
				steps.roundsLeft = 1;
				const reason = await steps.live((signal) => steps.iteration.live(() => "one-round", signal));
				await steps.pauseAndLeave();
				return reason;
			},
		},
		services,
		options,
	);
}
