/**
 * The pages that a memory guest waits for after post-copy has started it.
 *
 *   present ──(begin)──▶ missing ──touch──▶ missing, somebody waits ──install──▶ present
 *                           └──────────────install──────────────────────────────▶ present
 *
 * Invariants: a page leaves `missing` once, by the install that brings its bytes; whatever came before or comes again
 * changes nothing. A page that several callers wait for is asked for once.
 */
import { type FaultReport, MAX_FAULT_SAMPLES } from "../../ports/faulting-guest.ts";
import { GuestError, type PageBits } from "../../ports/guest.ts";
import { bitsByteLength, countBits } from "../page-bits.ts";

interface Waiter {
	readonly sinceMs: number;
	readonly done: Promise<void>;
	resolve(): void;
	reject(error: GuestError): void;
}

/** See the head of this file. */
export class MissingPages {
	readonly #now: () => number;
	/** Bits of the pages that were there when it began; pages that come into being later are never missing. */
	#missing: Uint8Array = new Uint8Array(0);
	#untouched: Uint8Array = new Uint8Array(0);
	#count = 0;
	#touched = 0;
	#onFault: (pageIndex: number) => void = () => undefined;
	readonly #waiters = new Map<number, Waiter>();
	readonly #latenciesMs: number[] = [];
	#faults = 0;
	#blockedMs = 0;
	/** Since when somebody waits: several waits at once are one time of standing still. */
	#blockedSinceMs = 0;

	/** @param now - the time in ms, for what waits take. */
	constructor(now: () => number) {
		this.#now = now;
	}

	/** Pages still missing. */
	get count(): number {
		return this.#count;
	}

	/** See `FaultControl.begin`. @throws RangeError when the bits are not those of `pageCount` pages. */
	begin(missing: PageBits, pageCount: number, onFault: (pageIndex: number) => void): void {
		if (missing.byteLength !== bitsByteLength(pageCount))
			throw new RangeError(
				`missing: ${bitsByteLength(pageCount)} bytes for ${pageCount} pages, got ${missing.byteLength}`,
			);
		this.#missing = missing.slice();
		this.#untouched = missing.slice();
		this.#count = countBits(missing);
		this.#onFault = onFault;
	}

	/** Whether a page is missing. */
	has(page: number): boolean {
		return ((this.#missing[page >>> 3] ?? 0) & (1 << (page & 7))) !== 0;
	}

	/** Whether any of these pages is. */
	hasAny(firstPage: number, pageCount: number): boolean {
		if (this.#count === 0) return false;
		for (let page = firstPage; page < firstPage + pageCount; page++) if (this.has(page)) return true;
		return false;
	}

	/** Notes that the guest touches these pages: what came in vain is what it never does this with. */
	noteTouch(firstPage: number, pageCount: number): void {
		if (this.#untouched.byteLength === 0) return;
		for (let page = firstPage; page < firstPage + pageCount; page++) {
			const bit = 1 << (page & 7);
			if (((this.#untouched[page >>> 3] ?? 0) & bit) === 0) continue;
			this.#untouched[page >>> 3]! &= ~bit;
			this.#touched++;
		}
	}

	/** Waits until these pages are there, one after another, as a processor would meet them. @throws {GuestError} `gone` */
	async wait(firstPage: number, pageCount: number): Promise<void> {
		for (let page = firstPage; page < firstPage + pageCount; page++) if (this.has(page)) await this.#waitFor(page);
	}

	/** Notes that a missing page is there now, and wakes who waits for it. */
	arrived(page: number): void {
		this.#missing[page >>> 3]! &= ~(1 << (page & 7));
		this.#count--;
		const waiter = this.#waiters.get(page);
		if (waiter === undefined) return;
		this.#settle(page, waiter);
		waiter.resolve();
	}

	/** The guest is given up: nobody waits any more. */
	fail(error: GuestError): void {
		for (const [page, waiter] of this.#waiters) {
			this.#settle(page, waiter);
			waiter.reject(error);
		}
	}

	/** @throws {GuestError} `state` if pages are missing. */
	end(): void {
		if (this.#count > 0) throw new GuestError("state", `${this.#count} pages are still missing`);
		this.#missing = new Uint8Array(0);
	}

	/** See `FaultControl.faultReport`. */
	report(): FaultReport {
		const standing = this.#waiters.size > 0 ? this.#now() - this.#blockedSinceMs : 0;
		return {
			faults: this.#faults,
			minorFaults: 0, // a page is installed as soon as it comes
			blockedMs: this.#blockedMs + standing,
			latenciesMs: this.#latenciesMs.slice(),
			touchedPages: this.#touched,
		};
	}

	#waitFor(page: number): Promise<void> {
		const waiting = this.#waiters.get(page);
		if (waiting !== undefined) return waiting.done;
		const sinceMs = this.#now();
		let settle: Pick<Waiter, "resolve" | "reject"> | undefined;
		const done = new Promise<void>((resolve, reject) => {
			settle = { resolve, reject };
		});
		if (this.#waiters.size === 0) this.#blockedSinceMs = sinceMs;
		this.#waiters.set(page, { sinceMs, done, ...settle! });
		this.#faults++;
		this.#onFault(page);
		return done;
	}

	#settle(page: number, { sinceMs }: Waiter): void {
		this.#waiters.delete(page);
		const now = this.#now();
		if (this.#waiters.size === 0) this.#blockedMs += now - this.#blockedSinceMs;
		if (this.#latenciesMs.length < MAX_FAULT_SAMPLES) this.#latenciesMs.push(now - sinceMs);
	}
}
