// Pages by last use: a list that a page moves to the front of, with two links a page, so that a use costs the same however
// many pages there are, and reading the order is one walk.
//
// Source: spec section 1 (Hines et al., proactive LRU ordering: a page referenced since the last scan moves to the recent end).

/** No page: the list's ends, and a page that was never used. */
const NONE = 0xffff_ffff;

/** See the head of this file. */
export class RecentPages {
	/** Towards the more and the less recently used end. */
	#newer: Uint32Array<ArrayBuffer>;
	#older: Uint32Array<ArrayBuffer>;
	#newest = NONE;
	#count = 0;

	constructor(pageCount: number) {
		this.#newer = new Uint32Array(pageCount).fill(NONE);
		this.#older = new Uint32Array(pageCount).fill(NONE);
	}

	/** Pages that were used. */
	get count(): number {
		return this.#count;
	}

	/** The page is used now. */
	note(page: number): void {
		if (page === this.#newest) return;
		if (page >= this.#newer.length) this.#growTo(page + 1);
		const newer = this.#newer[page]!;
		const older = this.#older[page]!;
		// Only the newest page has no newer one, and it was dealt with: the others without links were never used.
		if (newer === NONE) this.#count++;
		else {
			this.#older[newer] = older;
			if (older !== NONE) this.#newer[older] = newer;
		}
		if (this.#newest !== NONE) this.#newer[this.#newest] = page;
		this.#older[page] = this.#newest;
		this.#newer[page] = NONE;
		this.#newest = page;
	}

	/** Pages that were used, the last one first. */
	recentFirst(): Uint32Array<ArrayBuffer> {
		const pages = new Uint32Array(this.#count);
		for (let page = this.#newest, at = 0; page !== NONE; page = this.#older[page]!) pages[at++] = page;
		return pages;
	}

	#growTo(pageCount: number): void {
		const length = Math.max(pageCount, this.#newer.length * 2);
		this.#newer = extended(this.#newer, length);
		this.#older = extended(this.#older, length);
	}
}

function extended(links: Uint32Array<ArrayBuffer>, length: number): Uint32Array<ArrayBuffer> {
	const longer = new Uint32Array(length).fill(NONE, links.length);
	longer.set(links);
	return longer;
}
