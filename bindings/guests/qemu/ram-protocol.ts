// What passes between a QEMU guest and the workers beside its memory: jobs and their results, one message each, by id.
// Both ends are of one release; nothing else speaks this.
import { BatchError, type BatchErrorCode } from "../../engine/batch.ts";
import { GuestError, type GuestErrorCode } from "../../ports/guest.ts";
import type { RamMapping } from "./page-map.ts";

/** The worker's part of the RAM file. Every page index in a job is the guest's own unless a field says otherwise. */
export interface ShardFacts {
	readonly path: string;
	readonly firstPage: number;
	readonly pageCount: number;
	/** Pages of the whole guest. */
	readonly guestPages: number;
	/** Bits of the whole guest's pages, shared by its workers: see ram-look.ts. */
	readonly written: SharedArrayBuffer;
	readonly fresh: SharedArrayBuffer;
	/** Where the system says what QEMU has mapped; absent where that is not known. */
	readonly mapping?: RamMapping;
}

/** What a look for changes leaves out: see ram-look.ts. */
export type LookKind = "all" | "holes" | "soft-dirty";

/** What one worker's look was like. */
export interface LookReport {
	/** Smaller where the system did not answer, or it was not worth while. */
	readonly kind: LookKind;
	readonly readPages: number;
	/** `holes`: pages that are certainly in the file, of this shard; and of the whole file, as the system counts them. */
	readonly knownPages?: number;
	readonly allocatedPages?: number;
	/** `soft-dirty`: pages that were mapped at an earlier look and are not any more. */
	readonly lostPages?: number;
}

/** What a worker can be asked, and what it answers. `bits` are of the shard: bit 0 is its first page. */
export interface RamJobs {
	/** `withoutMap`: why the system does not say what QEMU has mapped. */
	attach: { order: { readonly shard: ShardFacts }; result: { readonly withoutMap?: string } };
	/** Pages that the marks name: see soft-dirty.ts. */
	"soft-dirty": { order: { readonly id?: never }; result: { readonly pageCount: number } };
	open: { order: { readonly id?: never }; result: { readonly cursor: number } };
	/** `firstPage`: within the shard. */
	peek: {
		order: {
			readonly cursor: number;
			readonly firstPage: number;
			readonly pageCount: number;
			readonly candidates?: Uint8Array;
			readonly kind: LookKind;
		};
		result: { readonly bits: Uint8Array };
	};
	harvest: {
		order: { readonly cursor: number; readonly kind: LookKind };
		result: { readonly bits: Uint8Array; readonly dirtyCount: number; readonly look: LookReport };
	};
	"put-back": { order: { readonly cursor: number; readonly bits: Uint8Array }; result: undefined };
	close: { order: { readonly cursor: number }; result: undefined };
	/** `still`: from the file even while there is a shadow. `foreign`: while the machine runs, contents of the listed pages that are not of this shard, in their order. */
	encode: {
		order: {
			readonly pageIndices: Uint32Array;
			readonly compress: boolean;
			readonly still: boolean;
			readonly buffer: ArrayBuffer;
			readonly foreign?: ArrayBuffer;
		};
		result: {
			readonly buffer: ArrayBuffer;
			readonly byteLength: number;
			readonly checksum: bigint;
			readonly zeroPages: number;
		};
	};
	/** Contents of pages of this shard, as {@link encode} would send them. */
	contents: {
		order: { readonly pageIndices: Uint32Array; readonly buffer: ArrayBuffer };
		result: { readonly buffer: ArrayBuffer };
	};
	/** `refused`: the batch was bad; nothing of it was installed. */
	apply: {
		order: { readonly buffer: ArrayBuffer; readonly byteLength: number; readonly checksum: bigint };
		result: { readonly buffer: ArrayBuffer; readonly pageIndices: Uint32Array; readonly refused?: ErrorFacts };
	};
	/** Which pages of the shard are all zero: by the shadow while there is one, else, and if `still`, by the file. */
	zeros: { order: { readonly still: boolean }; result: { readonly bits: Uint8Array } };
	hashes: {
		order: { readonly firstPage: number; readonly pageCount: number };
		result: { readonly hashes: Uint8Array };
	};
}

export type RamJobName = keyof RamJobs;

/** A job on its way. */
export type RamJob = {
	[Name in RamJobName]: { readonly name: Name } & RamJobs[Name]["order"];
}[RamJobName];

export interface RamRequest {
	readonly id: number;
	readonly job: RamJob;
}

export type RamReply =
	| { readonly id: number; readonly result: RamJobs[RamJobName]["result"] }
	| { readonly id: number; readonly failure: ErrorFacts };

/** An error as it crosses: structured cloning drops classes and codes. */
export interface ErrorFacts {
	readonly kind: "batch" | "guest" | "range" | "other";
	readonly code?: BatchErrorCode | GuestErrorCode;
	readonly message: string;
	readonly position?: number;
	readonly pageIndex?: number;
}

/** @returns what crosses */
export function factsOf(error: unknown): ErrorFacts {
	if (error instanceof BatchError) {
		const { code, message, position, pageIndex } = error;
		return {
			kind: "batch",
			code,
			message,
			...(position !== undefined && { position }),
			...(pageIndex !== undefined && { pageIndex }),
		};
	}
	if (error instanceof GuestError) return { kind: "guest", code: error.code, message: error.message };
	if (error instanceof RangeError) return { kind: "range", message: error.message };
	return { kind: "other", message: error instanceof Error ? error.message : String(error) };
}

/** @returns the error as it was thrown beside the memory */
export function errorOf({ kind, code, message, position, pageIndex }: ErrorFacts): Error {
	if (kind === "batch")
		// allowed (cast): a batch error's own code
		return new BatchError(
			// allowed (cast): a batch error's own code
			code as BatchErrorCode,
			position === undefined || pageIndex === undefined ? undefined : { position, pageIndex },
		);
	// allowed (cast): a guest error's own code
	if (kind === "guest") return new GuestError(code as GuestErrorCode, message);
	if (kind === "range") return new RangeError(message);
	return new GuestError("crashed", `beside the memory: ${message}`);
}
