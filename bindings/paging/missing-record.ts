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

/** The number of pages in the set. Counts 32 at a time: it is asked for while the guest stands still. */
export function countPages(bits: PageBits): number {
	const aligned = bits.byteOffset % 4 === 0 ? bits : bits.slice();
	const words = new Uint32Array(aligned.buffer, aligned.byteOffset, aligned.byteLength >>> 2);
	let count = 0;
	for (let i = 0; i < words.length; i++) count += countBits(words[i]!);
	for (let i = words.length * 4; i < bits.length; i++) count += countBits(bits[i]!);
	return count;
}

/** The number of bits set in a u32: pairs, fours, bytes, and their sum. */
function countBits(word: number): number {
	const pairs = word - ((word >>> 1) & 0x55555555);
	const fours = (pairs & 0x33333333) + ((pairs >>> 2) & 0x33333333);
	return Math.imul((fours + (fours >>> 4)) & 0x0f0f0f0f, 0x01010101) >>> 24;
}
