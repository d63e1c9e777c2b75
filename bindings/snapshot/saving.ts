/**
 * One save: what every technique of the family has in common, over the iteration engine of the moves. A technique says
 * whether the pages travel live first, and when the guest runs on; a destination says where they go.
 *
 *   begin ─▶ [live: rounds while the guest runs] ─▶ pause ─▶ final round ─▶ state ─▶ [full: hash all memory again]
 *                                                                                       │
 *        live save: the guest runs on ─▶ commit ◀───────────────────────────────────────┤
 *        save:                           commit ─▶ the guest runs on, or stays paused ◀──┘
 *
 * Of a guest that can be copied (ports/copying-guest.ts) a live save only copies in the pause what the final round and the
 * state are made of; they are encoded and written when the guest runs on.
 *
 * Guarantee: whatever fails, is cancelled or takes too long, no half snapshot becomes visible, the guest runs on, and what
 * was dirty for this snapshot is dirty for the next. A cancellation that comes too late to stop the commit is none: the
 * snapshot is there, and the result says so.
 *
 * It may overlap with anything that pauses through `handover/pause-turn.ts`: each has its own dirty cursor, one at a time
 * holds the guest paused. A guest that is moved away before its pages and state were taken ends the save with `gone`.
 */

import { holdPaused, type PauseHold } from "../handover/pause-turn.ts";
import { DeadlineError, withDeadline } from "../handover/phases.ts";
import type { CompressionPolicy } from "../policies/compression.ts";
import type { ConvergencePolicy, RoundFacts, StopReason } from "../policies/convergence.ts";
import { fixedRate, type PacingPolicy } from "../policies/pacing.ts";
import type { Clock } from "../ports/clock.ts";
import { type CopyControl, isCopyingGuest } from "../ports/copying-guest.ts";
import { type Guest, GuestError, type GuestLayout } from "../ports/guest.ts";
import { Iteration, type KeptCursor } from "../rounds/iteration.ts";
import type { PageSink } from "../rounds/page-sink.ts";
import type { PageHashTable } from "../wire/digest.ts";
import type { Verification } from "../wire/records.ts";
import { SaveError, type SavePhase, toSaveError } from "./save-error.ts";
import {
	type SaveMetrics,
	type SaveProgress,
	SaveProgressReport,
	type SaveTechnique,
	SaveWatch,
} from "./save-metrics.ts";

/** Deadlines in ms. The rounds are bounded by progress instead: `stallMs` is the longest wait for one write. */
export interface SaveDeadlines {
	readonly beginMs: number;
	/** Longest wait for another operation that holds the guest paused. */
	readonly turnMs: number;
	readonly pauseMs: number;
	readonly stateMs: number;
	readonly stallMs: number;
	readonly commitMs: number;
}

/** What {@link SaveDeadlines} are unless the caller says otherwise. */
export const DEFAULT_SAVE_DEADLINES: SaveDeadlines = {
	beginMs: 30_000,
	turnMs: 30_000,
	pauseMs: 5_000,
	stateMs: 10_000,
	stallMs: 30_000, // a slow disk that syncs 32 MiB
	commitMs: 60_000,
};

/** What every save takes. */
export interface SaveOptions {
	/** For people who look for it later. */
	readonly label?: string;
	/** Plain facts that are kept with the snapshot. */
	readonly facts?: Readonly<Record<string, string>>;
	/** Cancels at every phase; the guest runs on. */
	readonly signal?: AbortSignal;
	/** `full` for guests with a scan tracker, `transport` for others, if left out. */
	readonly verification?: Verification;
	/** A cap in bytes per ms. The final round, when the guest is paused, is not held back. */
	readonly bandwidthBytesPerMs?: number;
	/** Limits the live part: afterwards `cancel`, or `finish`: pause at the end of the round under way. */
	readonly totalTime?: { readonly limitMs: number; readonly onLimit: "cancel" | "finish" };
	readonly deadlines?: Partial<SaveDeadlines>;
	/** Whether to try to compress. Always, if left out: a snapshot is kept. */
	readonly compression?: CompressionPolicy;
	readonly onProgress?: (progress: SaveProgress) => void;
}

