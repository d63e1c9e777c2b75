/**
 * The records above a link, as values: a discriminated union over `type`. `records.ts` turns them into frames and back;
 * `docs/protocol.md` says who sends which and when.
 */
import type { EncodedBatch, GuestLayout, PageBits } from "../ports/guest.ts";
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
	/** The guest may have to run at the target while pages are missing (post-copy); absent: it never will. */
	readonly faulting?: boolean;
	/** The target's changes are to come back as checkpoints while pages are missing: how often; absent: they are not. */
	readonly checkpoints?: CheckpointInterval;
	/** What this side's link takes before it gives credit: larger batches than that gain nothing. */
	readonly windowBytes: number;
}

/** Least and greatest time between two checkpoints, in ms: with output waiting, and without. */
export interface CheckpointInterval {
	readonly minMs: number;
	readonly maxMs: number;
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

/**
 * A part of the set of missing pages: in the switch, what the target will have to wait for; at the beginning of a
 * recovery, what has not arrived. Parts come in order and without gaps until they cover every page.
 */
export interface MissingRecord {
	readonly type: "missing";
	/** A multiple of 8. */
	readonly firstPage: number;
	/** Pages covered: bit i stands for page firstPage + i. */
	readonly pageCount: number;
	readonly bits: PageBits;
}

/** The guest has touched these pages and waits for them. On the urgent lane. */
export interface FaultRecord {
	readonly type: "fault";
	readonly pageIndices: Uint32Array<ArrayBuffer>;
}

/** A batch has left the link at the target: room for another. On the urgent lane. */
export interface TakenRecord {
	readonly type: "taken";
	/** The first page of the batch. */
	readonly pageIndex: number;
	readonly pageCount: number;
}

/** How the target has felt the faults. */
export interface PagingReport {
	/** Touches that had to wait. */
	readonly faults: number;
	/** Touches of a page that had come but was not installed yet. */
	readonly minorFaults: number;
	readonly blockedMs: number;
	readonly p50Ms: number;
	readonly p90Ms: number;
	readonly maximumMs: number;
	/** Waits of 2^i to 2^(i+1) µs, i from 0; the first also counts shorter ones, the last longer ones. */
	readonly histogram: readonly number[];
	/** Missing pages that the guest has touched, where it can tell. */
	readonly touchedPages?: number;
}

/** Every page has been installed at the target. */
export interface CompleteRecord {
	readonly type: "complete";
	/** Over the page hashes of what arrived, with an empty state. XXH3-128 in hexadecimal. */
	readonly digest: string;
	readonly pageCount: number;
	readonly report: PagingReport;
}

/** What arrived is what the source has: it gives its copy up. */
export interface AcceptedRecord {
	readonly type: "accepted";
}

/** What arrived is something else: the hashes of what should have, in order and without gaps. */
export interface HashesRecord {
	readonly type: "hashes";
	readonly firstPage: number;
	/** 16 bytes a page. */
	readonly hashes: Uint8Array<ArrayBuffer>;
}

/** Pages at the target that are not the source's. The guest runs there: nothing can be undone. */
export interface CorruptRecord {
	readonly type: "corrupt";
	/** The first of them. */
	readonly pageIndices: readonly number[];
	/** How many there are. */
	readonly pageCount: number;
}

/** Takes up the paging of an earlier move: the first record of a connection of its own, from the source. */
export interface RecoverRecord {
	readonly type: "recover";
	readonly moveId: string;
	/** The last checkpoint that the source has all of; absent without checkpoints. */
	readonly epoch?: number;
}

/** A checkpoint begins: batches of the pages that changed follow, then the state, then {@link CheckpointRecord}. */
export interface EpochRecord {
	readonly type: "epoch";
	/** Ascending; gaps mean checkpoints that never became complete. */
	readonly epoch: number;
	/** Pages that the guest has. */
	readonly pageCount: number;
	readonly stateByteLength: number;
}

/** A checkpoint is complete. */
export interface CheckpointRecord {
	readonly type: "checkpoint";
	readonly epoch: number;
	/** See {@link checkpointDigest} (digest.ts). XXH3-128 in hexadecimal. */
	readonly digest: string;
}

/** The copy that follows has all of this checkpoint and of those before it. On the urgent lane. */
export interface CommittedRecord {
	readonly type: "committed";
	readonly epoch: number;
}

/** Nothing to say, but here: while pages travel either side may have nothing to say for long. On the urgent lane. */
export interface AliveRecord {
	readonly type: "alive";
}

/** Offers a snapshot to a keeper: the first record of a connection. The guest stays where it is. */
export interface OfferRecord {
	readonly type: "offer";
	readonly protocol: VersionRange;
	readonly technique: string;
	readonly verification: Verification;
	readonly layout: GuestLayout;
	readonly label?: string;
	readonly generation?: string;
	/** Kept with the snapshot. */
	readonly facts: GuestLayout["facts"];
	readonly windowBytes: number;
}

/** The keeper has the snapshot, durably. */
export interface KeptRecord {
	readonly type: "kept";
	/** Its id in the keeper's store, 32 hexadecimal digits. */
	readonly snapshotId: string;
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
	| AnswerRecord
	| CompleteRecord
	| AcceptedRecord
	| CorruptRecord
	| RecoverRecord
	| EpochRecord
	| CheckpointRecord
	| CommittedRecord
	| OfferRecord
	| KeptRecord
	| AliveRecord;

/** Records about missing pages with a binary payload. */
export type PagingRecord = MissingRecord | FaultRecord | TakenRecord | HashesRecord;

/** Every record above the link. */
export type Record = JsonRecord | ResourceRecord | BatchRecord | StateRecord | PagingRecord;
