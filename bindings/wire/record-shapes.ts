/**
 * The records above a link, as values: a discriminated union over `type`. `records.ts` turns them into frames and back;
 * `docs/protocol.md` says who sends which and when.
 */
import type { EncodedBatch, GuestLayout } from "../ports/guest.ts";
import type { VersionRange } from "./link-records.ts";

/** `transport`: what was sent is what was installed. `full`: the paused source's whole memory is hashed again as well. */
export type Verification = "transport" | "full";

/** Opens a move, or asks whether one is possible: the first record, from the side that has the guest. */
export interface HelloRecord {
	readonly type: "hello";
	readonly protocol: VersionRange;
	/** `check` only asks whether the target would take the guest: it answers and nothing else happens. */
	readonly intent: "move" | "check";
	readonly moveId: string;
	readonly technique: string;
	readonly verification: Verification;
	readonly layout: GuestLayout;
	/** What this side's link takes before it gives credit: larger batches than that gain nothing. */
	readonly windowBytes: number;
}

/** The target takes the guest. */
export interface WelcomeRecord {
	readonly type: "welcome";
	/** The version that both speak from now on. */
	readonly protocol: number;
	/** Hashes of the resources that the target lacks. */
	readonly missing: readonly string[];
	readonly windowBytes: number;
}

/** A failure that the peer is told: a code for programs, a message for people. */
interface Failure<Type extends string> {
	readonly type: Type;
	readonly code: string;
	readonly message: string;
}

/** The target does not take the guest. */
export type RefuseRecord = Failure<"refuse">;

/** A piece of a resource; pieces of one resource come in order, without gaps. */
export interface ResourceRecord {
	readonly type: "resource";
	/** SHA-256 in hexadecimal. */
	readonly hash: string;
	readonly offset: number;
	readonly total: number;
	readonly bytes: Uint8Array<ArrayBuffer>;
}

/** The target is set up: memory allocated and touched, code compiled. */
export interface PreparedRecord {
	readonly type: "prepared";
	readonly setupMs: number;
}

/** The guest has grown. Goes out before any page that is new. */
export interface LayoutRecord {
	readonly type: "layout";
	readonly pageCount: number;
}

/** A page batch. Its checksum has not been verified yet: the decoder does that, beside the memory. */
export interface BatchRecord {
	readonly type: "batch";
	readonly batch: EncodedBatch;
	/** Only when sending: what a simulated link charges for. */
	readonly modelledByteLength?: number;
}

/** A piece of the state (everything but RAM); pieces come in order, without gaps. */
export interface StateRecord {
	readonly type: "state";
	readonly offset: number;
	readonly total: number;
	readonly bytes: Uint8Array<ArrayBuffer>;
}

/** Ends what the source has to say: what the target must hold now. */
export interface DigestRecord {
	readonly type: "digest";
	/** XXH3-128 in hexadecimal. */
	readonly digest: string;
	readonly pageCount: number;
	readonly stateByteLength: number;
}

/** For people who watch: optional, changes nothing. */
export interface RoundRecord {
	readonly type: "round";
	readonly index: number;
	readonly toSend: number;
	readonly sent: number;
	readonly skipped: number;
}

/** The target holds exactly what the digest says. */
export interface ReadyRecord {
	readonly type: "ready";
}

/** The target holds something else, and has discarded it. */
export interface RejectRecord extends Failure<"reject"> {
	/** The first page that differs, where it is known. */
	readonly pageIndex?: number;
}

/** The source has given up its right to run. */
export interface GoRecord {
	readonly type: "go";
}

/** The guest runs at the target. */
export interface RunningRecord {
	readonly type: "running";
}

/** This side gives up; before *go* the guest stays at the source. */
export type AbortRecord = Failure<"abort">;

/** What became of this move? The first record of a connection of its own. */
export interface QueryRecord {
	readonly type: "query";
	readonly moveId: string;
}

/** What the target knows of a move. `declined` is durable: it voids a late *go*. */
export type MoveStatus = "running" | "declined" | "ready" | "receiving" | "unknown";

/** Answers a query. */
export interface AnswerRecord {
	readonly type: "answer";
	readonly moveId: string;
	readonly status: MoveStatus;
}

/** Records whose payload is JSON. */
export type JsonRecord =
	| HelloRecord
	| WelcomeRecord
	| RefuseRecord
	| PreparedRecord
	| LayoutRecord
	| DigestRecord
	| RoundRecord
	| ReadyRecord
	| RejectRecord
	| GoRecord
	| RunningRecord
	| AbortRecord
	| QueryRecord
	| AnswerRecord;

/** Every record above the link. */
export type Record = JsonRecord | ResourceRecord | BatchRecord | StateRecord;
