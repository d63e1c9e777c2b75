// What host and worker say to each other. Every message to the worker but a cancellation carries an id; the worker answers
// each id once. Buffers travel by transfer: batches are never cloned.
//
//   host ── start | describe | call | pause | resume | job | inbox ──▶ worker
//   host ◀── reply | failure | answer | call-failure | output ─────── worker
//   host ◀── fault | taken | refused ──────────────────────────────── worker    while pages are missing (fault-work.ts)
//
// Calls and jobs share the worker's thread (work-loop.ts); pause and resume overtake what waits there.
import type { PageBits, PageKinds } from "../../ports/guest.ts";
import type { GuestCheckpoint } from "../../ports/standby-guest.ts";
import type { RestoreFacts } from "../../ports/told-guest.ts";
import type { ErrorRecord } from "../error-record.ts";
import type { FaultMemory } from "../fault-inbox.ts";
import type { FaultMessage } from "../fault-work.ts";
import type { AttachedVariant, CompiledCode } from "./code-variants.ts";
import type { TrackerName } from "./dirty-tracker.ts";
import type { ProgramFailureRecord } from "./errors.ts";
import type { FrozenMemory } from "./frozen-exchange.ts";
import type { BalloonAct, BalloonResult } from "./program-balloon.ts";
import type { BarrierReport } from "./verified-tracker.ts";

/** Host to worker. */
export type HostMessage =
	| { readonly kind: "describe"; readonly id: number; readonly programUrl: string }
	| ({ readonly kind: "start"; readonly id: number } & StartOrder)
	| { readonly kind: "call"; readonly id: number; readonly request: unknown }
	| { readonly kind: "cancel-call"; readonly id: number }
	| { readonly kind: "pause"; readonly id: number }
	| { readonly kind: "resume"; readonly id: number }
	/** From here on batches are asked for through shared memory, until the host leaves it (frozen-exchange.ts). */
	| { readonly kind: "freeze"; readonly memory: FrozenMemory }
	/** There are batches in the inbox. */
	| { readonly kind: "inbox" }
	| { readonly kind: "job"; readonly id: number; readonly job: JobOrder };

/** Worker to host. */
export type WorkerMessage =
	| { readonly kind: "reply"; readonly id: number; readonly value: unknown; readonly report: WorkReport }
	| { readonly kind: "failure"; readonly id: number; readonly error: ErrorRecord; readonly report: WorkReport }
	| { readonly kind: "answer"; readonly id: number; readonly response: unknown; readonly pageCount: number }
	| {
			readonly kind: "call-failure";
			readonly id: number;
			readonly error: ProgramFailureRecord;
			readonly unsendable: boolean;
			readonly pageCount: number;
	  }
	/** The program says something to the outside. */
	| { readonly kind: "output"; readonly value: unknown }
	| FaultMessage;

/** What a request that is no job is answered with. */
export interface Answers {
	readonly describe: ProgramDescription;
	readonly start: StartedFacts;
	readonly pause: undefined;
	readonly resume: undefined;
}

/** Rides on every reply. */
export interface WorkReport {
	/** Pages of 4096 bytes; 0 before the guest has started. */
	readonly pageCount: number;
	/** Slices of live work since the last report, in ms. */
	readonly slicesMs: readonly number[];
}

/** How to start a guest in the worker. */
export interface StartOrder {
	readonly programUrl: string;
	/** Left out: the program brings them. */
	readonly moduleBytes: Uint8Array<ArrayBuffer> | undefined;
	readonly sliceMs: number;
	readonly keepShadow: boolean;
	/** A target: the memory's size at the source, in pages of 4096 bytes. Left out: a new guest. */
	readonly targetPageCount: number | undefined;
	/** A target that may run while pages are missing. */
	readonly faulting: boolean;
	/** A target: whether its memory is touched before the first page comes. */
	readonly prefault: boolean;
	/** What is asked for: a program that does not declare its host access is scanned. */
	readonly tracker: TrackerName;
	/** What this process has compiled of the module before. */
	readonly compiled: CompiledCode | undefined;
}

/** What a started worker says of itself. */
export interface StartedFacts {
	readonly program: ProgramFacts;
	readonly maximumPageCount: number;
	readonly module: ModuleFact;
	readonly tracker: TrackerName;
	/** Whether its allocator has a balloon. */
	readonly ballooning: boolean;
	/** For the next start of the same module. */
	readonly compiled: CompiledCode;
}

/** SHA-256 in hex. */
export interface ModuleFact {
	readonly hash: string;
	readonly byteLength: number;
}

/** What of a program must be equal on both sides. */
export interface ProgramFacts {
	readonly name: string;
	readonly version: string;
	readonly clock: string;
	readonly random: string;
	readonly hostAccess: "declared" | "undeclared";
}

/** Answer to `describe`. */
export interface ProgramDescription {
	readonly program: ProgramFacts;
	/** The module that the program brings, if it brings one. */
	readonly moduleBytes: Uint8Array<ArrayBuffer> | undefined;
}

