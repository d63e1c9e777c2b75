/** The order in which pages of a memory guest were used, exactly, while anybody looks. */
import type { OrderCursor, PageOrder } from "../../ports/ordered-guest.ts";
import { RecentPages } from "../recent-pages.ts";

/** See the head of this file. */
export class UseOrder implements PageOrder {
	readonly source = "uses";
	readonly #maximumPageCount: number;
	#cursors = 0;
	#recent: RecentPages | undefined;

	constructor(maximumPageCount: number) {
		this.#maximumPageCount = maximumPageCount;
	}

	/** Notes that these pages are used now. */
	note(firstPage: number, pageCount: number): void {
		if (this.#recent === undefined) return;
		for (let page = firstPage; page < firstPage + pageCount; page++) this.#recent.note(page);
	}

	open(): Promise<OrderCursor> {
		this.#cursors++;
		this.#recent ??= new RecentPages(this.#maximumPageCount);
		let open = true;
		return Promise.resolve({
			recentFirst: () => Promise.resolve(this.#recent?.recentFirst() ?? new Uint32Array(0)),
			close: () => {
				if (open && --this.#cursors === 0) this.#recent = undefined;
				open = false;
				return Promise.resolve();
			},
		});
	}
}
