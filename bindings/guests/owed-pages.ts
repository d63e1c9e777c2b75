// Which pages of a guest are missing, and which have come and were not used since: of guests whose every first use is heard of.
import type { PageBits } from "../ports/guest.ts";
import type { MissingPages } from "./fault-work.ts";
import { forEachRun } from "./page-bits.ts";

const Owed = { never: 0, missing: 1, untouched: 2 } as const;

/** See the head of this file. */
export class OwedPages implements MissingPages {
	/** By page; 0: it is of no interest when the guest uses it. */
	readonly states: Uint8Array;
	#remaining = 0;

	constructor(missing: PageBits, pageCount: number) {
		this.states = new Uint8Array(pageCount);
		forEachRun(missing, pageCount, (first, count) => {
			this.states.fill(Owed.missing, first, first + count);
			this.#remaining += count;
		});
	}

	get remaining(): number {
		return this.#remaining;
	}

	has(page: number): boolean {
		return this.states[page] === Owed.missing;
	}

	touch(page: number): boolean {
		if (this.states[page] !== Owed.untouched) return false;
		this.states[page] = Owed.never;
		return true;
	}

	arrived(page: number): void {
		if (!this.has(page)) return;
		this.states[page] = Owed.untouched;
		this.#remaining--;
	}

	end(): void {
		this.states.fill(Owed.never);
	}
}
