// What a v86 guest's host and its worker say to each other. Requests carry an id, and the worker answers each once. Buffers of
// batches travel by transfer.
//
//   host ── start | job | serial | frame | inbox ──▶ worker
//   host ◀── reply | failure | serial | frame | crashed ── worker
//   host ◀── fault | taken | refused ── worker      while pages are missing (../fault-work.ts)
//
// A worker that stands still for a page reads no messages: what is asked then is answered when the page has come.
import type { BalloonReport } from "../../ports/ballooning-guest.ts";
import type { GuestLayout, PageBits } from "../../ports/guest.ts";
import type { ErrorRecord } from "../error-record.ts";
import type { FaultMemory } from "../fault-inbox.ts";
import type { FaultMessage } from "../fault-work.ts";
import type { V86Tracker } from "./dirty-log.ts";
import type { V86Firmware } from "./firmware.ts";
import type { V86Hardware } from "./hardware.ts";
import type { CompiledModule } from "./machine.ts";

/** Host to worker. */
export type HostMessage =
	| { readonly kind: "start"; readonly id: number; readonly order: StartOrder }
	| { readonly kind: "job"; readonly id: number; readonly job: JobOrder }
	/** Somebody types. */
	| { readonly kind: "serial"; readonly text: string }
	| { readonly kind: "frame"; readonly frame: Uint8Array }
	/** There are batches in the inbox. */
	| { readonly kind: "inbox" };

/** Worker to host. */
export type WorkerMessage =
	| { readonly kind: "reply"; readonly id: number; readonly value: unknown; readonly report: GuestReport }
	| { readonly kind: "failure"; readonly id: number; readonly error: ErrorRecord; readonly report: GuestReport }
	| { readonly kind: "serial"; readonly text: string }
	| { readonly kind: "frame"; readonly frame: Uint8Array<ArrayBuffer> }
	/** v86 has failed in a step; after all that the guest has said. */
	| { readonly kind: "crashed"; readonly error: ErrorRecord }
	| FaultMessage;

/** What a worker is started with. */
export interface StartOrder {
	readonly hardware: V86Hardware;
	readonly compiled: CompiledModule;
	/** Left out: a target. */
	readonly firmware?: V86Firmware;
	/** It may have to run while pages are missing. */
	readonly faulting: boolean;
	readonly sliceMs?: number;
	readonly tracker?: V86Tracker;
}

/** What the host knows of the guest without asking; rides on every answer. */
export interface GuestReport {
	readonly layout: GuestLayout | undefined;
	readonly macAddress: string;
	/** See V86NetworkCard. */
	readonly badFrames: number;
	readonly tracker: V86Tracker;
	readonly slicesMs: readonly number[];
}

/** Where a guest is in its run. */
export interface V86Progress {
	/** What the guest's clock shows, in ms since it was switched on, pauses left out. */
	readonly timeMs: number;
	/** Steps since the machine was switched on, wherever they were made. */
	readonly steps: number;
	/** Whether the processor waits for an interrupt. */
	readonly halted: boolean;
	/** Instructions that the processor has executed here; wraps at 2^32. */
	readonly instructions: number;
}

type Empty = Readonly<Record<never, never>>;
type Bytes = Uint8Array<ArrayBuffer>;

/** What each job takes and gives. */
export interface Jobs {
	readonly pause: { readonly order: Empty; readonly result: Empty };
	readonly resume: { readonly order: Empty; readonly result: Empty };
	readonly advance: { readonly order: { readonly steps: number }; readonly result: Empty };
	readonly progress: { readonly order: Empty; readonly result: V86Progress };
	readonly read: {
		readonly order: { readonly address: number; readonly byteLength: number };
		readonly result: { readonly bytes: Bytes };
	};
	readonly write: { readonly order: { readonly address: number; readonly bytes: Uint8Array }; readonly result: Empty };
	readonly encode: {
		readonly order: { readonly pageIndices: Uint32Array; readonly compress: boolean };
		readonly result: { readonly bytes: Bytes; readonly checksum: bigint; readonly zeroPages: number };
	};
	/** A refused batch is a result, not a failure, so that its buffer comes back. */
	readonly apply: {
		readonly order: { readonly buffer: ArrayBuffer; readonly byteLength: number; readonly checksum: bigint };
		readonly result: { readonly buffer: ArrayBuffer; readonly refused: ErrorRecord | undefined };
	};
	readonly hashes: {
		readonly order: { readonly firstPage: number; readonly pageCount: number };
		readonly result: { readonly bytes: Bytes };
	};
	readonly grow: { readonly order: { readonly pageCount: number }; readonly result: Empty };
	readonly capture: { readonly order: Empty; readonly result: { readonly bytes: Bytes } };
	readonly restore: { readonly order: { readonly bytes: Uint8Array }; readonly result: Empty };
	readonly open: { readonly order: Empty; readonly result: { readonly cursor: number } };
	readonly peek: {
		readonly order: {
			readonly cursor: number;
			readonly firstPage: number;
			readonly pageCount: number;
			readonly candidates?: PageBits;
		};
		readonly result: { readonly bits: PageBits };
	};
	readonly harvest: {
		readonly order: { readonly cursor: number };
		readonly result: { readonly bits: PageBits; readonly dirtyCount: number; readonly pageCount: number };
	};
	readonly "put-back": { readonly order: { readonly cursor: number; readonly bits: PageBits }; readonly result: Empty };
	readonly close: { readonly order: { readonly cursor: number }; readonly result: Empty };
	readonly "balloon-report": { readonly order: Empty; readonly result: BalloonReport };
	readonly "balloon-move": {
		readonly order: { readonly pages: number; readonly direction: "inflate" | "deflate" };
		readonly result: { readonly moved: Uint32Array };
	};
	readonly "balloon-out": { readonly order: Empty; readonly result: { readonly bits: PageBits } };
	readonly "begin-faults": {
		readonly order: { readonly shared: FaultMemory; readonly missing: PageBits };
		readonly result: Empty;
	};
	readonly "end-faults": { readonly order: Empty; readonly result: Empty };
}

/** A job with its name. */
export type JobOrder = { [Name in keyof Jobs]: { readonly name: Name } & Jobs[Name]["order"] }[keyof Jobs];
