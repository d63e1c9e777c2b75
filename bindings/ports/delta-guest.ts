/**
 * A guest whose pages can be sent as what has changed since they were sent last. Its target must be able to apply that to
 * what it has: every target that has not run yet, of the same kind, can.
 */
import type { Guest, PageBatch } from "./guest.ts";

/** See the head of this file. */
export interface DeltaGuest extends Guest {
	readonly deltas: DeltaControl;
}

/** Makes senders. */
export interface DeltaControl {
	/**
	 * Opens a sender that remembers nothing yet.
	 * @param sentPages - of how many pages the version sent last is held: 1 … 2^18, rounded up to a power of two; 4128 bytes
	 *   each, from the first page that is held.
	 * @throws RangeError; {@link GuestError} `gone`, `too-large` when there is no memory.
	 */
	open(sentPages: number): Promise<PageSender>;
}

/**
 * Encodes batches for one receiver, which has to install them in the order of the calls and without gaps. Pages that the
 * receiver gets by other ways must not come through a sender again, unless it was told to {@link forget}.
 */
export interface PageSender {
	/** Bytes that it holds. */
	readonly memoryBytes: number;
	/** As `GuestPages.encode`; a page that was sent through this sender before may go as a delta, or as *unchanged*. */
	encode(pageIndices: Uint32Array, options: SendOptions): Promise<PageBatch>;
	/** What was encoded may not have reached the receiver: nothing is sent as a delta until it has been sent again. */
	forget(): Promise<void>;
	/** Frees what it holds. Safe to call twice. */
	close(): Promise<void>;
}

/** How a sender encodes. */
export interface SendOptions {
	/** Whether LZ4 may be used. */
	readonly compress: boolean;
	/** See `EncodeOptions`. */
	readonly linkBytesPerMs?: number;
	/** Number of the round: pages that were not sent for two of them make room for others. */
	readonly generation: number;
	/** Whether to hold what is sent: a last round has no use for it. */
	readonly remember: boolean;
}

/** Whether a guest is a {@link DeltaGuest}. */
export function isDeltaGuest(guest: Guest): guest is DeltaGuest {
	return "deltas" in guest;
}
