/**
 * What the three parties of the demo say to each other, each on its own loopback connection (line-stream.ts):
 *
 *   command ── orders, each with an id ──▶ host        host ── reply per id, events ──▶ command      (control)
 *   client  ── numbered requests ────────▶ host        host ── answers, "moved to …" ──▶ client      (requests)
 *   host    ── the move itself, docs/protocol.md ──▶ host
 *
 * A host is a process that can run a guest, take one in, and move one out. The control connection is also its leash: when
 * it ends, the host ends.
 */
import type { Deadlines } from "../handover/phases.ts";
import type { FollowingPagesOptions } from "../migration/following-pages.ts";
import type { MoveMetrics, MoveProgress, TechniqueName, Verification } from "../migration/metrics.ts";
import type { PagingEnd } from "../migration/paging-reception.ts";
import type { PostCopyResult } from "../migration/results.ts";
import type { PushOrder } from "../policies/push-order.ts";
import type { StreamAddress } from "../ports/byte-stream.ts";

/** A request with its number: the guest answers each number once and remembers its answer. */
export interface NumberedRequest {
	readonly number: number;
	readonly request: unknown;
}

/** Host to client. */
export type ClientNews =
	| { readonly news: "answer"; readonly number: number; readonly response: unknown }
	/** The program failed on this request; it has been executed as far as it went. */
	| { readonly news: "failure"; readonly number: number; readonly message: string }
	/** The guest runs elsewhere now: everything unanswered goes there. */
	| { readonly news: "moved"; readonly to: StreamAddress };

/** What a host can be told to do, and what it replies. */
export interface HostOrders {
	/** Starts a guest. */
	readonly start: { readonly order: { readonly programUrl: string }; readonly result: { readonly startMs: number } };
	/** One request to the guest, past the clients. */
	readonly call: { readonly order: { readonly request: unknown }; readonly result: { readonly response: unknown } };
	/** Opens the door for guests whose program is one of these. */
	readonly receive: {
		readonly order: {
			readonly at: StreamAddress;
			readonly programUrls: readonly string[];
			readonly limits?: ReceiveLimits;
		};
		readonly result: { readonly address: StreamAddress };
	};
	/** Allocates what moving the guest out needs. */
	readonly prepare: { readonly order: Empty; readonly result: { readonly prepareMs: number } };
	readonly move: { readonly order: MoveOrder; readonly result: MoveReport };
	/** Asks the target what became of an unconfirmed move. */
	readonly resolve: { readonly order: AgainOrder; readonly result: SettledReport };
	/** Goes on with a post-copy move that was interrupted, or is unconfirmed, over a new connection. */
	readonly recover: { readonly order: AgainOrder; readonly result: MoveReport };
	/** The caller's word that the target of a move with checkpoints is gone: the guest runs on here, from the last one. */
	readonly revive: {
		readonly order: { readonly moveId: string; readonly clients: StreamAddress };
		readonly result: MoveReport;
	};
	/** The caller's own word on an unconfirmed move. */
	readonly decide: {
		readonly order: { readonly moveId: string; readonly owner: "moved" | "kept"; readonly clients: StreamAddress };
		readonly result: SettledReport;
	};
}

/** No fields. */
export type Empty = Readonly<Record<never, never>>;

/** See `ReceiveOptions`. */
export interface ReceiveLimits {
	readonly idleMs?: number;
	readonly readyMs?: number;
}

/** A move that came to no end, and where its parties are. */
export interface AgainOrder {
	readonly moveId: string;
	/** Where the target takes guests. */
	readonly target: StreamAddress;
	/** Where the target answers clients. */
	readonly clients: StreamAddress;
}

/** See `move` of {@link HostOrders}. */
export interface MoveOrder {
	readonly technique: TechniqueName;
	/** Of post-copy and hybrid: the order in which pages follow the guest. */
	readonly push?: PushOrder;
	readonly order?: NonNullable<FollowingPagesOptions["order"]>;
	readonly checkpoints?: boolean;
	/** Where the target takes guests. */
	readonly target: StreamAddress;
	/** Where the target answers clients: what the clients are told. */
	readonly clients: StreamAddress;
	readonly verification: Verification;
	readonly moveId?: string;
	readonly bandwidthBytesPerMs?: number;
	readonly deltaCachePages?: number;
	readonly downtimeLimitMs?: number;
	readonly deadlines?: Partial<Deadlines>;
}

/** How a move ended, as it crosses a process boundary. */
export interface MoveReport {
	readonly outcome: PostCopyResult["outcome"];
	/** It can go on over another connection: `recover`. */
	readonly recoverable: boolean;
	/** Of a guest that was revived: from which checkpoint. */
	readonly epoch?: number;
	readonly moveId: string;
	readonly metrics: MoveMetrics;
	readonly failure: FailureReport | undefined;
}

/** How an unconfirmed move was settled. */
export interface SettledReport {
	readonly outcome: "moved" | "kept" | "unconfirmed";
	readonly failure: FailureReport | undefined;
}

/** An error in words. */
export interface FailureReport {
	readonly code: string;
	readonly phase: string | undefined;
	readonly message: string;
}

/** Command to host. */
export type HostOrder = {
	readonly [Name in keyof HostOrders]: {
		readonly id: number;
		readonly name: Name;
		readonly order: HostOrders[Name]["order"];
	};
}[keyof HostOrders];

/** Host to command. */
export type HostNews =
	| HostHello
	| { readonly news: "reply"; readonly id: number; readonly result: unknown }
	| { readonly news: "refusal"; readonly id: number; readonly failure: FailureReport }
	| HostEvent;

/** The first word of a host. */
export interface HostHello {
	readonly news: "hello";
	/** Proof that it is the process that was started. */
	readonly token: string;
	readonly pid: number;
	readonly runtime: string;
	/** Whether guests can run here while pages are missing. */
	readonly waitsForPages: boolean;
	/** Where clients may send requests. */
	readonly clients: StreamAddress;
}

/** What happens in a host without being asked. */
export type HostEvent =
	/** The state of a guest that comes in. */
	| { readonly news: "state"; readonly name: string }
	/** How a reception ended. */
	| {
			readonly news: "received";
			readonly outcome: "running" | "discarded" | "answered";
			/** It runs, and pages are still to come: `paged` follows. */
			readonly paging: boolean;
			readonly failure: FailureReport | undefined;
	  }
	/** How a guest's missing pages came, or that they do not come any more. */
	| { readonly news: "paged"; readonly outcome: PagingEnd["outcome"]; readonly missingPages: number }
	| { readonly news: "progress"; readonly progress: MoveProgress };
