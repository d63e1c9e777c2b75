/** How a move ends at its source: the guest is given up, runs on here, or waits for a decision. See move.ts. */

import { renewLease, takeAgain } from "../handover/lease-questions.ts";
import { MoveError } from "../handover/move-error.ts";
import { pauseHoldOf } from "../handover/pause-turn.ts";
import { withDeadline } from "../handover/phases.ts";
import { tryAll } from "../handover/try-all.ts";
import { LeaseError, type LeaseGrant } from "../ports/lease.ts";
import type { MoveContext } from "./move-context.ts";
import type { PostCopyResult } from "./results.ts";

/** After `running`: the copy here is given up and everything released. Never rejects: the guest is the target's. */
export async function letGo(move: MoveContext): Promise<PostCopyResult> {
	const { guest, clock } = move.services;
	const { moveId } = move;
	const bytesOnWire = move.conversation.bytesSent;
	await move.iteration.close().catch(() => undefined); // the tracker of a guest that is given up
	move.watch.mark("released");
	const metrics = move.metrics(bytesOnWire);
	const trouble = await tryAll(
		() => guest.discard(),
		() => move.hold?.giveUp(),
		() =>
			withDeadline(clock, { deadlineMs: move.deadlines.stallMs }, () => move.conversation.close()).catch(
				() => undefined, // everything has been said
			),
		() => move.report("done"),
	);
	return { outcome: "moved", moveId, metrics, ...(trouble === undefined ? {} : { trouble }) };
}

/**
 * Ends the order of use of a guest that stands still: from *go* on nothing here may hold up the target, which asks for pages,
 * nor turn a move into an error.
 */
export function closeOrderLater(move: MoveContext): void {
	move.order?.close().catch(() => undefined); // it goes with a guest that is dead
}

/** Ends a move that failed: the guest runs on here, or nobody knows who runs it. */
export async function endFailed(move: MoveContext, error: MoveError): Promise<PostCopyResult> {
	const { clock } = move.services;
	const bytesOnWire = move.conversation.bytesSent;
	const metrics = move.metrics(bytesOnWire);
	const moveId = move.moveId;
	if (move.goSent) {
		closeOrderLater(move);
		// The target may run. Nothing here may, until resolveMove or the caller has decided.
		if (move.serving === undefined) await move.iteration.close().catch(() => undefined); // the tracker of a copy that stays paused
		await withDeadline(clock, { deadlineMs: move.deadlines.stallMs }, () => move.conversation.close()).catch(
			() => undefined,
		);
		move.services.link.abort(error);
		if (move.serving !== undefined) return move.serving.unconfirmed(error, bytesOnWire);
		return { outcome: "unconfirmed", moveId, error, metrics };
	}
	await withDeadline(clock, { deadlineMs: 1000 }, () => move.conversation.giveUp(error)).catch(
		() => undefined, // the peer that is not told finds out by its own deadline
	);
	move.services.link.abort(error);
	const { error: failure, grant } = await runOn(move, error);
	await move.order?.close().catch(() => undefined); // it goes with a guest that is dead
	return { outcome: "kept", moveId, error: failure, metrics, ...(grant === undefined ? {} : { grant }) };
}

/** Before *go*: undoes what was done and lets the guest run on here. @returns the error, sharpened if it cannot run, and the right to. */
async function runOn(
	move: MoveContext,
	error: MoveError,
): Promise<{ readonly error: MoveError; readonly grant?: LeaseGrant | undefined }> {
	const { guest, lease } = move.services;
	await move.iteration.close().catch(() => undefined); // a dead guest cannot detach; its own error is already here
	let grant: LeaseGrant | undefined;
	try {
		if ((await move.ledger.read(move.moveId)) === "released") await move.ledger.step(move.moveId, "released", "kept");
		else await move.ledger.step(move.moveId, "moving", "kept");
		grant = await rightToRun(move);
		if (lease !== undefined && grant === undefined) {
			const message = `${error.message}; the guest stays paused: its lease no longer holds`;
			return { error: new MoveError("lease", message, { phase: error.phase, cause: error }) };
		}
		// Another operation may hold the guest paused, which this move has not done yet.
		if (move.hold !== undefined) await move.hold.resume();
		else if (pauseHoldOf(guest) === undefined) await guest.resume();
		return { error, grant };
	} catch (cause) {
		const message = `${error.message}; the guest could not be resumed: ${String(cause)}`;
		const code = cause instanceof LeaseError ? "lease" : error.code;
		return { error: new MoveError(code, message, { phase: error.phase, cause }), grant };
	}
}

/** The grant under which the guest may run on here; undefined if there is none. @throws {LeaseError} */
async function rightToRun(move: MoveContext): Promise<LeaseGrant | undefined> {
	const { clock, lease: held } = move.services;
	if (held === undefined) return undefined;
	const asking = { lease: held.lease, clock, answerMs: move.deadlines.releaseMs };
	return move.leaseGivenUp ? takeAgain(asking, held.grant) : renewLease(asking, held.grant);
}
