/**
 * Writes pages at random in a part of its memory, as fast as its CPU cap allows: the guest of the save experiments
 * (Chuang and Huang write "randomly and continuously" to half of the memory; the cap is Xen's credit scheduler's).
 *
 * | parameter | unit | where it comes from |
 * | --- | --- | --- |
 * | writesPerMs | pages written per ms of full CPU time | the one fitted parameter of LS-1 … LS-7 |
 * | share | 0 … 1, the CPU cap | the paper's x axis |
 * | firstPage, pageCount | the part that is written | the paper: half of the memory |
 */
import type { Random } from "../../ports/random.ts";
import type { Workload, WorkloadGuest } from "../workload.ts";

/** See the head of this file. */
export interface RandomWriterOptions {
	readonly writesPerMs: number;
	readonly share?: number;
	readonly firstPage?: number;
	readonly pageCount: number;
	readonly random: Random;
}

/** Above so many writes per page at once it is cheaper to ask each page whether it was written. */
const DENSE_WRITES = 1.5;

/** See the head of this file. */
export class RandomWriter implements Workload {
	readonly #options: Required<RandomWriterOptions>;
	/** Part of a write that the time did not suffice for. */
	#rest = 0;

	constructor(options: RandomWriterOptions) {
		this.#options = { share: 1, firstPage: 0, ...options };
	}

	/** The cap of its one virtual CPU. */
	get cores(): number {
		return this.#options.share;
	}

	advance(guest: WorkloadGuest, cpuMs: number): void {
		const { writesPerMs, share, pageCount } = this.#options;
		const due = this.#rest + cpuMs * writesPerMs * share;
		const writes = Math.floor(due);
		this.#rest = due - writes;
		if (writes === 0) return;
		if (writes > DENSE_WRITES * pageCount) this.#dense(guest, writes);
		else this.#sparse(guest, writes);
	}

	#sparse(guest: WorkloadGuest, writes: number): void {
		const { firstPage, pageCount, random } = this.#options;
		const { versions } = guest;
		const bits = guest.dirty.only;
		for (let i = 0; i < writes; i++) {
			const page = firstPage + Math.floor((random.nextU32() / 2 ** 32) * pageCount);
			versions[page]!++;
			if (bits === undefined) guest.dirty.mark(page);
			else bits[page >>> 3]! |= 1 << (page & 7);
		}
	}

	/** Each page was written with probability 1 − (1 − 1/n)^writes. */
	#dense(guest: WorkloadGuest, writes: number): void {
		const { firstPage, pageCount, random } = this.#options;
		const limit = (1 - (1 - 1 / pageCount) ** writes) * 2 ** 32;
		for (let page = firstPage; page < firstPage + pageCount; page++)
			if (random.nextU32() < limit) guest.touchWrite(page);
	}
}
