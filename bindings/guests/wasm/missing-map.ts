// Which pages of a guest are missing, as its code sees it: the map that presence checks look up (module/page-map.ts).
//
// Code judges an access by the page it starts on, and an access is at most 16 bytes long. So a page whose successor is
// missing is an *edge*: an access that starts in its last bytes must wait for the successor.
import { forEachRun } from "../page-bits.ts";
import { EDGE, MAP_BYTES, MISSING, MISSING_OFFSET } from "./module/page-map.ts";

const HERE = 0;

/** See the head of this file. */
export class MissingMap {
	readonly #map: Uint8Array;
	/** 1 for each page that has not been installed. */
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
			this.#owed.fill(1, first, first + count);
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
		return this.#owed[page] === 1;
	}

	/** A page has been installed. */
	arrived(page: number): void {
		if (!this.has(page)) return;
		this.#owed[page] = 0;
		this.#remaining--;
		this.#show(page);
		if (page > 0) this.#show(page - 1);
	}

	#show(page: number): void {
		this.#map[page] = this.has(page) ? MISSING : this.has(page + 1) ? EDGE : HERE;
	}
}
