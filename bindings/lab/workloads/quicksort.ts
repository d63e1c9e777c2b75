/**
 * One process that sorts an array with Quicksort, seen as the pages it touches: a partition scans its range, from both ends
 * towards the middle (Hoare) or forward (Lomuto), then its two parts are sorted, the smaller first.
 *
 * | parameter | unit | value |
 * | --- | --- | --- |
 * | workMs | CPU time per page of a scan | 0.02 and more: below, a guest with many processes saturates the link with faults |
 * | LEAF_SCANS | scans | 10: a page holds 2^10 elements of 4 bytes, which are sorted within it |
 * | scheme | `hoare` or `lomuto` | the C library's is two-ended |
 */
import type { Random } from "../../ports/random.ts";
import type { Program, Touch } from "../program.ts";

/** See the head of this file. */
export interface QuicksortOptions {
	readonly firstPage: number;
	readonly pageCount: number;
	readonly scheme: "hoare" | "lomuto";
	readonly workMs: number;
	readonly random: Random;
}

const LEAF_SCANS = 10;

/** See the head of this file. A sorted array is filled anew and sorted again: the program never ends. */
export class Quicksort implements Program {
	readonly #options: QuicksortOptions;
	/** Ranges still to be sorted: [low, high] pairs of pages. */
	#stack: number[] = [];
	#low = 0;
	#high = -1;
	#left = 0;
	#right = -1;
	#fromLeft = true;

	constructor(options: QuicksortOptions) {
		this.#options = options;
	}

	next(touch: Touch): boolean {
		while (this.#left > this.#right) this.#nextRange();
		const { firstPage, scheme, workMs } = this.#options;
		const fromLeft = scheme === "lomuto" || this.#fromLeft;
		touch.page = firstPage + (fromLeft ? this.#left++ : this.#right--);
		touch.write = true;
		touch.workMs = this.#low === this.#high ? LEAF_SCANS * workMs : workMs;
		this.#fromLeft = !this.#fromLeft;
		return true;
	}

	#nextRange(): void {
		if (this.#high > this.#low) {
			const size = this.#high - this.#low + 1;
			const pivot = this.#low + Math.floor((this.#options.random.nextU32() / 2 ** 32) * size);
			const parts: [number, number][] = [
				[this.#low, pivot],
				[pivot + 1, this.#high],
			];
			parts.sort((a, b) => b[1] - b[0] - (a[1] - a[0]));
			for (const [low, high] of parts) if (high >= low) this.#stack.push(low, high);
		}
		if (this.#stack.length === 0) this.#stack.push(0, this.#options.pageCount - 1);
		this.#high = this.#stack.pop()!;
		this.#low = this.#stack.pop()!;
		this.#left = this.#low;
		this.#right = this.#high;
	}
}
