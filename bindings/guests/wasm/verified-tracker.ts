// A barrier that is checked: a scan runs beside it, every harvest has what the scan found, and pages that the barrier had not
// marked are kept for the report. Costs what a scan costs, and more; for tests of programs that declare their host access.
import { orBits } from "../page-bits.ts";
import type { Harvest, ScanTracker } from "../scan-tracker.ts";
import type { BarrierTracker } from "./barrier-tracker.ts";
import type { DirtyTracker } from "./dirty-tracker.ts";

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
