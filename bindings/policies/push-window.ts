/**
 * How much pushed data may be under way. A fault has a lane that overtakes what *waits* here, but nothing overtakes what is
 * already in the network: so the push keeps only as much there as the path holds, and a quarter more to keep it busy.
 *
 *   window = max(8 pages, 1.25 × delivery rate × shortest round trip)
 *   batch  = a quarter of the window, 2 … 64 pages
 *
 * The rate is the best of the last {@link SAMPLES} deliveries, the round trip the shortest ever: growing by a quarter per
 * round trip finds a fast link's rate in a few of them (8 pages to 1 MiB in 16), and a full queue never counts as distance.
 * On 117 MB/s with 60 µs each way that is some 9 pages, 0.3 ms of data. Pure: times come in, numbers come out.
 *
 * Source: the rule of bandwidth × round trip is BBR's (Cardwell et al. 2016) without its probing phases: a paging
 * conversation is short, and its floor of 8 pages keeps it going on a path that has become longer.
 */
import { PAGE_BYTES } from "../ports/guest.ts";

const MIN_WINDOW_PAGES = 8;
const GAIN = 1.25;
const SAMPLES = 16;
const MIN_BATCH_PAGES = 2;
const MAX_BATCH_PAGES = 64;

/** A batch under way, as {@link PushWindow.sent} gave it out. */
export interface BatchUnderWay {
	readonly byteLength: number;
	readonly sentMs: number;
	/** Bytes that had been delivered when it was sent. */
	readonly deliveredBefore: number;
}

/** See the head of this file. One per conversation. */
export class PushWindow {
	#inFlightBytes = 0;
	#deliveredBytes = 0;
	#roundTripMs = Number.POSITIVE_INFINITY;
	readonly #rates: number[] = [];

	/** Bytes under way. */
	get inFlightBytes(): number {
		return this.#inFlightBytes;
	}

	/** Bytes that may be under way. */
	get windowBytes(): number {
		const rate = this.bytesPerMs;
		const path = rate > 0 && this.#roundTripMs < Number.POSITIVE_INFINITY ? GAIN * rate * this.#roundTripMs : 0;
		return Math.max(MIN_WINDOW_PAGES * PAGE_BYTES, path);
	}

	/** Whether another batch may go. */
	get hasRoom(): boolean {
		return this.#inFlightBytes + MIN_BATCH_PAGES * PAGE_BYTES <= this.windowBytes || this.#inFlightBytes === 0;
	}

	/** Pages of the next batch. */
	get batchPages(): number {
		const pages = Math.floor(this.windowBytes / 4 / PAGE_BYTES);
		return Math.min(MAX_BATCH_PAGES, Math.max(MIN_BATCH_PAGES, pages));
	}

	/** What has been delivered lately, in bytes per ms; 0 if unknown. */
	get bytesPerMs(): number {
		return this.#rates.reduce((best, rate) => Math.max(best, rate), 0);
	}

	/** Notes a batch that goes now. */
	sent(byteLength: number, nowMs: number): BatchUnderWay {
		this.#inFlightBytes += byteLength;
		return { byteLength, sentMs: nowMs, deliveredBefore: this.#deliveredBytes };
	}

	/** Notes that a batch has been taken at the other side. */
	taken(batch: BatchUnderWay, nowMs: number): void {
		this.#inFlightBytes -= batch.byteLength;
		this.#deliveredBytes += batch.byteLength;
		const elapsedMs = nowMs - batch.sentMs;
		if (!(elapsedMs > 0)) return;
		this.#roundTripMs = Math.min(this.#roundTripMs, elapsedMs);
		this.#rates.push((this.#deliveredBytes - batch.deliveredBefore) / elapsedMs);
		if (this.#rates.length > SAMPLES) this.#rates.shift();
	}
}
