/**
 * How much pushed data may be under way. A fault has a lane that overtakes what *waits* here, but nothing overtakes what is
 * already in the network: so the push keeps no more there than makes it faster.
 *
 *   window = one of 8, 12, 18, 27 … 256 pages      batch = a quarter of it, 2 … 64 pages
 *
 *   up     one step; at least a tenth more is delivered: up again. Else back: hold, then down
 *   down   one step; as much is delivered: hold, then down again. Else back: hold, then up
 *
 * While the guest has waited for a page lately the window has at most {@link URGENT_PAGES}.
 *
 * On 117 MB/s with 60 µs each way 8 pages fill the line, 0.3 ms of data. On loopback it is the work on each batch that
 * limits, not the line: 8 pages under way gave 100 MB/s, 256 gave 600. A window made of delivery rate × shortest round trip
 * (BBR's, Cardwell et al. 2016) stayed at its floor there, because what a batch waits for a thread varies by more than the
 * trip itself. Pure: times come in, numbers come out.
 */
import { PAGE_BYTES } from "../ports/guest.ts";

const MIN_WINDOW_PAGES = 8;
const MAX_WINDOW_PAGES = 256;
/** From one window to the next. */
const STEP = 1.5;
/** While faults come: 0.2 ms of loopback's data. */
const URGENT_PAGES = 27;
/** How long after a fault the next one is expected. */
const URGENT_MS = 10;
/** Of what a smaller window delivers, a larger one must deliver more. */
const GAIN = 1.1;
/** Of what a larger window delivers, a smaller one may deliver. */
const LOSS = 0.95;
/** Round trips in which a window is judged, after one in which it takes effect. */
const MEASURED_ROUNDS = 4;
/** Round trips between two tries. */
const HELD_ROUNDS = 40;
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
	readonly #rates: number[] = [];
	#pages = MIN_WINDOW_PAGES;
	#trial: "up" | "down" | "hold" = "hold";
	/** What follows a hold. */
	#next: "up" | "down" = "up";
	/** Bytes per ms of the window before the trial; 0 before the first. */
	#rateBefore = 0;
	/** Round trips since the window changed. */
	#rounds = 0;
	#roundFrom = 0;
	#measured: { readonly sinceMs: number; readonly deliveredBefore: number } | undefined;
	#urgentUntilMs = Number.NEGATIVE_INFINITY;
	#nowMs = 0;

	/** Bytes under way. */
	get inFlightBytes(): number {
		return this.#inFlightBytes;
	}

	/** Bytes that may be under way. */
	get windowBytes(): number {
		const pages = this.#nowMs < this.#urgentUntilMs ? Math.min(this.#pages, URGENT_PAGES) : this.#pages;
		return pages * PAGE_BYTES;
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

	/** Notes that the guest waits for a page. */
	fault(nowMs: number): void {
		this.#nowMs = nowMs;
		this.#urgentUntilMs = nowMs + URGENT_MS;
	}

	/** Notes a batch that goes now. */
	sent(byteLength: number, nowMs: number): BatchUnderWay {
		this.#nowMs = nowMs;
		this.#inFlightBytes += byteLength;
		return { byteLength, sentMs: nowMs, deliveredBefore: this.#deliveredBytes };
	}

	/** Notes that a batch has been taken at the other side. */
	taken(batch: BatchUnderWay, nowMs: number): void {
		this.#nowMs = nowMs;
		this.#inFlightBytes -= batch.byteLength;
		this.#deliveredBytes += batch.byteLength;
		const elapsedMs = nowMs - batch.sentMs;
		if (!(elapsedMs > 0)) return;
		this.#rates.push((this.#deliveredBytes - batch.deliveredBefore) / elapsedMs);
		if (this.#rates.length > SAMPLES) this.#rates.shift();
		// A round trip is over when a batch has come that was sent after it began.
		if (batch.deliveredBefore < this.#roundFrom) return;
		this.#roundFrom = this.#deliveredBytes;
		this.#round(nowMs);
	}

	#round(nowMs: number): void {
		this.#rounds++;
		this.#measured ??= { sinceMs: nowMs, deliveredBefore: this.#deliveredBytes };
		const { sinceMs, deliveredBefore } = this.#measured;
		const wanted = this.#trial === "hold" && this.#rateBefore > 0 ? HELD_ROUNDS : MEASURED_ROUNDS;
		if (this.#rounds <= wanted || nowMs <= sinceMs) return;
		this.#judge((this.#deliveredBytes - deliveredBefore) / (nowMs - sinceMs));
	}

	/** The window has shown what it delivers: keeps it or goes back, and says what is tried next. */
	#judge(rate: number): void {
		const trial = this.#trial;
		const failed = trial !== "hold" && rate < (trial === "up" ? GAIN : LOSS) * this.#rateBefore;
		if (!failed) this.#rateBefore = rate;
		if (failed) this.#next = trial === "up" ? "down" : "up";
		if (trial === "up" && !failed) this.#step("up", "up");
		else if (trial === "hold") this.#step(this.#next, this.#next);
		else this.#step("hold", failed ? this.#next : undefined);
	}

	#step(trial: "up" | "down" | "hold", way: "up" | "down" | undefined): void {
		const pages = Math.round(this.#pages * (way === "up" ? STEP : way === "down" ? 1 / STEP : 1));
		this.#pages = Math.min(MAX_WINDOW_PAGES, Math.max(MIN_WINDOW_PAGES, pages));
		if (this.#pages === MIN_WINDOW_PAGES) this.#next = "up";
		if (this.#pages === MAX_WINDOW_PAGES) this.#next = "down";
		this.#trial = trial;
		this.#rounds = 0;
		this.#measured = undefined;
	}
}
