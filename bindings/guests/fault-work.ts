// A guest that runs while pages are missing, inside its worker. Its code calls out where it touches a page that is not there;
// the worker stands still until it is.
//
//   touch ── in the inbox? ─ yes ─▶ that batch is verified and installed: a minor fault
//                          └ no ──▶ the host is told; while waiting, small batches that came before are installed
//
// What the inbox has when a call ends is installed between calls (`drain`). Invariant: a page is installed at most once,
// after its whole batch has been verified; the guest may have changed it since.
import type { BatchDecoder } from "../engine/batch.ts";
import type { Clock } from "../ports/clock.ts";
import { GuestError, PAGE_BYTES } from "../ports/guest.ts";
import { type ErrorRecord, recordError } from "./error-record.ts";
import { type FaultMemory, InboxReader, type PostedRecord } from "./fault-inbox.ts";

/** What is installed while the guest waits for a page of the network: at most so much at a time, 0.1 ms. */
const IDLE_BATCH_BYTES = 2 ** 18;

/** A wait looks up this often whether it still makes sense. Each record wakes it anyway. */
const WAIT_MS = 1000;

/** What the worker tells the host. */
export interface FaultEvents {
	/** The guest waits for this page. */
	onFault(pageIndex: number): void;
	/** Batches have been taken. */
	onTaken(): void;
	/** A batch was refused; nothing of it was installed. */
	onRefused(number: number, error: ErrorRecord): void;
}

/** The same, as messages. */
export type FaultMessage =
	| { readonly kind: "fault"; readonly pageIndex: number }
	| { readonly kind: "taken" }
	| { readonly kind: "refused"; readonly number: number; readonly error: ErrorRecord };

/** Sends what happens as messages. */
export function postFaultEvents(post: (message: FaultMessage) => void): FaultEvents {
	return {
		onFault: (pageIndex) => post({ kind: "fault", pageIndex }),
		onTaken: () => post({ kind: "taken" }),
		onRefused: (number, error) => post({ kind: "refused", number, error }),
	};
}

/** What it works on. */
export interface FaultParts {
	/** The guest's memory, from page 0 on: derived at each use, because it may have grown. */
	readonly memory: () => Uint8Array;
	readonly decoder: BatchDecoder;
	readonly clock: Clock;
	readonly events: FaultEvents;
	readonly missing: MissingPages;
}

/** Which pages are missing, as the guest's code sees it. */
export interface MissingPages {
	/** Pages that have not been installed. */
	readonly remaining: number;
	/** Whether a page has not been installed. Pages that came into being later are here. */
	has(page: number): boolean;
	/** A page is used. @returns whether it was owed, has come, and is used for the first time */
	touch(page: number): boolean;
	/** A page has been installed; its first use is still to come. */
	arrived(page: number): void;
	/** Everything is here, whether it was used or not: nothing calls out any more. */
	end(): void;
}

/** See the head of this file. */
export class FaultWork {
	readonly #parts: FaultParts;
	readonly #inbox: InboxReader;
	readonly #missing: MissingPages;
	readonly #pageCount: number;

	constructor(parts: FaultParts, shared: FaultMemory) {
		this.#parts = parts;
		this.#inbox = new InboxReader(shared);
		this.#pageCount = shared.pageCount;
		this.#missing = parts.missing;
	}

	/** Pages that are still missing. */
	get remaining(): number {
		return this.#missing.remaining;
	}

	/** Whether any of these pages is missing. */
	hasAny(firstPage: number, pageCount: number): boolean {
		if (this.remaining === 0) return false;
		for (let page = firstPage; page < firstPage + pageCount; page++) if (this.#missing.has(page)) return true;
		return false;
	}

	/** Nothing is missing any more. */
	end(): void {
		this.#missing.end();
	}

	/** What instrumented code calls: the page is missing, or what is accessed goes on into the next one. */
	arrive(pageIndex: number): void {
		if (this.#missing.has(pageIndex)) this.#fetch(pageIndex);
		else if (this.#missing.touch(pageIndex)) this.#inbox.countTouched();
		else if (this.#missing.has(pageIndex + 1)) this.#fetch(pageIndex + 1);
	}

	/** Returns once the pages of a range are there. */
	touch(pointer: number, byteLength: number): void {
		if (byteLength === 0) return;
		const last = Math.floor((pointer + byteLength - 1) / PAGE_BYTES);
		for (let page = Math.floor(pointer / PAGE_BYTES); page <= last; page++)
			if (this.#missing.has(page)) this.#fetch(page);
			else if (this.#missing.touch(page)) this.#inbox.countTouched();
	}

	/** Brings a page that is touched now. */
	#fetch(pageIndex: number): void {
		this.#bring(pageIndex);
		if (this.#missing.touch(pageIndex)) this.#inbox.countTouched();
	}

	#bring(pageIndex: number): void {
		const here = this.#inbox.recordOf(pageIndex);
		if (here !== undefined) {
			this.#take(here);
			if (!this.#missing.has(pageIndex)) {
				this.#inbox.countMinorFault();
				return;
			}
		}
		this.#await(pageIndex);
	}

	#await(pageIndex: number): void {
		const { clock, events } = this.#parts;
		const started = clock.now();
		this.#inbox.countFault();
		events.onFault(pageIndex);
		while (this.#missing.has(pageIndex)) {
			const seen = this.#inbox.wakeups;
			if (this.#inbox.ended) throw new GuestError("gone", `page ${pageIndex} will not come: the guest is given up`);
			const record = this.#inbox.recordOf(pageIndex) ?? this.#inbox.next(IDLE_BATCH_BYTES);
			if (record === undefined) this.#inbox.wait(seen, WAIT_MS);
			else this.#take(record);
		}
		this.#inbox.noteFault(clock.now() - started);
	}

	/** Installs what the inbox has, a batch at a time. */
	*drain(): Generator<void, void> {
		this.#inbox.nudgeRead();
		for (;;) {
			const record = this.#inbox.next(Number.POSITIVE_INFINITY);
			if (record === undefined) return;
			this.#take(record);
			yield;
		}
	}

	#take(record: PostedRecord): void {
		const { decoder, memory, events } = this.#parts;
		try {
			const batch = decoder.decode(record.bytes, { pageCount: this.#pageCount, checksum: record.checksum });
			const pages = batch.pageIndices();
			const target = memory();
			const repeated: number[] = [];
			pages.forEach((page, position) => {
				if (!this.#missing.has(page)) repeated.push(position);
			});
			// Pages that were here may have changed since: what the batch says of them is undone before the guest goes on.
			const kept = repeated.map((position) => pageOf(target, pages[position]!).slice());
			batch.install(target);
			for (const [i, position] of repeated.entries()) pageOf(target, pages[position]!).set(kept[i]!);
			for (const page of pages) this.#missing.arrived(page);
			this.#inbox.took(record, repeated);
		} catch (error) {
			this.#inbox.refused(record);
			events.onRefused(record.number, recordError(error));
		}
		if (this.#inbox.news()) events.onTaken();
	}
}

function pageOf(memory: Uint8Array, page: number): Uint8Array {
	return memory.subarray(page * PAGE_BYTES, (page + 1) * PAGE_BYTES);
}
