/**
 * Post-copy: pause, send state, resume at the target, and only then the pages: those the guest waits for first, the others
 * pushed around them.
 *
 *   [zero pages found while the guest runs] ─▶ pause ─▶ pinned pages, the set of missing ones, state ─▶ go ─▶ paging ─▶ accepted
 *
 * Guarantee: up to *go* as every move. Afterwards the guest runs at the target and is stopped only where it touches a page
 * that has not come; every page travels at most once on an undisturbed link, is verified before it is installed, and is
 * installed once. Cost: until paging is complete the guest needs both sides: a lost link stops it at the next missing page
 * ({@link OwedPages.recover}), a lost source loses those pages, a lost target loses what the guest did there.
 *
 * Source: spec section 1 (Hines, Deshpande, Gopalan: Post-Copy Live Migration of Virtual Machines), its variants by
 * `push`: demand paging, active push, prepaging.
 */
import { prepaging } from "../policies/push-order.ts";
import type { FollowingPagesOptions } from "./following-pages.ts";
import { type MoveOptions, type MoveServices, move } from "./move.ts";
import type { PostCopyResult } from "./results.ts";

/** What post-copy takes beside {@link MoveOptions}. */
export interface PostCopyOptions extends MoveOptions, FollowingPagesOptions {
	/**
	 * Whether zero pages are looked for before the switch, while the guest runs, so that none is ever waited for: default
	 * for guests whose changes are noted as they happen. With a scan tracker it would cost a scan of all memory inside the
	 * switch, so there they are owed like others, and travel in 24 bytes each.
	 */
	readonly leaveOutZeroPages?: boolean;
}

/**
 * Moves a guest to the target at the other end of the link; it runs there before its pages have come.
 *
 * @returns `moved` when the target has every page. Operating failures are in the result, never thrown; `interrupted` and
 *   `unconfirmed` carry what goes on over another link.
 * @throws TypeError, RangeError for wrong arguments.
 *
 * @example
 * ```ts ignore
 * let result = await postCopy({ guest, link, clock, random });
 * while (result.outcome === "interrupted") result = await result.paging.recover(await connectAgain());
 * ```
 */
export function postCopy(services: MoveServices, options: PostCopyOptions = {}): Promise<PostCopyResult> {
	const leaveOut = options.leaveOutZeroPages ?? services.guest.dirty.tracker !== "scan";
	return move(
		{
			name: "post-copy",
			push: options.push ?? prepaging(),
			following: options,
			async transfer(steps) {
				if (leaveOut)
					await steps.live(async (signal) => {
						await steps.iteration.markNonZero(signal);
						return "zero-pages-found";
					});
				await steps.pauseAndLeave();
				return undefined;
			},
		},
		services,
		options,
	);
}
