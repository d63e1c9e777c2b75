/**
 * A recorded timeline of dirty pages as a workload: the same pages become dirty after the same time, from the beginning again
 * when it ends. Within an interval nothing is known; its pages are written at its end, one after another.
 *
 * While pages are missing each of these writes waits for its page, and everything after it waits as well, as one thread would.
 * A trace says what was written, not what was read: a real guest waits for pages that it only reads, too.
 */
import type { DirtyTrace } from "../../planning/dirty-trace.ts";
import type { Scheduled } from "../virtual-clock.ts";
import type { PagedRun, Workload, WorkloadGuest } from "../workload.ts";

/** See the head of this file. */
export class TraceReplay implements Workload {
	readonly #trace: DirtyTrace;
	#nowMs = 0;
	#next = 0;
	/** When this pass through the trace began. */
	#startedMs = 0;

	/** @throws RangeError for a trace without steps, which has no length. */
	constructor(trace: DirtyTrace) {
		if (!((trace.steps.at(-1)?.atMs ?? 0) > 0)) throw new RangeError("trace: has no steps");
		this.#trace = trace;
	}

	advance(guest: WorkloadGuest, cpuMs: number): void {
		this.#nowMs += cpuMs;
		while (this.#dueMs() <= this.#nowMs) for (const page of this.#step()) guest.touchWrite(page);
	}

	startPaged(guest: WorkloadGuest): PagedRun {
		let scheduled: Scheduled | undefined;
		let isStopped = false;
		let workMs = 0;
		const write = (pages: Iterator<number, undefined>, page: number | undefined): void => {
			for (let next = page; next !== undefined && !isStopped; next = pages.next().value) {
				const missing = next;
				if (guest.missing.has(missing)) {
					guest.missing.wait(missing, () => write(pages, missing));
					return;
				}
				guest.missing.touched(missing);
				guest.touchWrite(missing);
			}
			if (!isStopped) sleep();
		};
		const sleep = (): void => {
			const waitMs = Math.max(0, this.#dueMs() - this.#nowMs);
			scheduled = guest.compute(waitMs, () => {
				this.#nowMs += waitMs;
				workMs += waitMs;
				const pages = this.#step();
				write(pages, pages.next().value);
			});
		};
		sleep();
		return {
			stop: () => {
				isStopped = true;
				scheduled?.cancel();
			},
			get workMs() {
				return workMs;
			},
		};
	}

	/** When the next step ends. */
	#dueMs(): number {
		return this.#startedMs + this.#trace.steps[this.#next]!.atMs;
	}

	/** The pages of the next step; the one after it is then next. */
	*#step(): Generator<number, undefined> {
		const { steps } = this.#trace;
		const { runs, atMs } = steps[this.#next]!;
		this.#next++;
		if (this.#next === steps.length) {
			this.#next = 0;
			this.#startedMs += atMs;
		}
		for (let i = 0; i < runs.length; i += 2) for (let k = 0; k < runs[i + 1]!; k++) yield runs[i]! + k;
		return undefined;
	}
}