/** Work beside the memory: what each job takes and gives. */
export interface Jobs {
	readonly open: { readonly order: Empty; readonly result: { readonly cursor: number } };
	readonly peek: {
		readonly order: {
			readonly cursor: number;
			readonly firstPage: number;
			readonly pageCount: number;
			readonly candidates: PageBits | undefined;
		};
		readonly result: { readonly bits: Uint8Array<ArrayBuffer> };
	};
	readonly harvest: {
		readonly order: { readonly cursor: number };
		readonly result: {
			readonly bits: Uint8Array<ArrayBuffer>;
			readonly dirtyCount: number;
			readonly pageCount: number;
		};
	};
	readonly "put-back": { readonly order: { readonly cursor: number; readonly bits: PageBits }; readonly result: Empty };
	readonly close: { readonly order: { readonly cursor: number }; readonly result: Empty };
	readonly encode: { readonly order: EncodeOrder; readonly result: EncodeResult };
	readonly "open-sender": {
		readonly order: { readonly sentPages: number };
		readonly result: { readonly sender: number; readonly memoryBytes: number };
	};
	readonly "forget-sent": { readonly order: { readonly sender: number }; readonly result: Empty };
	readonly "close-sender": { readonly order: { readonly sender: number }; readonly result: Empty };
	readonly apply: {
		readonly order: { readonly buffer: ArrayBuffer; readonly byteLength: number; readonly checksum: bigint };
		/** The buffer comes back on failure too, inside the failure's reply: see {@link ApplyResult}. */
		readonly result: ApplyResult;
	};
	readonly hashes: {
		readonly order: { readonly firstPage: number; readonly pageCount: number };
		readonly result: { readonly hashes: Uint8Array<ArrayBuffer> };
	};
	readonly grow: { readonly order: { readonly pageCount: number }; readonly result: Empty };
	readonly capture: { readonly order: Empty; readonly result: { readonly bytes: Uint8Array<ArrayBuffer> } };
	readonly restore: { readonly order: { readonly bytes: Uint8Array }; readonly result: Empty };
	readonly tell: { readonly order: { readonly facts: RestoreFacts }; readonly result: { readonly isTold: boolean } };
	readonly "begin-faults": {
		readonly order: { readonly shared: FaultMemory; readonly missing: PageBits };
		readonly result: Empty;
	};
	readonly "end-faults": { readonly order: Empty; readonly result: Empty };
	readonly "open-order": { readonly order: Empty; readonly result: Empty };
	readonly "read-order": { readonly order: Empty; readonly result: { readonly pages: Uint32Array<ArrayBuffer> } };
	readonly "close-order": { readonly order: Empty; readonly result: Empty };
	readonly "apply-checkpoint": { readonly order: { readonly checkpoint: GuestCheckpoint }; readonly result: Empty };
	readonly "settle-checkpoint": { readonly order: Empty; readonly result: Empty };
	readonly "module-bytes": { readonly order: Empty; readonly result: { readonly bytes: Uint8Array<ArrayBuffer> } };
	readonly prepare: { readonly order: Empty; readonly result: Empty };
	readonly "barrier-report": { readonly order: Empty; readonly result: { readonly report: BarrierReport | undefined } };
	readonly throttle: { readonly order: { readonly share: number }; readonly result: Empty };
	readonly balloon: {
		readonly order: { readonly act: BalloonAct; readonly pages: number };
		readonly result: BalloonResult;
	};
	readonly "memory-use": { readonly order: Empty; readonly result: WorkerMemoryUse };
}

/** No fields. */
export type Empty = Readonly<Record<never, never>>;

/** A job with its name. */
export type JobOrder = { [Name in keyof Jobs]: { readonly name: Name } & Jobs[Name]["order"] }[keyof Jobs];

/** See `encode` of {@link Jobs}. */
export interface EncodeOrder {
	readonly pageIndices: Uint32Array;
	readonly compress: boolean;
	readonly linkBytesPerMs?: number | undefined;
	/** To encode for a receiver that has been sent pages before. */
	readonly deltas?: DeltaOrder | undefined;
	/** Of at least `batchLimitBytes(pages)` bytes; comes back with the batch at its start. */
	readonly buffer: ArrayBuffer;
}

/** See `encode` of {@link Jobs}. */
export interface EncodeResult {
	readonly buffer: ArrayBuffer;
	readonly byteLength: number;
	readonly checksum: bigint;
	readonly zeroPages: number;
	readonly kinds?: PageKinds;
}

/** Which sender encodes, and how: see ports/delta-guest.ts. */
export interface DeltaOrder {
	readonly sender: number;
	readonly generation: number;
	readonly remember: boolean;
}

/** A refused batch is a result, not a failure, so that its buffer comes back. */
export interface ApplyResult {
	readonly buffer: ArrayBuffer;
	readonly refused: ErrorRecord | undefined;
}

/** Bytes that a guest's worker holds. */
export interface WorkerMemoryUse {
	readonly guestBytes: number;
	readonly shadowBytes: number;
	readonly engineBytes: number;
	/** Which code runs: the module as it is, or a variant that watches memory. */
	readonly code: AttachedVariant | "plain";
}
