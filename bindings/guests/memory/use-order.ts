/** The order in which pages of a memory guest were used: one number per page, the time of its last use, while anybody looks. */
import type { OrderCursor, PageOrder } from "../../ports/ordered-guest.ts";

/** See the head of this file. */
export class UseOrder implements PageOrder {
	readonly #maximumPageCount: number;
	#cursors = 0;
	/** Per page: the number of its last use, from 1; 0 for none. */
	#lastUse: Float64Array | undefined;
	#uses = 0;

	constructor(maximumPageCount: number) {
		this.#maximumPageCount = maximumPageCount;
	}

	/** Notes that these pages are used now. */
	note(firstPage: number, pageCount: number): void {
		if (this.#lastUse === undefined) return;
		for (let page = firstPage; page < firstPage + pageCount; page++) this.#lastUse[page] = ++this.#uses;
	}

	open(): Promise<OrderCursor> {
		this.#cursors++;
		this.#lastUse ??= new Float64Array(this.#maximumPageCount);
		let open = true;
		return Promise.resolve({
			recentFirst: () => Promise.resolve(this.#recentFirst()),
			close: () => {
				if (open && --this.#cursors === 0) this.#lastUse = undefined;
				open = false;
				return Promise.resolve();
			},
		});
	}

	#recentFirst(): Uint32Array<ArrayBuffer> {
		const lastUse = this.#lastUse;
		if (lastUse === undefined) return new Uint32Array(0);
		const used: number[] = [];
		for (let page = 0; page < lastUse.length; page++) if (lastUse[page]! > 0) used.push(page);
		return Uint32Array.from(used.sort((a, b) => lastUse[b]! - lastUse[a]!));
	}
}
