/**
 * The source of a post-copy move takes its guest back from the last complete checkpoint: the target is gone.
 *
 *   right to run (lease, or the caller's word) ─▶ ledger: kept ─▶ state of the checkpoint in place ─▶ runs here
 *
 * Invariants: a dead target and a lost link look the same from here, so the right to run is never guessed; output that the
 * target has released is contained in what is revived, because it was released on our acknowledgement alone.
 */

import { acquireLease, releaseLease } from "../handover/lease-questions.ts";
import type { SourceLedger } from "../handover/ledger.ts";
import { MoveError } from "../handover/move-error.ts";
import { resumeAfterMove } from "../handover/pause-turn.ts";
import { noteOwing } from "../paging/owing.ts";
import type { Clock } from "../ports/clock.ts";
import type { Lease, LeaseGrant } from "../ports/lease.ts";
import type { StandbyGuest } from "../ports/standby-guest.ts";

/** What reviving works with. */
export interface ReviveServices {
	readonly guest: StandbyGuest;
	readonly clock: Clock;
	readonly ledger: SourceLedger;
	/** Decides, where there is one. */
	readonly lease: Lease | undefined;
	/** How long its keeper may take to answer, in ms. */
	readonly answerMs: number;
	readonly moveId: string;
}

/** How to revive. */
export interface ReviveOptions {
	/** How long to wait for the lease, in ms: 0 by default, one try. */
	readonly waitMs?: number;
	readonly signal?: AbortSignal;
}

/** Between two tries to get the lease, in ms. */
const RETRY_MS = 20;

/**
 * @returns the right to run, if a lease governs the guest, which runs then.
 * @throws {MoveError} `lease` while somebody else holds it; `store` when the ledger says otherwise; `guest` when the copy
 *   cannot run. It stays paused here.
 */
export async function reviveGuest(services: ReviveServices, options: ReviveOptions): Promise<LeaseGrant | undefined> {
	const { guest, ledger, lease, moveId } = services;
	const grant = lease === undefined ? undefined : await acquireInTime(services, lease, options);
	try {
		const word = await ledger.read(moveId);
		if (word !== "kept" && !(await ledger.step(moveId, "released", "kept")))
			throw new MoveError("store", `the ledger says '${String(word)}' of the move '${moveId}'`, { phase: "paging" });
		await guest.standby.settle();
		noteOwing(guest, undefined);
		await resumeAfterMove(guest);
		return grant;
	} catch (error) {
		if (lease !== undefined && grant !== undefined) await releaseLease({ ...services, lease }, grant);
		throw error;
	}
}

async function acquireInTime(
	{ clock, answerMs }: ReviveServices,
	lease: Lease,
	{ waitMs = 0, signal }: ReviveOptions,
): Promise<LeaseGrant> {
	const untilMs = clock.now() + waitMs;
	for (;;) {
		signal?.throwIfAborted();
		const grant = await acquireLease({ lease, clock, answerMs });
		if (grant !== undefined) return grant;
		if (clock.now() >= untilMs)
			throw new MoveError(
				"lease",
				"somebody else holds the lease: the guest may run at the target, and stays paused here",
				{ phase: "paging" },
			);
		await clock.sleep(Math.min(RETRY_MS, Math.max(1, untilMs - clock.now())), signal);
	}
}
