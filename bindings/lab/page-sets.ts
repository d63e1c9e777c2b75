/** Sets of pages as bits, for guests' pinned pages. */
import type { PageBits } from "../ports/guest.ts";

/** Pages firstPage … firstPage + count − 1 of a guest with `pageCount` pages. */
export function pageRange(pageCount: number, firstPage: number, count: number): PageBits {
	const bits = new Uint8Array(Math.ceil(pageCount / 8));
	for (let page = firstPage; page < firstPage + count; page++) bits[page >>> 3]! |= 1 << (page & 7);
	return bits;
}