/** What a save tells its destination at the end. */
export interface SaveEnd {
	readonly state: Uint8Array<ArrayBuffer>;
	/** Over state and page hashes, see wire/digest.ts. */
	readonly digest: string;
	readonly pageCount: number;
	readonly facts: Readonly<Record<string, string>>;
}

/** Takes one snapshot. */
export interface SaveSink<Kept> extends PageSink {
	/** Resolves once it is durable. Called once, when everything has been accepted. */
	commit(end: SaveEnd): Promise<Kept>;
	/** Gives the snapshot up; a commit under way settles one way or the other. */
	abort(reason: unknown): Promise<void>;
}

/** What a save tells its destination at the beginning. */
export interface SaveStart {
	/** The guest as it is now; it may grow. */
	readonly layout: GuestLayout;
	readonly technique: SaveTechnique;
	readonly verification: Verification;
	/** The caller's, and how it is saved. */
	readonly facts: Readonly<Record<string, string>>;
}

/** Where snapshots go: a store here, or a keeper over a link. */
export interface SaveDestination<Kept> {
	begin(start: SaveStart, signal: AbortSignal): Promise<SaveSink<Kept>>;
}

/** What a technique adds. */
export interface SavePlan {
	readonly technique: SaveTechnique;
	/** The live rounds' end; absent: none. */
	readonly convergence?: ConvergencePolicy;
	readonly pacing?: PacingPolicy;
	/** When the guest runs on. */
	readonly afterwards: "resume-first" | "resume-when-durable" | "stay-paused";
	/** Of a series: its cursor, and the hashes of what its parent has. */
	readonly kept?: KeptCursor & { readonly hashes: PageHashTable };
}

/** A finished save. */
export interface Saved<Kept> {
	readonly snapshot: Kept;
	readonly metrics: SaveMetrics;
}

/** Xen runs 29 live rounds at most: what the progress estimate counts with. */
const LIVE_ROUNDS = 29;
/** How long a commit that was given up may take to say what became of it, in ms. */
const SETTLE_MS = 10_000;
const OPERATION = "a snapshot";

/** See the head of this file. Not called by users. @throws {SaveError} */
export function runSave<Kept>(
	plan: SavePlan,
	services: { readonly guest: Guest; readonly clock: Clock; readonly destination: SaveDestination<Kept> },
	options: SaveOptions,
): Promise<Saved<Kept>> {
	return new Saving(plan, services, options).run();
}

class Saving<Kept> {
	readonly #plan: SavePlan;
	readonly #guest: Guest;
	readonly #clock: Clock;
	readonly #destination: SaveDestination<Kept>;
	readonly #options: SaveOptions;
	readonly #verification: Verification;
	readonly #deadlines: SaveDeadlines;
	readonly #watch: SaveWatch;
	readonly #iteration: Iteration;
	readonly #progress: SaveProgressReport;
	#sink: SaveSink<Kept> | undefined;
	/** The sink on its way. */
	#opening: Promise<void> | undefined;
	#hold: PauseHold | undefined;
	#phase: SavePhase = "begin";
	#pending: number;
	#failed = false;

	constructor(
		plan: SavePlan,
		services: { readonly guest: Guest; readonly clock: Clock; readonly destination: SaveDestination<Kept> },
		options: SaveOptions,
	) {
		const { guest, clock, destination } = services;
		this.#plan = plan;
		this.#guest = guest;
		this.#clock = clock;
		this.#destination = destination;
		this.#options = options;
		this.#verification = options.verification ?? (guest.dirty.tracker === "scan" ? "full" : "transport");
		this.#deadlines = { ...DEFAULT_SAVE_DEADLINES, ...options.deadlines };
		this.#watch = new SaveWatch(clock);
		this.#pending = guest.pages.pageCount;
		const { bandwidthBytesPerMs, compression = () => true } = options;
		const hashes = plan.kept?.hashes;
		this.#iteration = new Iteration(
			{ guest, clock, sink: this.#watchedSink(), ...(hashes === undefined ? {} : { hashes }) },
			{
				pacing: bandwidthBytesPerMs === undefined ? plan.pacing : fixedRate(bandwidthBytesPerMs),
				compression,
				onWindow: (pending) => this.#notePending(pending),
				onRound: (round: RoundFacts) => this.#notePending(round.dirtiedPages),
			},
		);
		this.#progress = new SaveProgressReport(this.#iteration);
	}

