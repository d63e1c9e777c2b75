/** Collects the times and counts of one move while it runs, and turns them into {@link MoveMetrics}. */
import type { StopReason } from "../policies/convergence.ts";
import type { Clock } from "../ports/clock.ts";
import type { Guest } from "../ports/guest.ts";
import type { Iteration } from "../rounds/iteration.ts";
import { type MoveMetrics, type PagingMetrics, percentile, type TechniqueName, type Verification } from "./metrics.ts";

/** The moments of a move, in the order in which they come. */
export type Moment =
	| "started"
	| "prepared"
	| "live"
	| "paused"
	| "rounds-done"
	| "state-sent"
	| "verified"
	| "running"
	| "released";

/** What went out after the handover. */
export interface ServedPages {
	readonly pages: number;
	readonly zeroPages: number;
	readonly minorFaults: number;
	readonly paging: PagingMetrics;
}

/** See the head of this file. */
export class Stopwatch {
	readonly #clock: Clock;
	readonly #moments = new Map<Moment, number>();
	stopReason: StopReason | undefined;
	throttledToShare: number | undefined;
	/** Time for setting up the target (as it reports) and for attaching the tracker here. */
	setupMs = 0;

	constructor(clock: Clock) {
		this.#clock = clock;
	}

	/** Notes that a moment has come. */
	mark(moment: Moment): void {
		this.#moments.set(moment, this.#clock.now());
	}

	/** Whether a moment has come. */
	has(moment: Moment): boolean {
		return this.#moments.has(moment);
	}

	/** ms between two moments; 0 if one has not come. */
	between(from: Moment, to: Moment): number {
		const start = this.#moments.get(from);
		const end = this.#moments.get(to);
		return start === undefined || end === undefined ? 0 : end - start;
	}

	/** ms since a moment; 0 if it has not come. */
	since(from: Moment): number {
		const start = this.#moments.get(from);
		return start === undefined ? 0 : this.#clock.now() - start;
	}

	/** The metrics so far: complete after a move, partial after a failure. */
	metrics(
		technique: TechniqueName,
		verification: Verification,
		guest: Guest,
		iteration: Iteration,
		bytesOnWire: number,
		served?: ServedPages,
	): MoveMetrics {
		const { slicesMs, pauseWaitMs } = guest.takeInterruptions();
		const preparationMs = this.between("live", "paused");
		const downtimeMs = this.between("paused", "running");
		const resumeMs = this.between("running", "released");
		return {
			technique,
			verification,
			setupMs: this.setupMs,
			preparationMs,
			downtimeMs,
			resumeMs,
			totalMs: preparationMs + downtimeMs + resumeMs,
			downtimeParts: {
				finalRoundMs: this.between("paused", "rounds-done"),
				stateMs: this.between("rounds-done", "state-sent"),
				verifyMs: this.between("state-sent", "verified"),
				commitMs: this.between("verified", "running"),
			},
			pageCount: guest.pages.pageCount,
			pagesTransferred: iteration.sentPages + (served?.pages ?? 0),
			zeroPages: iteration.zeroPages + (served?.zeroPages ?? 0),
			...(iteration.pageKinds === undefined ? {} : { pageKinds: iteration.pageKinds }),
			...(iteration.deltaObstacle === undefined ? {} : { deltaObstacle: iteration.deltaObstacle }),
			bytesOnWire,
			networkFaults: served?.paging.networkFaults ?? 0,
			minorFaults: served?.minorFaults ?? 0,
			...(served === undefined ? {} : { paging: served.paging }),
			rounds: iteration.rounds,
			stopReason: this.stopReason,
			...(this.throttledToShare === undefined ? {} : { throttledToShare: this.throttledToShare }),
			longestSliceMs: slicesMs.reduce((longest, slice) => Math.max(longest, slice), 0),
			sliceP95Ms: percentile(slicesMs, 0.95),
			pauseWaitMs,
			memoryBytes: iteration.memoryBytes,
		};
	}
}
