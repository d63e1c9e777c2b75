/**
 * A link carries frames between the two sides of an operation.
 *
 *   bulk lane    pages, state, control; ordered; at most a window of bytes unacknowledged
 *   urgent lane  overtakes what waits on the bulk lane (a fault must never queue behind megabytes); ordered in itself
 *
 * Credits: the receiver gives a frame's bytes back to the sender's window when it has *consumed* the frame
 * ({@link IncomingFrame.release}), not when it has arrived. So the bytes between the two sides are bounded by the window
 * the receiver announced, and a stalled receiver stops the sender instead of filling memory.
 */
export interface Link {
	/**
	 * Sends one frame. Resolves when its payload may be reused: the frame has been given to the transport.
	 * Waits while the lane's window is used up.
	 * @throws {LinkError} when the link is lost, aborted or closed; the peer may or may not have the frame.
	 * @throws RangeError if the payload is larger than the peer's declared limit.
	 */
	send(frame: OutgoingFrame, lane?: Lane): Promise<void>;
	/**
	 * The next frame, the urgent lane first. Frames of a lane come in the order in which they were sent. One call at a time.
	 * @throws {LinkError} `closed` after the peer closed in order and everything was delivered, `lost` when the connection
	 *   broke, `corrupt` when bytes that arrived are not a valid frame (the link is then aborted).
	 */
	receive(): Promise<IncomingFrame>;
	/**
	 * Waits until the peer has consumed what was sent on the bulk lane, but for less than a quarter of its window: what is
	 * sent next then waits behind no more than that.
	 * @returns false when the peer has consumed something, and not yet that much: ask again. So a peer that is only slow can
	 *   be told from one that has stalled.
	 * @throws {LinkError} as {@link send}.
	 */
	settle(): Promise<boolean>;
	/** Delivers what was sent, then closes. */
	close(): Promise<void>;
	/** Drops the link at once. Pending and later calls reject with `aborted` and `reason` as their cause. */
	abort(reason: unknown): void;
	/** Fires once, when the link can no longer carry frames, whatever the cause. Its reason is the {@link LinkError}. */
	readonly ended: AbortSignal;
	/** Bytes of the bulk lane that this side takes before it gives them back: what it has announced to its peer. */
	readonly windowBytes: number;
	/** Counters since the link was opened. */
	readonly traffic: LinkTraffic;
}

/** See {@link Link}. */
export type Lane = "bulk" | "urgent";

/** A frame to send. Its checksum is computed by the link unless the producer already has it. */
export interface OutgoingFrame {
	/** Record type, see `wire/record-types.ts`. */
	readonly type: number;
	readonly payload: Uint8Array;
	/** XXH3-64 of the payload where the producer computed it beside the memory (page batches). */
	readonly checksum?: bigint;
	/** Bytes that a simulated link charges for instead of the payload's length. */
	readonly modelledByteLength?: number;
}

/** A frame that arrived. */
export interface IncomingFrame {
	readonly type: number;
	/** A peer that does not know an optional record ignores it; an unknown mandatory one is an error. */
	readonly optional: boolean;
	/** Valid until {@link release}. */
	readonly payload: Uint8Array<ArrayBuffer>;
	/**
	 * XXH3-64 the sender claims for the payload. The link has checked it, except for page batches: those are checked where
	 * they are decoded, beside the memory, before anything of them is used.
	 */
	readonly checksum: bigint;
	/**
	 * Says that the frame is consumed: its bytes return to the sender's window and its buffer may be reused.
	 * @param returned - the payload's buffer, if it was transferred to another thread and has come back: it is used again.
	 */
	release(returned?: ArrayBuffer): void;
}

/** Bytes and frames that passed a link, headers included. */
export interface LinkTraffic {
	readonly bytesSent: number;
	readonly bytesReceived: number;
	readonly framesSent: number;
	readonly framesReceived: number;
}

/** Why a link cannot go on. */
export type LinkErrorCode = "lost" | "closed" | "aborted" | "corrupt" | "refused" | "unsupported-version";

/**
 * The failure of a link or of a stream below it. What it means for the guest is said by the operation that used the link.
 *
 * | code | meaning |
 * | --- | --- |
 * | `lost` | the connection broke; what was under way may or may not have arrived |
 * | `closed` | the peer ended the conversation in order |
 * | `aborted` | this side dropped the link |
 * | `corrupt` | the peer sent bytes that are no valid frame; the link was dropped |
 * | `refused` | nobody listens there, or the address is not allowed |
 * | `unsupported-version` | the peer speaks no protocol version that this side knows |
 */
export class LinkError extends Error {
	override readonly name = "LinkError";
	readonly code: LinkErrorCode;
	constructor(code: LinkErrorCode, message: string, cause?: unknown) {
		super(message, cause === undefined ? undefined : { cause });
		this.code = code;
	}
}
