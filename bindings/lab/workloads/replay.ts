/**
 * A recorded timeline of dirty pages as a workload: the same pages become dirty after the same time, from the beginning again
 * when it ends. Within an interval nothing is known; its pages are written at its end. For techniques that pause for all
 * pages: a trace says what was written, not what was touched.
 */
import type { DirtyTrace } from "../../planning/dirty-trace.ts";
import type { Workload, WorkloadGuest } from "../workload.ts";

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
		const { steps } = this.#trace;
		for (let step = steps[this.#next]!; this.#startedMs + step.atMs <= this.#nowMs; step = steps[this.#next]!) {
			for (let i = 0; i < step.runs.length; i += 2)
				for (let k = 0; k < step.runs[i + 1]!; k++) guest.touchWrite(step.runs[i]! + k);
			this.#next++;
			if (this.#next < steps.length) continue;
			this.#next = 0;
			this.#startedMs += step.atMs;
		}
	}
}
