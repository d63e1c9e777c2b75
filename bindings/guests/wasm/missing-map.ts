// Which pages of a guest are missing, as its code sees it: the map that presence checks look up (module/page-map.ts).
//
// Code judges an access by the page it starts on, and an access is at most 16 bytes long. So a page whose successor is
// missing is an *edge*: an access that starts in its last bytes must wait for the successor.
//
// A page that has come and was not used since calls out like a missing one, once: so it is known which came in vain.

import type { MissingPages } from "../fault-work.ts";
import { forEachRun } from "../page-bits.ts";
import { EDGE, MAP_BYTES, MISSING, MISSING_OFFSET } from "./module/page-map.ts";

const HERE = 0;

/** What becomes of a page that was owed. */
const Owed = { never: 0, missing: 1, untouched: 2 } as const;

/** See the head of this file. */
export class MissingMap implements MissingPages {
	readonly #map: Uint8Array;
	/** By page: {@link Owed}; touched pages count as never owed. */
	readonly #owed: Uint8Array;
	#remaining = 0;

	/**
	 * Runs while the guest stands still: a run of missing pages costs two fills (page by page 131 072 took 4 ms).
	 *
	 * @param map the second memory of the code that runs
	 * @param missing one bit a page
	 */
	constructor(map: WebAssembly.Memory, missing: Uint8Array, pageCount: number) {
		this.#map = new Uint8Array(map.buffer, MISSING_OFFSET, MAP_BYTES).fill(HERE, 0, pageCount);
		this.#owed = new Uint8Array(pageCount);
		forEachRun(missing, pageCount, (first, count) => {
			this.#owed.fill(Owed.missing, first, first + count);
			this.#map.fill(MISSING, first, first + count);
			if (first > 0) this.#map[first - 1] = EDGE;
			this.#remaining += count;
		});
	}

	/** Pages that have not been installed. */
	get remaining(): number {
		return this.#remaining;
	}

	/** Whether a page has not been installed. Pages that came into being later are here. */
	has(page: number): boolean {
		return this.#owed[page] === Owed.missing;
	}

	/** A page is used. @returns whether it was owed, has come, and is used for the first time */
	touch(page: number): boolean {
		if (this.#owed[page] !== Owed.untouched) return false;
		this.#owed[page] = Owed.never;
		this.#show(page);
		return true;
	}

	/** A page has been installed; its first use is still to come. */
	arrived(page: number): void {
		if (!this.has(page)) return;
		this.#owed[page] = Owed.untouched;
		this.#remaining--;
		this.#show(page);
		if (page > 0) this.#show(page - 1);
	}

	/** Everything is here, whether it was used or not: nothing calls out any more. */
	end(): void {
		this.#owed.fill(Owed.never);
		this.#map.fill(HERE, 0, this.#owed.length);
	}

	#show(page: number): void {
		const callsOut = this.#owed[page] !== Owed.never;
		this.#map[page] = callsOut ? MISSING : this.has(page + 1) ? EDGE : HERE;
	}
}
