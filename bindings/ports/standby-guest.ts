/**
 * A paused copy of a guest that runs elsewhere: it follows by checkpoints, and can take over from the last one.
 *
 *   paused ──apply(1)──▶ paused, as at checkpoint 1 ──apply(2)──▶ … ──settle──▶ resume
 *
 * Source: spec sections 1 (the source of a post-copy move that takes the target's changes back) and 3 (a Remus backup).
 */
import type { EncodedBatch, Guest } from "./guest.ts";

/** See the head of this file. */
export interface StandbyGuest extends Guest {
	readonly standby: Standby;
}

/** What of one checkpoint changes a copy: everything since the checkpoint before. */
export interface GuestCheckpoint {
	/** Pages that the guest has: the copy grows to it. */
	readonly pageCount: number;
	readonly batches: readonly EncodedBatch[];
	/** Everything but RAM, whole. */
	readonly state: Uint8Array<ArrayBuffer>;
}

/** How a paused copy follows. */
export interface Standby {
	/**
	 * Brings the paused copy to this checkpoint, or leaves it as it is: every page is verified before the first is installed.
	 * @throws {BatchError} (engine/batch.ts) naming the page; {@link GuestError} `not-paused`, `too-large`. Nothing has
	 *   changed then.
	 */
	apply(checkpoint: GuestCheckpoint): Promise<void>;
	/**
	 * Puts the state of the last checkpoint in place, so that {@link Guest.resume} goes on from there. Without a checkpoint
	 * the copy is as it was paused.
	 * @throws {GuestError} `state`; the copy is then unusable.
	 */
	settle(): Promise<void>;
}

/** Whether a guest is a {@link StandbyGuest}. */
export function isStandbyGuest(guest: Guest): guest is StandbyGuest {
	return "standby" in guest;
}
