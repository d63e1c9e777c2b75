/**
 * Settles a move that ended `unconfirmed`: *go* may have reached the target, so this side may not resume by itself.
 *
 *   asks the target ─┬─ running  ──▶ moved: this copy is discarded
 *                    ├─ declined ──▶ kept:  a late *go* is void, the guest runs on here
 *                    └─ unknown, or no answer ──▶ still unconfirmed
 *
 * If the target is gone for good only the caller can know; see {@link decideMove}.
 */
import { Conversation } from "../handover/conversation.ts";
import { acquireLease, LEASE_ANSWER_MS, releaseLease } from "../handover/lease-questions.ts";
import type { SourceLedger } from "../handover/ledger.ts";
import { MoveError } from "../handover/move-error.ts";
import { endMoveHold, resumeAfterMove } from "../handover/pause-turn.ts";
import { toMoveError, withDeadline } from "../handover/phases.ts";
import { noteOwing, owingStage } from "../paging/owing.ts";
import type { Clock } from "../ports/clock.ts";
import type { Guest } from "../ports/guest.ts";
import type { Lease, LeaseGrant } from "../ports/lease.ts";
import type { Link } from "../ports/link.ts";

/** What resolving works with. */
export interface ResolveServices {
	/** The paused copy of the `unconfirmed` move. */
	readonly guest: Guest;
	readonly clock: Clock;
	/** The ledger that the move was recorded in, if it was given one. */
	readonly ledger?: SourceLedger;
	/** The lease that governed the guest: taken again before it runs on. */
	readonly lease?: Lease;
}

/** How a move was settled. */
export type Resolution =
	| { readonly outcome: "moved" }
	| { readonly outcome: "kept"; readonly grant: LeaseGrant | undefined }
	| { readonly outcome: "unconfirmed"; readonly error: MoveError };

/** How long to wait for an answer, in ms. */
const ANSWER_MS = 10_000;

/**
 * Asks the target over a new link.
 *
 * @example
 * ```ts ignore
 * if (result.outcome === "unconfirmed") console.log(await resolveMove({ guest, clock }, await connectAgain(), result.moveId));
 * ```
 */
export async function resolveMove(
	services: ResolveServices,
	link: Link,
	moveId: string,
	deadlineMs: number = ANSWER_MS,
): Promise<Resolution> {
	const conversation = new Conversation(link);
	try {
		const limits = { deadlineMs, peer: conversation.failed };
		const answer = await withDeadline(services.clock, limits, async (signal) => {
			await conversation.send({ type: "query", moveId });
			return conversation.expect("answer", signal);
		});
		if (answer.moveId !== moveId)
			throw new MoveError("protocol", `asked about '${moveId}', answered about '${answer.moveId}'`);
		if (answer.status === "running") return await decideMove(services, moveId, "moved");
		if (answer.status === "declined") return await decideMove(services, moveId, "kept", deadlineMs);
		throw new MoveError(
			"peer",
			`the target knows nothing certain of the move '${moveId}' (${answer.status}): it keeps no durable ledger`,
		);
	} catch (error) {
		return { outcome: "unconfirmed", error: toMoveError(error, undefined, undefined) };
	} finally {
		link.abort(undefined);
	}
}

/**
 * The caller's own word on an `unconfirmed` move, when the target cannot be asked any more: `kept` says that the target
 * does not run the guest and never will, `moved` that it does. Never say it by guessing: two running copies cannot be
 * merged. A guest whose pages a post-copy target needs is neither given up nor resumed this way: `recover` and `abandon` of
 * the move's result settle it.
 * @param answerMs - how long the lease's keeper may take to answer, in ms; 10 000 by default.
 * @throws {LeaseError} when it does not: nothing is decided then.
 */
export async function decideMove(
	services: ResolveServices,
	moveId: string,
	owner: "moved" | "kept",
	answerMs: number = LEASE_ANSWER_MS,
): Promise<Resolution> {
	const { guest, ledger, lease, clock } = services;
	const owing = owingStage(guest);
	if (owing === "running" || (owing === "unconfirmed" && owner === "moved"))
		return {
			outcome: "unconfirmed",
			error: new MoveError("peer", "pages that the target needs are only here: recover or abandon the post-copy move"),
		};
	if (owner === "moved") {
		await ledger?.step(moveId, "released", "moved");
		await guest.discard();
		endMoveHold(guest);
		return { outcome: "moved" };
	}
	const asking = lease === undefined ? undefined : { lease, clock, answerMs };
	const grant = asking === undefined ? undefined : await acquireLease(asking);
	if (asking !== undefined && grant === undefined)
		return {
			outcome: "unconfirmed",
			error: new MoveError("lease", "somebody else holds the lease: the guest stays paused here"),
		};
	try {
		await ledger?.step(moveId, "released", "kept");
		noteOwing(guest, undefined);
		await resumeAfterMove(guest);
	} catch (error) {
		// Nobody would know of the grant, and the next try would find the lease held.
		if (asking !== undefined && grant !== undefined) await releaseLease(asking, grant);
		throw error;
	}
	return { outcome: "kept", grant };
}
