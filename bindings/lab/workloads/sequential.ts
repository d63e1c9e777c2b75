/**
 * A process that reads or writes its working set from end to end, again and again: the paper's "simple, highly sequential
 * memory-intensive C program". As a {@link Workload} it writes at a rate; as a {@link Program} it touches page by page.
 *
 * | parameter | unit | where it comes from |
 * | --- | --- | --- |
 * | workMs | CPU time per page | 0.04: the study's fit of table 2 |
 * | write | whether it writes | the paper runs both |
 */
import type { Program, Touch } from "../program.ts";
import type { Workload, WorkloadGuest } from "../workload.ts";

/** See the head of this file. */
export interface SequentialOptions {
	readonly firstPage: number;
	readonly pageCount: number;
	readonly write: boolean;
	readonly workMs: number;
	/** Page to begin with, from 0. */
	readonly start?: number;
}

/** See the head of this file. */
export class Sequential implements Workload, Program {
	readonly #options: SequentialOptions;
	#at: number;
	#rest = 0;

	constructor(options: SequentialOptions) {
		this.#options = options;
		this.#at = (options.start ?? 0) % options.pageCount;
	}

	advance(guest: WorkloadGuest, cpuMs: number): void {
		const { firstPage, pageCount, write, workMs } = this.#options;
		const due = this.#rest + cpuMs / workMs;
		const touches = Math.floor(due);
		this.#rest = due - touches;
		if (write)
			for (let i = 0; i < Math.min(touches, pageCount); i++) guest.touchWrite(firstPage + ((this.#at + i) % pageCount));
		this.#at = (this.#at + touches) % pageCount;
	}

	next(touch: Touch): boolean {
		const { firstPage, pageCount, write, workMs } = this.#options;
		touch.page = firstPage + this.#at;
		touch.write = write;
		touch.workMs = workMs;
		this.#at = (this.#at + 1) % pageCount;
		return true;
	}
}
