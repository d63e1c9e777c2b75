/**
 * Pages that a synthetic guest runs without, after a post-copy switch: who waits for which, since when.
 *
 *   missing ──touch──▶ missing, asked for ──install──▶ present        a page leaves once, by the first install
 */
import { type FaultReport, MAX_FAULT_SAMPLES } from "../ports/faulting-guest.ts";
import { GuestError, type PageBits } from "../ports/guest.ts";

/** See the head of this file. */
export class MissingSet {
	readonly #now: () => number;
	#bits: Uint8Array = new Uint8Array(0);
	/** Of the pages that were missing at first: those that nobody has touched yet. */
	#untouched: Uint8Array = new Uint8Array(0);
	#count = 0;
	#faults = 0;
	#minorFaults = 0;
	#blockedMs = 0;
	#blockedSinceMs = 0;
	readonly #latenciesMs: number[] = [];
	readonly #waiting = new Map<number, { readonly sinceMs: number; readonly wake: (() => void)[] }>();
	#onFault: (page: number) => void = () => undefined;

	constructor(now: () => number) {
		this.#now = now;
	}

	/** Pages still missing. */
	get count(): number {
		return this.#count;
	}

	/** First touches of pages that had come before anybody waited for them. */
	get minorFaults(): number {
		return this.#minorFaults;
	}

	begin(missing: PageBits, onFault: (page: number) => void): void {
		this.#bits = missing.slice();
		this.#untouched = missing.slice();
		this.#count = 0;
		for (let byte of missing) for (; byte !== 0; byte &= byte - 1) this.#count++;
		this.#onFault = onFault;
	}

	/** Whether a page is missing. */
	has(page: number): boolean {
		return ((this.#bits[page >>> 3] ?? 0) & (1 << (page & 7))) !== 0;
	}

	/** Notes a touch of a page that is here. @returns whether it is the first one since the switch. */
	touched(page: number): boolean {
		const bit = 1 << (page & 7);
		if (((this.#untouched[page >>> 3] ?? 0) & bit) === 0) return false;
		this.#untouched[page >>> 3]! &= ~bit;
		this.#minorFaults++;
		return true;
	}

	/** Waits for a missing page: `wake` is called when it is here. */
	wait(page: number, wake: () => void): void {
		const waiting = this.#waiting.get(page);
		if (waiting !== undefined) {
			waiting.wake.push(wake);
			return;
		}
		if (this.#waiting.size === 0) this.#blockedSinceMs = this.#now();
		this.#waiting.set(page, { sinceMs: this.#now(), wake: [wake] });
		this.#untouched[page >>> 3]! &= ~(1 << (page & 7));
		this.#faults++;
		this.#onFault(page);
	}

	/** A page has come. @returns whether it was missing. */
	arrived(page: number): boolean {
		if (!this.has(page)) return false;
		this.#bits[page >>> 3]! &= ~(1 << (page & 7));
		this.#count--;
		const waiting = this.#waiting.get(page);
		if (waiting === undefined) return true;
		this.#waiting.delete(page);
		const now = this.#now();
		if (this.#waiting.size === 0) this.#blockedMs += now - this.#blockedSinceMs;
		if (this.#latenciesMs.length < MAX_FAULT_SAMPLES) this.#latenciesMs.push(now - waiting.sinceMs);
		for (const wake of waiting.wake) wake();
		return true;
	}

	/** @throws {GuestError} `state` if pages are missing. */
	end(): void {
		if (this.#count > 0) throw new GuestError("state", `${this.#count} pages are still missing`);
		this.#bits = new Uint8Array(0);
	}

	report(): FaultReport {
		const standing = this.#waiting.size > 0 ? this.#now() - this.#blockedSinceMs : 0;
		return {
			faults: this.#faults,
			minorFaults: 0, // a page is installed as soon as it comes
			blockedMs: this.#blockedMs + standing,
			latenciesMs: this.#latenciesMs.slice(),
			touchedPages: this.#faults + this.#minorFaults,
		};
	}
}
