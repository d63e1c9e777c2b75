// The dirty log of a v86 guest: by its page walk where that can be followed, else by scanning.
//
//   no cursor ──open──▶ page-walk   the walk is patched, and the guest's page tables have 32-bit entries
//                  └──▶ scan        another build of v86, a PAE guest, or asked for
//
// The choice holds until the last cursor is closed; `tracker` says which it is, or would be.
import type { DirtyCursor, DirtyLog, DirtyPages, PageBits } from "../../ports/guest.ts";
import { type Harvest, ScanTracker } from "../scan-tracker.ts";
import type { V86Machine } from "./machine.ts";
import type { PageWork } from "./page-work.ts";
import { WrittenPages } from "./written-pages.ts";

/** How a v86 guest's dirty pages are found. */
export type V86Tracker = "page-walk" | "scan";

/** Runs a job with the guest's other work. */
export type RunJob = <T>(job: () => Generator<void, T>) => Promise<T>;

/** See the head of this file. */
export class V86DirtyLog implements DirtyLog {
	readonly #machine: V86Machine;
	readonly #run: RunJob;
	readonly #allHere: () => void;
	readonly #scan: ScanTracker;
	readonly #written: WrittenPages | undefined;

	/**
	 * @param wanted - `scan` even where the page walk could be followed
	 * @param allHere - throws while pages are missing: a scan copies them all
	 */
	constructor(machine: V86Machine, pages: PageWork, run: RunJob, wanted: V86Tracker, allHere: () => void) {
		this.#machine = machine;
		this.#run = run;
		this.#allHere = allHere;
		this.#scan = new ScanTracker(pages);
		this.#written = machine.patched && wanted === "page-walk" ? new WrittenPages(machine) : undefined;
	}

	get tracker(): V86Tracker {
		if (this.#scan.attached || this.#written === undefined) return "scan";
		return this.#written.attached || !this.#machine.usesPae ? "page-walk" : "scan";
	}

	async open(): Promise<DirtyCursor> {
		const cursor = await this.#run(() => (this.tracker === "scan" ? this.#openScan() : this.#openWalk()));
		return new V86DirtyCursor(this.#run, cursor);
	}

	*#openScan(): Generator<void, Cursor> {
		this.#allHere();
		const scan = this.#scan;
		const cursor = yield* scan.open();
		return {
			*peek(firstPage, pageCount, candidates) {
				return yield* scan.peek(cursor, firstPage, pageCount, candidates);
			},
			*harvest() {
				return yield* scan.harvest(cursor);
			},
			putBack: (bits) => scan.putBack(cursor, bits),
			close: () => scan.close(cursor),
		};
	}

	*#openWalk(): Generator<void, Cursor> {
		const written = this.#written!;
		const cursor = written.open();
		return {
			// biome-ignore lint/correctness/useYield: the answer is one look at a map of bytes
			*peek(firstPage, pageCount, candidates) {
				return written.peek(cursor, firstPage, pageCount, candidates);
			},
			// biome-ignore lint/correctness/useYield: the same
			*harvest() {
				return written.harvest(cursor);
			},
			putBack: (bits) => written.putBack(cursor, bits),
			close: () => written.close(cursor),
		};
	}
}

/** A cursor of either tracker. */
interface Cursor {
	peek(firstPage: number, pageCount: number, candidates?: PageBits): Generator<void, PageBits>;
	harvest(): Generator<void, Harvest>;
	putBack(bits: PageBits): void;
	close(): void;
}

class V86DirtyCursor implements DirtyCursor {
	readonly #run: RunJob;
	readonly #cursor: Cursor;

	constructor(run: RunJob, cursor: Cursor) {
		this.#run = run;
		this.#cursor = cursor;
	}

	async peek(firstPage: number, pageCount: number, candidates?: PageBits): Promise<PageBits> {
		if (firstPage % 8 !== 0) throw new RangeError(`firstPage must be a multiple of 8, got ${firstPage}`);
		return this.#run(() => this.#cursor.peek(firstPage, pageCount, candidates));
	}

	harvest(): Promise<DirtyPages> {
		return this.#run(() => this.#cursor.harvest());
	}

	putBack(bits: PageBits): Promise<void> {
		return this.#run(() => atOnce(() => this.#cursor.putBack(bits)));
	}

	close(): Promise<void> {
		return this.#run(() => atOnce(() => this.#cursor.close()));
	}
}

/** A job of one step. */
// biome-ignore lint/correctness/useYield: a job like the others
export function* atOnce<T>(work: () => T): Generator<void, T> {
	return work();
}
