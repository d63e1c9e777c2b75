/**
 * Guests whose memory is the only copy of pages that somebody else needs: they must not be discarded, resumed or moved
 * before that is settled.
 */
import type { Guest } from "../ports/guest.ts";

/** What is known of the other side: it may run the guest, or it does. */
export type OwingStage = "unconfirmed" | "running";

const owing = new WeakMap<Guest, OwingStage>();

/** Notes what a guest owes, or (`undefined`) that it owes nothing any more. */
export function noteOwing(guest: Guest, stage: OwingStage | undefined): void {
	if (stage === undefined) owing.delete(guest);
	else owing.set(guest, stage);
}

/** Whether the guest owes pages, and to whom. */
export function owingStage(guest: Guest): OwingStage | undefined {
	return owing.get(guest);
}
