/**
 * The source side of a move: everything that the techniques have in common. A technique only says how the pages travel
 * before the handover, and which are left for after it.
 *
 *   handshake ─▶ set-up ─▶ (technique: live ─▶ pause ─▶ final round) ─▶ state ─▶ verify ─▶ release ─▶ go ─▶ confirm
 *                                                                                      pages left (serving.ts) ─▶ paging
 *
 * Guarantee: up to `release` any failure, deadline or cancellation leaves the guest running here (`kept`). Once *go* may
 * have left, this side never resumes on its own: it learns that the target runs (`moved`), or it does not know
 * (`unconfirmed`) and {@link resolveMove} settles it. See docs/protocol.md for the other side.
 */
import { toMoveError } from "../handover/phases.ts";
import { owingStage } from "../paging/owing.ts";
import type { Guest } from "../ports/guest.ts";
import { checkFollowing } from "./following-pages.ts";
import { commit, sendState } from "./move-commit.ts";
import { MoveContext } from "./move-context.ts";
import { closeOrderLater, endFailed, letGo } from "./move-ending.ts";
import { openMove } from "./move-opening.ts";
import type { MoveOptions, MoveServices, Technique } from "./move-options.ts";
import { transferSteps } from "./move-transfer.ts";
import type { MoveResult, PostCopyResult } from "./results.ts";

export type { MoveOptions, MoveServices, Technique } from "./move-options.ts";
export type { MoveResult } from "./results.ts";

/** Guests with a move under way: one at a time. */
const moving = new WeakSet<Guest>();

/**
 * Runs a move with a technique. Not called by users: see {@link preCopy} and {@link stopAndCopy}.
 * @throws TypeError when another move of this guest is under way; RangeError for options out of range.
 */
export function move(
	technique: Technique & { readonly push?: never },
	services: MoveServices,
	options: MoveOptions,
): Promise<MoveResult>;
export function move(technique: Technique, services: MoveServices, options: MoveOptions): Promise<PostCopyResult>;
export async function move(
	technique: Technique,
	services: MoveServices,
	options: MoveOptions,
): Promise<PostCopyResult> {
	if (moving.has(services.guest)) throw new TypeError("guest: another move of this guest is under way");
	if (owingStage(services.guest) !== undefined)
		throw new TypeError("guest: the target of an earlier move needs its pages: recover or abandon that move");
	checkFollowing(technique.following);
	const context = new MoveContext(technique, services, options);
	moving.add(services.guest);
	try {
		return await run(context);
	} finally {
		moving.delete(services.guest);
	}
}

async function run(move: MoveContext): Promise<PostCopyResult> {
	const { guest } = move.services;
	guest.takeInterruptions(); // what came before does not count
	move.watch.mark("started");
	try {
		await openMove(move);
		move.watch.stopReason = await move.technique.transfer(transferSteps(move));
		await sendState(move);
		await commit(move);
	} catch (error) {
		return await endFailed(move, toMoveError(error, move.phases.current, move.options.signal));
	} finally {
		move.stalls.end();
	}
	if (move.serving !== undefined) {
		const result = await move.serving.serve(move.conversation);
		if (result.outcome !== "moved") closeOrderLater(move); // a copy that is discarded has none
		return result;
	}
	await move.ledger.step(move.moveId, "released", "moved").catch(() => false); // `released` already says: never resume
	return letGo(move);
}
