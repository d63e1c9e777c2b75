/**
 * Stop-and-copy: pause, send everything, resume at the target. The non-live baseline: downtime is the whole transfer,
 * every page travels once. Source: spec section 1 (Hines et al.).
 */
import { type MoveOptions, type MoveServices, move, type Technique } from "./move.ts";
import type { MoveResult } from "./results.ts";

const stopAndCopyTechnique: Technique & { readonly push?: never } = {
	name: "stop-and-copy",
	async transfer({ pauseAndFinish }) {
		await pauseAndFinish();
		return undefined;
	},
};

/**
 * Moves a guest to the target at the other end of the link, paused for the whole transfer.
 *
 * @returns who owns the guest now: `moved`, `kept` or `unconfirmed`. Operating failures are in the result, never thrown.
 * @throws TypeError, RangeError for wrong arguments.
 *
 * @example
 * ```ts ignore
 * const result = await stopAndCopy({ guest, link, clock, random });
 * if (result.outcome !== "moved") console.error(result.error.message);
 * ```
 */
export function stopAndCopy(services: MoveServices, options: MoveOptions = {}): Promise<MoveResult> {
	return move(stopAndCopyTechnique, services, options);
}
