/** A set of missing pages as the records that carry it: parts in order, without gaps. */
import type { PageBits } from "../ports/guest.ts";
import { MAX_PAGE_SET_PAGES } from "../wire/limits.ts";
import type { MissingRecord } from "../wire/records.ts";

/** The records that say which of `pageCount` pages are missing: at least one. */
export function* missingRecords(bits: PageBits, pageCount: number): Generator<MissingRecord> {
	for (let firstPage = 0; firstPage < pageCount; firstPage += MAX_PAGE_SET_PAGES) {
		const count = Math.min(MAX_PAGE_SET_PAGES, pageCount - firstPage);
		const part = bits.slice(firstPage / 8, firstPage / 8 + Math.ceil(count / 8));
		yield { type: "missing", firstPage, pageCount: count, bits: part };
	}
}

/** Whether a page is in the set. */
export function hasPage(bits: PageBits, page: number): boolean {
	return ((bits[page >>> 3] ?? 0) & (1 << (page & 7))) !== 0;
}

/** The number of pages in the set. */
export function countPages(bits: PageBits): number {
	let count = 0;
	for (let byte of bits) for (; byte !== 0; byte &= byte - 1) count++;
	return count;
}
