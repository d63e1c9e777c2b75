/**
 * Frames that have arrived and wait to be received, the urgent lane first.
 *
 *        open ── end(error) ──▶ ending ── last frame received ──▶ ended
 *          └────── drop(error) ───────────────────────────────────▶ ended
 *
 * What arrived before the end of the link is still delivered: it was sent, and the last word of a peer that died counts.
 * Only a local abort or close drops it.
 */
import type { IncomingFrame, LinkError } from "../ports/link.ts";
import { Fifo } from "./fifo.ts";

/** See the head of this file. */
export class Arrivals {
	readonly #lanes = [new Fifo<IncomingFrame>(), new Fifo<IncomingFrame>()] as const;
	#error: LinkError | undefined;
	#waiting: { resolve(frame: IncomingFrame): void; reject(error: LinkError): void } | undefined;
	#onEnded: (() => void) | undefined;

	/** Adds a frame. */
	push(lane: 0 | 1, frame: IncomingFrame): void {
		if (this.#waiting !== undefined) {
			const { resolve } = this.#waiting;
			this.#waiting = undefined;
			resolve(frame);
		} else this.#lanes[lane].push(frame);
	}

	/** See {@link Link.receive}. */
	receive(): Promise<IncomingFrame> {
		if (this.#waiting !== undefined) return Promise.reject(new TypeError("receive: the call before has not settled"));
		const frame = this.#lanes[1].take() ?? this.#lanes[0].take();
		if (frame !== undefined) {
			this.#checkEnded();
			return Promise.resolve(frame);
		}
		if (this.#error !== undefined) return Promise.reject(this.#error);
		return new Promise((resolve, reject) => {
			this.#waiting = { resolve, reject };
		});
	}

	/** Nothing more will arrive. `onEnded` is called once everything that did has been received. */
	end(error: LinkError, onEnded?: () => void): void {
		if (this.#error !== undefined) return;
		this.#error = error;
		this.#onEnded = onEnded;
		this.#waiting?.reject(error);
		this.#waiting = undefined;
		this.#checkEnded();
	}

	/** Nothing more will arrive, and what did is no longer wanted. */
	drop(error: LinkError): void {
		this.#error = error;
		for (const lane of [this.#lanes[1], this.#lanes[0]]) for (const frame of lane.drain()) frame.release();
		this.#waiting?.reject(error);
		this.#waiting = undefined;
		this.#checkEnded();
	}

	#checkEnded(): void {
		if (this.#error === undefined || this.#lanes[0].length + this.#lanes[1].length > 0) return;
		const onEnded = this.#onEnded;
		this.#onEnded = undefined;
		onEnded?.();
	}
}
