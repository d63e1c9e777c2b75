// How the worker of a wasm guest finds dirty pages; cursors are numbers. Both trackers have this shape:
//
//   scan      compares the memory with a shadow copy (guests/scan-tracker.ts): sees every write, by whatever code
//   barrier   harvests the marks of code with a write barrier (barrier-tracker.ts): sees the module's writes and those that
//             host code says, in time that does not depend on the memory's size
//   verified  does both, answers with all pages that either has found, and keeps those that the barrier had missed
import { orBits } from "../page-bits.ts";
import type { Harvest, ScanTracker } from "../scan-tracker.ts";
import type { BarrierTracker } from "./barrier-tracker.ts";

/** See the head of this file. */
export interface DirtyTracker {
	/** Whether pages are encoded from a shadow of the memory. */
	readonly attached: boolean;
	open(): Generator<void, number>;
	peek(
		cursor: number,
		firstPage: number,
		pageCount: number,
		candidates?: Uint8Array,
	): Generator<void, Uint8Array<ArrayBuffer>>;
	harvest(cursor: number): Generator<void, Harvest>;
	putBack(cursor: number, bits: Uint8Array): void;
	close(cursor: number): void;
	/** Makes sure that a page can be encoded. */
	cover(pageIndex: number): Generator<void, void>;
}

/** Names of trackers. */
export type TrackerName = "scan" | "barrier" | "verified-barrier";

/** What a verified barrier has found. */
export interface BarrierReport {
	readonly harvests: number;
	/** Pages that had changed, over all harvests. */
	readonly changedPages: number;
	/** Of these, those that the barrier had not marked: host code wrote to them without saying so. */
	readonly missedPages: number;
	/** The first of them, by page. */
	readonly missed: readonly number[];
}

/** Missed pages that are kept by number. */
const MOST_MISSED = 256;

/** See the head of this file. */
export class VerifiedTracker implements DirtyTracker {
	readonly #scan: ScanTracker;
	readonly #barrier: BarrierTracker;
	/** By the scan's cursor: the barrier's, and what the barrier found last. */
	readonly #pairs: Map<number, { readonly barrier: number; before: Uint8Array }> = new Map();
	#harvests = 0;
	#changedPages = 0;
	#missedPages = 0;
	readonly #missed: number[] = [];

	constructor(scan: ScanTracker, barrier: BarrierTracker) {
		this.#scan = scan;
		this.#barrier = barrier;
	}

	get attached(): boolean {
		return this.#scan.attached;
	}

	/** What has been found so far. */
	get report(): BarrierReport {
		return {
			harvests: this.#harvests,
			changedPages: this.#changedPages,
			missedPages: this.#missedPages,
			missed: [...this.#missed],
		};
	}

	*open(): Generator<void, number> {
		// The barrier first: what is written while the shadow is made may be marked, never the other way round.
		const barrier = yield* this.#barrier.open();
		const cursor = yield* this.#scan.open();
		this.#pairs.set(cursor, { barrier, before: new Uint8Array(0) });
		return cursor;
	}

	*peek(
		cursor: number,
		firstPage: number,
		pageCount: number,
		candidates?: Uint8Array,
	): Generator<void, Uint8Array<ArrayBuffer>> {
		return yield* this.#scan.peek(cursor, firstPage, pageCount, candidates);
	}

	*harvest(cursor: number): Generator<void, Harvest> {
		const found = yield* this.#scan.harvest(cursor);
		const pair = this.#pairs.get(cursor)!;
		const marked = yield* this.#barrier.harvest(pair.barrier);
		// What changed between a page's comparison and the last harvest of marks was in that one.
		const known = marked.bits.slice();
		orBits(known, pair.before.subarray(0, known.length));
		pair.before = marked.bits;
		this.#compare(found, known);
		return found;
	}

	#compare({ bits, dirtyCount, pageCount }: Harvest, known: Uint8Array): void {
		this.#harvests++;
		this.#changedPages += dirtyCount;
		for (let page = 0; page < pageCount; page++) {
			const bit = 1 << (page & 7);
			if ((bits[page >>> 3]! & ~known[page >>> 3]! & bit) === 0) continue;
			this.#missedPages++;
			if (this.#missed.length < MOST_MISSED) this.#missed.push(page);
		}
	}

	/** What is put back was found by whichever tracker: the next harvest has it, and nobody has missed it. */
	putBack(cursor: number, bits: Uint8Array): void {
		this.#scan.putBack(cursor, bits);
		this.#barrier.putBack(this.#pairs.get(cursor)!.barrier, bits);
	}

	close(cursor: number): void {
		const pair = this.#pairs.get(cursor);
		this.#scan.close(cursor);
		if (pair !== undefined) this.#barrier.close(pair.barrier);
		this.#pairs.delete(cursor);
	}

	cover(pageIndex: number): Generator<void, void> {
		return this.#scan.cover(pageIndex);
	}
}
