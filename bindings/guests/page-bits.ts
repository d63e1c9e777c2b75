// Sets of pages as plain bytes, the form in which they cross ports and workers: bit i of byte ⌊i/8⌋ is page i of the range,
// least significant bit first. The engine's bitmaps have the same layout; these few functions serve where the sets are
// small (8 bytes per slice's step) or already outside the engine.

/** @returns bytes that `pageCount` bits take */
export function bitsByteLength(pageCount: number): number {
	return Math.ceil(pageCount / 8);
}

/** `target |= source`, byte by byte; `source` may be shorter. */
export function orBits(target: Uint8Array, source: Uint8Array, targetByte = 0): void {
	for (let i = 0; i < source.length; i++) target[targetByte + i]! |= source[i]!;
}

/** Sets bits first … first + count − 1. */
export function setBits(bits: Uint8Array, first: number, count: number): void {
	for (let page = first; page < first + count; ) {
		if (page % 8 === 0 && first + count - page >= 8) {
			const bytes = Math.floor((first + count - page) / 8);
			bits.fill(0xff, page / 8, page / 8 + bytes);
			page += bytes * 8;
		} else {
			bits[page >>> 3]! |= 1 << (page & 7);
			page++;
		}
	}
}

/** @returns the number of set bits */
export function countBits(bits: Uint8Array): number {
	let count = 0;
	for (let i = 0; i < bits.length; i++)
		if (bits[i] === 0xff) count += 8;
		else for (let byte = bits[i]!; byte !== 0; byte &= byte - 1) count++;
	return count;
}

/** Calls `run` for each maximal run of set bits among the first `pageCount`. */
export function forEachRun(bits: Uint8Array, pageCount: number, run: (first: number, count: number) => void): void {
	for (let page = 0; page < pageCount; ) {
		const byte = bits[page >>> 3]!;
		if (byte === 0) page = (page & ~7) + 8;
		else if (((byte >>> (page & 7)) & 1) === 0) page++;
		else {
			const first = page;
			// Whole bytes where they are full: these sets are often one run.
			while (page < pageCount && ((bits[page >>> 3]! >>> (page & 7)) & 1) === 1)
				page += page % 8 === 0 && bits[page >>> 3] === 0xff ? 8 : 1;
			page = Math.min(page, pageCount);
			run(first, page - first);
		}
	}
}

/** @returns the pages of a set, ascending */
export function listPages(bits: Uint8Array, pageCount: number): Uint32Array<ArrayBuffer> {
	const pages: number[] = [];
	forEachRun(bits, pageCount, (first, count) => {
		for (let page = first; page < first + count; page++) pages.push(page);
	});
	return Uint32Array.from(pages);
}
