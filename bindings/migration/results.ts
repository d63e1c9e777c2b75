/** How a move ends, and so whom the guest belongs to. */
import type { MoveError } from "../handover/move-error.ts";
import type { LeaseGrant } from "../ports/lease.ts";
import type { Link } from "../ports/link.ts";
import type { MoveMetrics } from "./metrics.ts";
import type { ReviveOptions } from "./revive.ts";

/** The end of a move whose pages all travel before the handover. */
export type MoveResult =
	/** The target runs the guest and has all of it; this copy is discarded. */
	| {
			readonly outcome: "moved";
			readonly moveId: string;
			readonly metrics: MoveMetrics;
			/** What failed here once the guest was the target's: discarding this copy, or the caller's `onProgress`. It changes nothing. */
			readonly trouble?: MoveError;
	  }
	/** The guest is here, and runs unless the error says that it cannot. */
	| {
			readonly outcome: "kept";
			readonly moveId: string;
			readonly error: MoveError;
			readonly metrics: MoveMetrics;
			/** The right to run, if a lease governs the guest and this side has it: the grant that the move was given may not hold any more. */
			readonly grant?: LeaseGrant;
	  }
	/** *go* may have arrived: the guest is paused here until it is settled, by `resolveMove` or the caller's decision. */
	| {
			readonly outcome: "unconfirmed";
			readonly moveId: string;
			readonly error: MoveError;
			readonly metrics: MoveMetrics;
			/** Of a post-copy move: {@link OwedPages.recover} settles it, and goes on with the pages if the target runs. */
			readonly paging?: OwedPages;
	  };

/** The end of a move whose pages may still travel after the handover. */
export type PostCopyResult =
	| MoveResult
	/** The target runs the guest, and the link is gone: what is missing there is here, paused, until it is recovered. */
	| {
			readonly outcome: "interrupted";
			readonly moveId: string;
			readonly error: MoveError;
			readonly metrics: MoveMetrics;
			readonly paging: OwedPages;
	  }
	/**
	 * The target runs the guest, and some of its pages are not what this side has: it cannot be undone. The paused copy here
	 * is as it was at the switch.
	 */
	| {
			readonly outcome: "corrupt";
			readonly moveId: string;
			readonly error: MoveError;
			readonly metrics: MoveMetrics;
			/** The first of them. */
			readonly pageIndices: readonly number[];
			readonly corruptPages: number;
	  }
	/**
	 * The target is gone, and the guest runs on here, from the last checkpoint that had come back from it. What the target
	 * did after it is lost, and nobody has seen any of it.
	 */
	| {
			readonly outcome: "revived";
			readonly moveId: string;
			/** The checkpoint; 0: as it was at the switch. */
			readonly epoch: number;
			/** The right to run, if a lease governs the guest. */
			readonly grant: LeaseGrant | undefined;
			readonly error: MoveError;
			readonly metrics: MoveMetrics;
	  }
	/**
	 * The caller has given the target up: what the guest did there is lost. The copy here is paused as it was at the switch;
	 * resuming it goes back to then.
	 */
	| { readonly outcome: "lost"; readonly moveId: string; readonly error: MoveError; readonly metrics: MoveMetrics };

/** The source's hold on pages that the target still needs. */
export interface OwedPages {
	readonly moveId: string;
	/** Pages that were not known to have arrived when the link was lost. */
	readonly remainingPages: number;
	/**
	 * Goes on over another link: the target says what has not arrived, and only that is sent. To a target that has never
	 * run the guest, it is the question whether it ever will: then the result is `kept`.
	 * @returns how it went on; a failure leaves everything as it was, for another try.
	 * @throws TypeError while pages are being served.
	 */
	recover(link: Link): Promise<PostCopyResult>;
	/**
	 * The caller's word that the target will never come back. Never say it by guessing: two running copies cannot be merged.
	 * @throws TypeError while pages are being served.
	 */
	abandon(): Promise<PostCopyResult>;
	/**
	 * Lets the guest run on here from the last complete checkpoint. Where a lease governs it, the lease decides, and the
	 * target has stopped by then; where none does, this call is the caller's word that the target does not run.
	 * @returns `revived`, or as before with the reason; a failure leaves everything as it was, for another try.
	 * @throws TypeError while pages are being served, and for a move without checkpoints.
	 */
	revive(options?: ReviveOptions): Promise<PostCopyResult>;
}
