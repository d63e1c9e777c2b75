/** Positions of the pseudo-paging device: in which order pages lie there, the most recently used end first. */
import type { Random } from "../ports/random.ts";

/** Pages in runs of neighbours whose order is random: what a kernel's lists look like that nobody has aged. */
export function shuffledRuns(pages: Uint32Array, runPages: number, random: Random): Uint32Array<ArrayBuffer> {
	const runs: Uint32Array[] = [];
	for (let first = 0; first < pages.length; first += runPages) runs.push(pages.subarray(first, first + runPages));
	for (let i = runs.length - 1; i > 0; i--) {
		const j = Math.floor((random.nextU32() / 2 ** 32) * (i + 1));
		[runs[i], runs[j]] = [runs[j]!, runs[i]!];
	}
	const order = new Uint32Array(pages.length);
	let at = 0;
	for (const run of runs) {
		order.set(run, at);
		at += run.length;
	}
	return order;
}

/**
 * Proactive LRU ordering: a scan now and then moves the pages whose referenced bit is set to the recent end, in the order
 * in which they lie in the list. So pages are in order by scan, and within one scan as they were.
 * @param pages - the list before any scan.
 * @param lastUse - per page, the number of its last touch; 0 for none.
 * @param scanTouches - touches between two scans.
 */
export function scannedOrder(pages: Uint32Array, lastUse: Float64Array, scanTouches: number): Uint32Array<ArrayBuffer> {
	const scan = (page: number): number => Math.ceil(lastUse[page]! / scanTouches);
	return Uint32Array.from(pages).sort((a, b) => scan(b) - scan(a)); // the sort is stable
}

/** 0 … count − 1. */
export function ascending(count: number, first = 0): Uint32Array<ArrayBuffer> {
	return Uint32Array.from({ length: count }, (_, i) => first + i);
}
