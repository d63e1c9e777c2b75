/**
 * A guest of which a pause need only take copies: what they hold becomes batches and state once it runs again.
 *
 *   pause ─▶ copy pages │ copy state ─▶ resume ─▶ encode … ─▶ release
 *
 * A copy is of the moment it was taken, whatever becomes of the guest afterwards: it may run, crash or be discarded.
 */
import type { EncodeOptions, Guest, PageBatch } from "./guest.ts";

/** See the head of this file. */
export interface CopyingGuest extends Guest {
	readonly copies: CopyControl;
}

/** Takes copies of a paused guest. */
export interface CopyControl {
	/** Most pages of one copy, at most `MAX_BATCH_PAGES`: what a copy may cost in memory is bounded. */
	readonly mostPages: number;
	/**
	 * Copies these pages as they are now.
	 * @param pageIndices - strictly ascending, at most {@link mostPages}.
	 * @throws RangeError; {@link GuestError} `not-paused`, `gone`, `crashed`.
	 */
	pages(pageIndices: Uint32Array): Promise<PagesCopy>;
	/** Copies what `state.capture` would capture now. @throws {GuestError} `not-paused`, `gone`, `crashed`, `state`. */
	state(): Promise<StateCopy>;
}

/** Pages as they were. To be released, whatever happens. */
export interface PagesCopy {
	/**
	 * As `GuestPages.encode`, of the pages as they were copied. While the guest runs it is not held longer than by that.
	 * @throws RangeError for a page that was not copied; TypeError once it is released.
	 */
	encode(pageIndices: Uint32Array, options: EncodeOptions): Promise<PageBatch>;
	/** Nothing may be encoded afterwards; what is being encoded is. Safe to call twice. */
	release(): void;
}

/** State as it was. To be released, whatever happens. */
export interface StateCopy {
	/** What `state.capture` would have given. @throws TypeError once it is released. */
	encode(): Promise<Uint8Array<ArrayBuffer>>;
	/** Safe to call twice. */
	release(): void;
}

/** Whether a guest is a {@link CopyingGuest}. */
export function isCopyingGuest(guest: Guest): guest is CopyingGuest {
	return "copies" in guest;
}
