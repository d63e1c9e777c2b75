/** What a target is given, and how a reception ends. See target.ts. */
import type { TargetLedger } from "../handover/ledger.ts";
import type { MoveError } from "../handover/move-error.ts";
import type { Clock } from "../ports/clock.ts";
import type { Guest, GuestFactory } from "../ports/guest.ts";
import type { Lease, LeaseGrant } from "../ports/lease.ts";
import type { Link } from "../ports/link.ts";
import type { Record } from "../wire/records.ts";
import type { ReceivedPages } from "./paging-reception.ts";
import type { TargetState } from "./target-states.ts";

/** What a target works with. */
export interface ReceiveServices {
	/** An incoming link. The receiver owns it from here on and closes it. */
	readonly link: Link;
	/** One per kind of guest that this side takes. */
	readonly factories: readonly GuestFactory[];
	readonly clock: Clock;
	/** Keep one per process: queries about a move come on other links. In memory if left out. */
	readonly ledger?: TargetLedger;
	/** Taken before the guest runs, if the source gives one up. */
	readonly lease?: Lease;
	/**
	 * Post-copy moves whose pages are still coming, by move id: keep one map per process, and a link that comes to recover
	 * one finds it. Left out, such links are refused, and `recover` of the result takes them.
	 */
	readonly receptions?: Map<string, ReceivedPages>;
}

/** How a target behaves. */
export interface ReceiveOptions {
	/** Ends the reception up to *go*. */
	readonly signal?: AbortSignal;
	/** Longest silence of the source, in ms: 30 s if left out. */
	readonly idleMs?: number;
	/** Longest silence of the source while pages travel, in ms: 10 s if left out. Then the link counts as lost. */
	readonly stallMs?: number;
	/**
	 * How long a verified guest waits for *go* before it is discarded, in ms: 30 s if left out. The lease's keeper may take as
	 * long to answer, but no longer than 10 s.
	 */
	readonly readyMs?: number;
	/** Output that may be held for a checkpoint, in bytes: 16 MiB if left out. See `GuestGate`. */
	readonly heldOutputBytes?: number;
	/** Called at each change of state, for logs and tests. */
	readonly onState?: (name: TargetState["name"]) => void;
}

/** How a reception ended. */
export type ReceiveResult =
	/** The guest runs here. */
	| {
			readonly outcome: "running";
			readonly moveId: string;
			readonly guest: Guest;
			readonly grant: LeaseGrant | undefined;
			readonly setupMs: number;
			/** Of a post-copy move: the pages that are still coming. */
			readonly paging?: ReceivedPages;
	  }
	/** The link has taken over the paging of an earlier move. */
	| { readonly outcome: "recovering"; readonly moveId: string; readonly paging: ReceivedPages }
	/** Nothing of it is left here. */
	| { readonly outcome: "discarded"; readonly moveId: string | undefined; readonly error: MoveError }
	/** The link only carried a question: about an earlier move, or whether one is possible. */
	| { readonly outcome: "answered"; readonly moveId: string; readonly status: AnswerStatus | "welcome" | "refused" };

/** What a target says of a move when asked. */
export type AnswerStatus = Extract<Record, { type: "answer" }>["status"];
