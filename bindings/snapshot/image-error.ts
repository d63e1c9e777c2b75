/** Why a snapshot could not be written, read or kept; and how the store's and the wire's own errors become one. */
import { StoreError } from "../ports/store.ts";
import { WireError } from "../wire/wire-error.ts";

/**
 * | code | meaning |
 * | --- | --- |
 * | `missing` | there is no snapshot of this id, or an object that it needs is gone |
 * | `corrupt` | stored bytes are not what was written; the message names the object and the record, or the page |
 * | `foreign` | bytes that are no object of this format, or the object of another name or role |
 * | `unsupported-version` | an intact object of a format version that this code does not read |
 * | `too-large` | something is beyond its limit, before anything was allocated for it |
 * | `chain` | the chain of page tables is cyclic, too long or does not fit together |
 * | `digest` | pages, state and size do not have the digest that they should |
 * | `sealed` | the key that an object was encrypted with is not here, or the object is not what was encrypted |
 * | `signature` | a manifest is not signed, or not by a key that is trusted here |
 * | `full` | no room; nothing became visible, the old state is intact |
 * | `failed` | the store failed; nothing became visible, and what was being written counts as lost |
 * | `expired` | the writer was taken for dead and its reservation given up; nothing became visible |
 * | `busy` | somebody else prunes the same store at this moment |
 */
export type SnapshotErrorCode =
	| "missing"
	| "corrupt"
	| "foreign"
	| "unsupported-version"
	| "too-large"
	| "chain"
	| "digest"
	| "sealed"
	| "signature"
	| "full"
	| "failed"
	| "expired"
	| "busy";

/** Where in a store or an image something is wrong. */
export interface Place {
	/** The object's name. */
	readonly object?: string;
	/** The record, by its name and number in the object: `batch 3`. */
	readonly record?: string;
	readonly pageIndex?: number;
}

/** See {@link SnapshotErrorCode}. After any of them nothing was restored and no snapshot became visible or lost. */
export class SnapshotError extends Error {
	override readonly name = "SnapshotError";
	readonly code: SnapshotErrorCode;
	readonly object: string | undefined;
	readonly record: string | undefined;
	readonly pageIndex: number | undefined;
	constructor(code: SnapshotErrorCode, message: string, place: Place = {}, cause?: unknown) {
		super(`${describe(place)}${message}`, cause === undefined ? undefined : { cause });
		this.code = code;
		this.object = place.object;
		this.record = place.record;
		this.pageIndex = place.pageIndex;
	}
}

function describe({ object, record, pageIndex }: Place): string {
	const parts = [object, record, pageIndex === undefined ? undefined : `page ${pageIndex}`];
	const known = parts.filter((part) => part !== undefined);
	return known.length === 0 ? "" : `${known.join(", ")}: `;
}

/** The store's failure in the words of snapshots; a snapshot's own error, and a programmer's mistake, pass as they are. */
export function snapshotError(error: unknown, what: string, place: Place = {}): unknown {
	if (error instanceof StoreError) {
		const code = error.code === "full" ? "full" : error.code === "missing" ? "missing" : "failed";
		return new SnapshotError(code, `${what}: ${error.message}`, place, error);
	}
	if (error instanceof WireError) {
		const code = error.code === "too-large" ? "too-large" : "corrupt";
		return new SnapshotError(code, error.message, place, error);
	}
	return error;
}
