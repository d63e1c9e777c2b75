/**
 * Frames that wait to be sent: one queue and one window per lane. The urgent lane goes first; a lane whose window is used
 * up waits without holding up the other one.
 */
import type { Lane, LinkError, OutgoingFrame } from "../ports/link.ts";
import { LANE_CODES } from "../wire/frame.ts";
import { MAX_FRAME_PAYLOAD_BYTES } from "../wire/limits.ts";
import type { Credit } from "../wire/link-records.ts";
import { isLinkType } from "../wire/record-types.ts";
import { type Deferred, deferred } from "./deferred.ts";
import { Fifo } from "./fifo.ts";
import { frameCharge, SendWindow } from "./window.ts";

/** A frame on its way, and the call that waits for it. */
export interface PendingFrame {
	readonly lane: 0 | 1;
	readonly type: number;
	readonly payload: Uint8Array;
	readonly checksum: bigint;
	/** 0: the same as the payload's length. */
	readonly modelledByteLength: number;
	resolve(): void;
	reject(error: Error): void;
}

/** What the peer has announced. */
export interface PeerLimits {
	readonly windowBytes: number;
	readonly urgentWindowBytes: number;
	readonly maximumFrameBytes: number;
}

/** What a frame charges to simulations and metrics: see {@link PendingFrame.modelledByteLength}. */
export function chargedByteLength(frame: {
	readonly payload: Uint8Array;
	readonly modelledByteLength: number;
}): number {
	return frame.modelledByteLength === 0 ? frame.payload.byteLength : frame.modelledByteLength;
}

/**
 * Checks what a caller wants to send.
 * @throws TypeError, RangeError naming the argument.
 */
export function checkOutgoing(frame: OutgoingFrame, lane: Lane): void {
	if (lane !== "bulk" && lane !== "urgent") throw new TypeError("lane must be 'bulk' or 'urgent'");
	if (!Number.isInteger(frame.type) || frame.type < 0 || frame.type > 0xffff || isLinkType(frame.type))
		throw new RangeError(`frame.type ${frame.type} is no record type that can be sent`);
	if (!(frame.payload instanceof Uint8Array)) throw new TypeError("frame.payload must be a Uint8Array");
	if (frame.payload.byteLength > MAX_FRAME_PAYLOAD_BYTES)
		throw tooLarge(frame.payload.byteLength, MAX_FRAME_PAYLOAD_BYTES);
	const modelled = frame.modelledByteLength ?? 0;
	if (!Number.isInteger(modelled) || modelled < 0 || modelled > 0xffff_ffff)
		throw new RangeError("frame.modelledByteLength must be an integer from 0 to 4294967295");
}

function tooLarge(byteLength: number, limit: number): RangeError {
	return new RangeError(`frame.payload has ${byteLength} bytes, the peer takes at most ${limit}`);
}

/** See the head of this file. */
export class Outbox {
	readonly #lanes = [new Fifo<PendingFrame>(), new Fifo<PendingFrame>()] as const;
	#windows: readonly [SendWindow, SendWindow] | undefined;
	#maximumFrameBytes = MAX_FRAME_PAYLOAD_BYTES;
	/** Who waits for {@link settled}. */
	#settling: Deferred<boolean> | undefined;

	/** Whether nothing waits. */
	get empty(): boolean {
		return this.#lanes[0].length + this.#lanes[1].length === 0;
	}

	/** Starts to let frames out. Those that are too large for the peer are rejected. */
	open(peer: PeerLimits): void {
		this.#windows = [new SendWindow(peer.windowBytes), new SendWindow(peer.urgentWindowBytes)];
		this.#maximumFrameBytes = Math.min(peer.maximumFrameBytes, MAX_FRAME_PAYLOAD_BYTES);
	}

	/**
	 * Queues a checked frame.
	 * @returns when its payload may be reused.
	 */
	push(frame: OutgoingFrame, lane: Lane, checksum: bigint): Promise<void> {
		return new Promise((resolve, reject) => {
			const modelled = frame.modelledByteLength ?? 0;
			this.#lanes[LANE_CODES[lane]].push({
				lane: LANE_CODES[lane],
				type: frame.type,
				payload: frame.payload,
				checksum,
				modelledByteLength: modelled === frame.payload.byteLength ? 0 : modelled,
				resolve,
				reject,
			});
		});
	}

	/**
	 * Waits until nothing of the bulk lane waits and less than a quarter of the peer's window is out.
	 * @returns false when the peer has consumed something and that is not so yet: ask again
	 */
	settled(): Promise<boolean> {
		if (this.#isSettled()) return Promise.resolve(true);
		this.#settling ??= deferred();
		return this.#settling.promise;
	}

	#isSettled(): boolean {
		return this.#lanes[LANE_CODES.bulk].length === 0 && (this.#windows?.[LANE_CODES.bulk].isLow ?? true);
	}

	#tellSettling(): void {
		const settling = this.#settling;
		this.#settling = undefined;
		settling?.resolve(this.#isSettled());
	}

	/** The next frame that may go, charged to its window; undefined when all that waits has to. */
	next(): PendingFrame | undefined {
		if (this.#windows === undefined) return undefined;
		for (const code of [LANE_CODES.urgent, LANE_CODES.bulk]) {
			const lane = this.#lanes[code];
			for (let frame = lane.peek(); frame !== undefined; frame = lane.peek()) {
				if (frame.payload.byteLength > this.#maximumFrameBytes) {
					lane.take();
					frame.reject(tooLarge(frame.payload.byteLength, this.#maximumFrameBytes));
					continue;
				}
				const charge = frameCharge(frame.payload.byteLength, frame.modelledByteLength);
				if (!this.#windows[code].admits(charge)) break;
				this.#windows[code].take(charge);
				const taken = lane.take();
				if (this.#settling !== undefined && this.#isSettled()) this.#tellSettling();
				return taken;
			}
		}
		return undefined;
	}

	/** @throws {LinkError} `corrupt` if the peer gives back more than it got. */
	restore(credit: Credit): void {
		this.#windows?.[0].restore(credit.bulkBytes);
		this.#windows?.[1].restore(credit.urgentBytes);
		this.#tellSettling();
	}

	/** Rejects everything that waits. */
	reject(error: LinkError): void {
		for (const lane of this.#lanes) for (const frame of lane.drain()) frame.reject(error);
		this.#settling?.reject(error);
		this.#settling = undefined;
	}
}
