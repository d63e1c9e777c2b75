/**
 * The two ends of one lane's window.
 *
 *   sender    in flight   = charged − given back by the peer
 *   receiver  outstanding = charged − given back to the peer
 *
 * A frame may be sent while `in flight + charge ≤ window`, or while less than a quarter of the window is in flight: so a
 * frame larger than the window (a full batch on a small one) still passes, alone, and the receiver may save its credits
 * up to a quarter of the window, four small records a window instead of one a frame. Nobody waits for ever: a sender that
 * waits has a quarter or more in flight, and once the receiver has consumed that much it says so. Since the receiver's
 * count is never above the sender's, an honest sender never exceeds what the receiver enforces.
 */
import { LinkError } from "../ports/link.ts";
import { FRAME_CHARGE_BYTES } from "../wire/limits.ts";

/** A receiver says what it has consumed at the latest now: a sender on a slow link is to see that it goes on. */
const MOST_UNCREDITED_BYTES = 1024 * 1024;

/** What a frame costs in its window. */
export function frameCharge(payloadByteLength: number, modelledByteLength: number): number {
	return Math.max(payloadByteLength, modelledByteLength) + FRAME_CHARGE_BYTES;
}

function admits(inFlight: number, charge: number, windowBytes: number): boolean {
	return inFlight + charge <= windowBytes || inFlight < windowBytes / 4;
}

/** The sender's end. */
export class SendWindow {
	readonly #windowBytes: number;
	#inFlight = 0;

	constructor(windowBytes: number) {
		this.#windowBytes = windowBytes;
	}

	/** Whether a frame of this charge may go now. */
	admits(charge: number): boolean {
		return admits(this.#inFlight, charge, this.#windowBytes);
	}

	/** Whether less than a quarter of the window is in flight: more than that the receiver need never give back. */
	get isLow(): boolean {
		return this.#inFlight < this.#windowBytes / 4;
	}

	take(charge: number): void {
		this.#inFlight += charge;
	}

	/** @throws {LinkError} `corrupt` if the peer gives back more than it got. */
	restore(bytes: number): void {
		if (bytes > this.#inFlight) throw new LinkError("corrupt", "the peer gave back more bytes than it was sent");
		this.#inFlight -= bytes;
	}
}

/** The receiver's end. */
export class ReceiveWindow {
	readonly #windowBytes: number;
	#outstanding = 0;
	#consumed = 0;

	constructor(windowBytes: number) {
		this.#windowBytes = windowBytes;
	}

	/** Whether the sender may have sent a frame of this charge. */
	admits(charge: number): boolean {
		return admits(this.#outstanding, charge, this.#windowBytes);
	}

	/** @throws {LinkError} `corrupt` if the sender exceeds its window. */
	accept(charge: number): void {
		if (!this.admits(charge))
			throw new LinkError("corrupt", `the peer sent more than its window of ${this.#windowBytes} bytes`);
		this.#outstanding += charge;
	}

	/** A frame of this charge is consumed. */
	release(charge: number): void {
		this.#consumed += charge;
	}

	/** What to give back to the sender now: nothing until it is worth a record. */
	takeCredit(): number {
		if (this.#consumed < Math.min(this.#windowBytes / 4, MOST_UNCREDITED_BYTES)) return 0;
		const bytes = this.#consumed;
		this.#outstanding -= bytes;
		this.#consumed = 0;
		return bytes;
	}
}