	async run(): Promise<Saved<Kept>> {
		this.#guest.takeInterruptions(); // what came before does not count
		this.#watch.mark("started");
		try {
			await this.#begin();
			if (this.#plan.convergence !== undefined) this.#watch.stopReason = await this.#live(this.#plan.convergence);
			await this.#pause();
			const state = await this.#captureAndResume();
			const snapshot = await this.#commit(this.#end(state));
			if (this.#plan.afterwards === "resume-when-durable") await this.#resume();
			this.#hold?.giveUp();
			this.#report("done");
			return { snapshot, metrics: this.#metrics() };
		} catch (error) {
			throw await this.#fail(error);
		} finally {
			await this.#iteration.close().catch(() => undefined); // the tracker of a guest that is gone
		}
	}

	get #facts(): Readonly<Record<string, string>> {
		return { ...this.#options.facts, technique: this.#plan.technique, verification: this.#verification };
	}

	#metrics(): SaveMetrics {
		const incremental = this.#plan.kept?.from === "dirty";
		const facts = { technique: this.#plan.technique, verification: this.#verification, incremental };
		return this.#watch.metrics(facts, this.#guest, this.#iteration);
	}

	async #begin(): Promise<void> {
		const { technique } = this.#plan;
		await this.#run("begin", this.#deadlines.beginMs, (signal) => {
			const open = async (): Promise<void> => {
				const verification = this.#verification;
				const start = { layout: this.#guest.state.layout(), technique, verification, facts: this.#facts };
				const sink = await this.#destination.begin(start, signal);
				this.#sink = sink;
				if (this.#failed) await sink.abort(signal.reason); // it came after the phase had been given up
			};
			this.#opening = open();
			return this.#opening;
		});
		this.#watch.setupMs = this.#watch.since("started");
	}

	async #live(policy: ConvergencePolicy): Promise<StopReason> {
		const { totalTime } = this.#options;
		const limitMs = totalTime?.onLimit === "cancel" ? totalTime.limitMs : undefined;
		try {
			return await this.#run("live", limitMs, async (signal) => {
				const openedMs = this.#clock.now();
				await this.#iteration.open(this.#plan.kept);
				this.#watch.setupMs += this.#clock.now() - openedMs;
				this.#watch.mark("live");
				const isLate = (): boolean => totalTime?.onLimit === "finish" && this.#watch.since("live") >= totalTime.limitMs;
				return this.#iteration.live((facts) => (isLate() ? "total-time-limit" : policy(facts)), signal);
			});
		} catch (error) {
			if (!(error instanceof SaveError) || error.code !== "deadline" || limitMs === undefined) throw error;
			throw new SaveError(
				"total-time",
				`the snapshot was not done within its limit of ${limitMs} ms; the guest runs on`,
				{
					phase: "live",
					cause: error,
				},
			);
		}
	}

	async #pause(): Promise<void> {
		const { pauseMs: deadlineMs, turnMs } = this.#deadlines;
		// Without live rounds the kept cursor is opened here: what it has is read while the guest is paused.
		if (this.#plan.convergence === undefined && this.#plan.kept !== undefined)
			await this.#iteration.open(this.#plan.kept);
		this.#watch.mark("asked");
		await this.#run("pause", undefined, async (signal) => {
			const hold = await holdPaused(this.#guest, {
				operation: OPERATION,
				clock: this.#clock,
				deadlineMs,
				turnMs,
				signal,
			});
			if (this.#failed) return hold.resume();
			this.#hold = hold;
		});
		this.#watch.mark("paused");
	}

	/** The final round and the state; where the guest runs on first, it does so as soon as they are known. */
	async #captureAndResume(): Promise<Uint8Array<ArrayBuffer>> {
		const resumesFirst = this.#plan.afterwards === "resume-first";
		// Full verification compares what was sent with the paused memory: then everything is sent in the pause.
		if (resumesFirst && this.#verification === "transport" && isCopyingGuest(this.#guest))
			return this.#copy(this.#guest.copies);
		const state = await this.#finish();
		if (resumesFirst) await this.#resume();
		return state;
	}

	/** Copies while the guest is paused, and sends when it runs. */
	async #copy(copies: CopyControl): Promise<Uint8Array<ArrayBuffer>> {
		const sendRest = await this.#run("final-round", undefined, (signal) => this.#iteration.copyRest(copies, signal));
		this.#watch.mark("rounds-done");
		const state = await this.#run("state", this.#deadlines.stateMs, async (signal) => {
			const copy = await copies.state();
			if (signal.aborted) copy.release(); // it came after the phase had been given up
			return copy;
		});
		try {
			this.#watch.mark("state");
			this.#watch.mark("verified");
			await this.#resume();
			// Who has waited goes first: on the guest's own thread it makes a step before anything is encoded.
			await this.#clock.sleep(0);
			await this.#run("final-round", undefined, sendRest);
			return await this.#run("state", this.#deadlines.stateMs, () => state.encode());
		} finally {
			state.release();
		}
	}

	/** The final round and the state, while the guest is paused. */
	async #finish(): Promise<Uint8Array<ArrayBuffer>> {
		const guest = this.#guest;
		await this.#run("final-round", undefined, (signal) => this.#iteration.final(signal));
		this.#watch.mark("rounds-done");
		return this.#run("state", this.#deadlines.stateMs, async (signal) => {
			const state = await guest.state.capture();
			this.#watch.mark("state");
			if (this.#verification === "full") await this.#verify(signal);
			this.#watch.mark("verified");
			return state;
		});
	}

	/** Nobody has to stand still for the digest: it is over what was sent, not over memory. 0.05 ms for 64 MiB. */
	#end(state: Uint8Array<ArrayBuffer>): SaveEnd {
		const { hashes } = this.#iteration;
		return { state, digest: hashes.digest(state), pageCount: hashes.pageCount, facts: this.#facts };
	}

	/** Hashes the paused memory again: a page that changed behind the tracker's back is found here. */
	async #verify(signal: AbortSignal): Promise<void> {
		const { pages } = this.#guest;
		const { hashes } = this.#iteration;
		const now = await pages.hashes(0, pages.pageCount);
		signal.throwIfAborted();
		const pageIndex = pages.pageCount === hashes.pageCount ? hashes.firstDifference(0, now) : hashes.pageCount;
		if (pageIndex !== undefined)
			throw new SaveError(
				"corrupt",
				`page ${pageIndex} of the paused guest is not what was written: the dirty tracker missed a change; the guest runs on`,
				{ pageIndex },
			);
	}

	/** Whether the snapshot became visible is what the commit itself says, also when it was given up meanwhile. */
	async #commit(end: SaveEnd): Promise<Kept> {
		const sink = this.#sink!;
		let committing: Promise<Kept> | undefined;
		try {
			return await this.#run("commit", this.#deadlines.commitMs, () => {
				committing = sink.commit(end);
				return committing;
			});
		} catch (error) {
			const underWay = committing;
			if (underWay === undefined || !isGivenUp(error)) throw error;
			return await this.#settle(underWay, error);
		} finally {
			this.#watch.mark("durable");
		}
	}

	async #settle(committing: Promise<Kept>, error: SaveError): Promise<Kept> {
		await withDeadline(this.#clock, { deadlineMs: SETTLE_MS }, async () => {
			await this.#sink!.abort(error);
			await committing.catch(() => undefined); // looked at below
		}).catch(() => undefined); // neither has settled: nobody knows
		const fate = await Promise.race([
			committing.then(
				(kept) => ({ kept }),
				(reason: unknown) => ({ reason }),
			),
			this.#clock.sleep(0).then(() => undefined),
		]);
		if (fate !== undefined && "kept" in fate) return fate.kept;
		const isKnown = fate !== undefined && !(fate.reason instanceof SaveError && fate.reason.code === "unconfirmed");
		if (isKnown) throw error;
		throw notKnown(error);
	}

	async #resume(): Promise<void> {
		await this.#hold!.resume();
		this.#watch.mark("resumed");
	}

	/** Undoes what was done and lets the guest run on. @returns the error, sharpened if it cannot run. */
	async #fail(cause: unknown): Promise<SaveError> {
		this.#failed = true;
		const first = toSaveError(cause, this.#phase, this.#options.signal);
		// A sink that is still being opened is given up as soon as it is there: a store that answers is not written to any more when this has failed.
		const opening = this.#opening?.catch(() => undefined); // its failure is `cause`
		const abandoned = this.#sink === undefined ? opening : this.#sink.abort(first);
		const isGivenUp = await withDeadline(this.#clock, { deadlineMs: SETTLE_MS }, async () => abandoned).then(
			() => true,
			() => false, // garbage by then, unless it had been committed
		);
		const error = isGivenUp || first.phase !== "commit" ? first : notKnown(first);
		const { phase } = error;
		try {
			await this.#hold?.resume();
			if (error.code === "guest") await this.#guest.pages.hashes(0, 1); // throws if there is no guest any more
			return error;
		} catch (failure) {
			const isGone = failure instanceof GuestError && (failure.code === "gone" || failure.code === "crashed");
			if (isGone)
				return new SaveError("gone", "no snapshot was made: the guest is gone, moved away or discarded", {
					phase,
					cause: error,
				});
			const words = `${error.message}; the guest could not be resumed: ${String(failure)}`;
			return new SaveError(error.code, words, { phase, pageIndex: error.pageIndex, cause: failure });
		}
	}

	/** Runs `work` as this phase. @throws {SaveError} */
	async #run<T>(
		phase: SavePhase,
		deadlineMs: number | undefined,
		work: (signal: AbortSignal) => Promise<T>,
	): Promise<T> {
		this.#phase = phase;
		this.#report(phase);
		const cancel = this.#options.signal;
		try {
			return await withDeadline(this.#clock, { deadlineMs, cancel }, work);
		} catch (error) {
			throw toSaveError(error, phase, cancel);
		}
	}

	#watchedSink(): PageSink {
		const within = (signal: AbortSignal, write: () => Promise<void>) =>
			withDeadline(this.#clock, { deadlineMs: this.#deadlines.stallMs, cancel: signal }, write);
		return {
			accept: (batch, signal) => within(signal, () => this.#sink!.accept(batch, signal)),
			grow: (pageCount, signal) => within(signal, () => this.#sink!.grow(pageCount, signal)),
		};
	}

	#notePending(pages: number): void {
		this.#pending = pages;
		this.#report(this.#phase);
	}

	#report(phase: SavePhase | "done"): void {
		const { onProgress } = this.#options;
		if (onProgress === undefined) return;
		const roundsLeft =
			this.#plan.convergence === undefined ? 0 : Math.max(0, LIVE_ROUNDS - this.#iteration.rounds.length);
		const elapsedMs = Math.max(this.#watch.since("live"), this.#watch.since("paused"));
		onProgress(this.#progress.next(phase, phase === "done" ? 0 : this.#pending, roundsLeft, elapsedMs));
	}
}

/** A commit that failed and could not be given up may be there all the same. */
function notKnown(error: SaveError): SaveError {
	if (error.code === "unconfirmed") return error;
	const message = `${error.message}; whether the snapshot is there is not known: list the store`;
	return new SaveError("unconfirmed", message, { phase: "commit", cause: error });
}

/** Whether the commit was not asked to the end: its own word decides. */
function isGivenUp(error: unknown): error is SaveError {
	return error instanceof SaveError && (error.code === "cancelled" || error.cause instanceof DeadlineError);
}
