/** What saving a guest can fail with, and where it was when it failed. One class for the whole save family. */

import { MoveError } from "../handover/move-error.ts";
import { DeadlineError } from "../handover/phases.ts";
import { GuestError } from "../ports/guest.ts";
import { LinkError } from "../ports/link.ts";
import { WireError } from "../wire/wire-error.ts";
import { SnapshotError } from "./image-error.ts";

/** The phases of a save, in order. Every one can be cancelled. */
export const SAVE_PHASES = ["begin", "live", "pause", "final-round", "state", "commit"] as const;

/** See {@link SAVE_PHASES}. */
export type SavePhase = (typeof SAVE_PHASES)[number];

/**
 * | code | meaning |
 * | --- | --- |
 * | `cancelled` | the caller's AbortSignal |
 * | `deadline` | a phase did not end in time |
 * | `total-time` | the total-time limit passed and the caller wanted to stop then |
 * | `full` | the store has no room: prune it and save again |
 * | `store` | the store failed; see `cause` |
 * | `corrupt` | a page of the paused guest is not what was written: the dirty tracker missed a change |
 * | `guest` | the guest failed: no pause point in time, state that cannot be captured; see `cause` |
 * | `gone` | the guest was given up meanwhile: it was moved away or discarded |
 * | `refused` | the keeper does not take this snapshot; the message says why |
 * | `peer` | the keeper gave up; its words are in the message |
 * | `protocol` | the keeper sent something that its state does not allow |
 * | `link-lost` | the link broke before the keeper had everything |
 * | `unconfirmed` | the link broke after the keeper had everything, or the store failed in a commit and again when that was given up: the snapshot may be there. List the store |
 */
export type SaveErrorCode =
	| "cancelled"
	| "deadline"
	| "total-time"
	| "full"
	| "store"
	| "corrupt"
	| "guest"
	| "gone"
	| "refused"
	| "peer"
	| "protocol"
	| "link-lost"
	| "unconfirmed";

/**
 * The failure of a save. No snapshot became visible (but for `unconfirmed`, where one may have), whatever was dirty is dirty
 * again for the next one, and the guest runs on, unless the message says that it cannot.
 */
export class SaveError extends Error {
	override readonly name = "SaveError";
	readonly code: SaveErrorCode;
	readonly phase: SavePhase | undefined;
	readonly pageIndex: number | undefined;
	constructor(
		code: SaveErrorCode,
		message: string,
		details: { phase?: SavePhase | undefined; pageIndex?: number | undefined; cause?: unknown } = {},
	) {
		super(message, details.cause === undefined ? undefined : { cause: details.cause });
		this.code = code;
		this.phase = details.phase;
		this.pageIndex = details.pageIndex;
	}
}

/** Puts any failure of a phase into the words of a save. */
export function toSaveError(error: unknown, phase: SavePhase | undefined, cancel: AbortSignal | undefined): SaveError {
	if (error instanceof SaveError)
		return error.phase !== undefined || phase === undefined
			? error
			: new SaveError(error.code, error.message, { phase, pageIndex: error.pageIndex, cause: error.cause });
	const during = phase === undefined ? "" : ` during ${phase}`;
	const words = error instanceof Error ? error.message : String(error);
	if (cancel?.aborted && (error === cancel.reason || error === undefined))
		return new SaveError("cancelled", `the caller cancelled the snapshot${during}; the guest runs on`, {
			phase,
			cause: error,
		});
	return new SaveError(codeOf(error), `no snapshot was made, the guest runs on: ${words}${during}`, {
		phase,
		pageIndex: error instanceof MoveError ? error.pageIndex : undefined,
		cause: error,
	});
}

function codeOf(error: unknown): SaveErrorCode {
	if (error instanceof DeadlineError) return "deadline";
	if (error instanceof SnapshotError) return error.code === "full" ? "full" : "store";
	if (error instanceof GuestError) return error.code === "gone" || error.code === "crashed" ? "gone" : "guest";
	if (error instanceof LinkError) return linkCode(error);
	if (error instanceof WireError) return "protocol";
	if (error instanceof MoveError) return conversationCode(error);
	return "guest";
}

function linkCode({ code }: LinkError): SaveErrorCode {
	return code === "corrupt" || code === "unsupported-version" ? "protocol" : "link-lost";
}

/** A conversation with a keeper fails in the words of moves. */
function conversationCode({ code }: MoveError): SaveErrorCode {
	switch (code) {
		case "refused":
		case "peer":
		case "protocol":
		case "link-lost":
		case "corrupt":
		case "deadline":
		case "cancelled":
			return code;
		default:
			return "peer";
	}
}
