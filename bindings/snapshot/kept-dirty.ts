/**
 * The dirty cursor that a series keeps open between its snapshots: each snapshot borrows it, and what the snapshot has
 * harvested is either in the store at the end or back in the cursor.
 *
 *   kept ── lend ──▶ lent: harvests are remembered ── settle(true) ──▶ kept, forgotten
 *                                                  └─ settle(false) ─▶ kept, put back
 *
 * Invariant: a dirty bit that a failed snapshot has taken is set again before the next one can begin, a harvest that the
 * failed one had asked for and nobody waits for any more included.
 */
import type { DirtyCursor, PageBits } from "../ports/guest.ts";

/** See the head of this file. One per series. */
export class KeptDirty {
	readonly #cursor: DirtyCursor;
	#loan: Loan | undefined;

	constructor(cursor: DirtyCursor) {
		this.#cursor = cursor;
	}

	/** @throws TypeError while a snapshot has the cursor. */
	requireFree(): void {
		if (this.#loan !== undefined) throw new TypeError("series: another snapshot of this series is under way");
	}

	/** The cursor for one snapshot; closing it does nothing. @throws TypeError while it is lent. */
	lend(): DirtyCursor {
		this.requireFree();
		this.#loan = new Loan(this.#cursor);
		return this.#loan;
	}

	/** Ends the loan. @param isStored - whether all that was harvested is durable. @returns what was harvested */
	async settle(isStored: boolean): Promise<PageBits> {
		const loan = this.#loan;
		if (loan === undefined) return new Uint8Array(0);
		try {
			const taken = await loan.end();
			if (!isStored && taken.some((byte) => byte !== 0)) await this.#cursor.putBack(taken);
			return taken;
		} finally {
			this.#loan = undefined;
		}
	}

	/** Detaches the tracker. */
	close(): Promise<void> {
		return this.#cursor.close();
	}
}

class Loan implements DirtyCursor {
	readonly #cursor: DirtyCursor;
	#taken: PageBits = new Uint8Array(0);
	#harvests: Promise<unknown> = Promise.resolve();
	#isOver = false;

	constructor(cursor: DirtyCursor) {
		this.#cursor = cursor;
	}

	peek(firstPage: number, pageCount: number, candidates?: PageBits): Promise<PageBits> {
		return this.#cursor.peek(firstPage, pageCount, candidates);
	}

	harvest(): ReturnType<DirtyCursor["harvest"]> {
		// Work that a cancellation has left behind may still come here: its bits would be nobody's.
		if (this.#isOver) return Promise.reject(new TypeError("the snapshot that borrowed this cursor is over"));
		const harvest = this.#cursor.harvest().then((dirty) => {
			this.#taken = union(this.#taken, dirty.bits);
			return dirty;
		});
		this.#harvests = Promise.allSettled([this.#harvests, harvest]);
		return harvest;
	}

	putBack(bits: PageBits): Promise<void> {
		return this.#cursor.putBack(bits);
	}

	close(): Promise<void> {
		return Promise.resolve();
	}

	/** No harvest begins any more. @returns all that was harvested. */
	async end(): Promise<PageBits> {
		this.#isOver = true;
		await this.#harvests;
		return this.#taken;
	}
}

function union(one: PageBits, other: PageBits): PageBits {
	const bits = new Uint8Array(Math.max(one.byteLength, other.byteLength));
	bits.set(one);
	for (let i = 0; i < other.byteLength; i++) bits[i]! |= other[i]!; // in the pause: no iterator
	return bits;
}
