/** What a restore can fail with. One class for full and lazy restores and clones. */
import { BatchError } from "../engine/batch.ts";
import { DeadlineError } from "../handover/phases.ts";
import { GuestError } from "../ports/guest.ts";
import { SnapshotError } from "./image-error.ts";

/**
 * | code | meaning |
 * | --- | --- |
 * | `refused` | no factory here can take this guest; the message names every obstacle |
 * | `policy` | what is asked for clock or random numbers cannot be kept with this guest; the message says what can |
 * | `cancelled` | the caller's AbortSignal |
 * | `deadline` | it did not end in time |
 * | `corrupt` | a page, the state or the digest is not what was saved; `pageIndex` names the page where one is known |
 * | `store` | the snapshot could not be read; see `cause` |
 * | `guest` | the new guest failed: no memory, state that cannot be restored, a hook that threw; see `cause` |
 */
export type RestoreErrorCode = "refused" | "policy" | "cancelled" | "deadline" | "corrupt" | "store" | "guest";

/** The failure of a restore. Nothing runs, nothing is left behind, the snapshot is as it was. */
export class RestoreError extends Error {
	override readonly name = "RestoreError";
	readonly code: RestoreErrorCode;
	readonly pageIndex: number | undefined;
	constructor(
		code: RestoreErrorCode,
		message: string,
		details: { readonly pageIndex?: number | undefined; readonly cause?: unknown } = {},
	) {
		super(message, details.cause === undefined ? undefined : { cause: details.cause });
		this.code = code;
		this.pageIndex = details.pageIndex;
	}
}

/** Images whose bytes are not what was written, in the words of `SnapshotError`. */
const DAMAGED: ReadonlySet<string> = new Set(["corrupt", "foreign", "chain", "digest", "signature", "sealed"]);

/** Puts any failure into the words of a restore. A programmer's mistake passes as it is. */
export function toRestoreError(error: unknown, cancel: AbortSignal | undefined): unknown {
	if (error instanceof RestoreError) return error;
	const words = error instanceof Error ? error.message : String(error);
	if (cancel?.aborted && (error === cancel.reason || error === undefined))
		return new RestoreError("cancelled", "the caller cancelled the restore: nothing runs", { cause: error });
	if (error instanceof DeadlineError)
		return new RestoreError("deadline", `the restore was ${words}: nothing runs`, { cause: error });
	if (error instanceof SnapshotError) {
		const code = DAMAGED.has(error.code) ? "corrupt" : "store";
		return new RestoreError(code, `nothing was restored: ${words}`, { pageIndex: error.pageIndex, cause: error });
	}
	if (error instanceof GuestError)
		return new RestoreError("guest", `the restored guest failed, nothing runs: ${words}`, { cause: error });
	if (error instanceof BatchError)
		return new RestoreError("corrupt", `nothing was restored: ${words}`, { pageIndex: error.pageIndex, cause: error });
	if (error instanceof TypeError || error instanceof RangeError) return error;
	return new RestoreError("guest", `nothing was restored: ${words}`, { cause: error });
}
