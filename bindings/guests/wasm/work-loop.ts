// Who has the worker's thread: calls of the program, or slices of live work beside its memory. One unit of either at a
// time, a turn of the event loop between two units, so that a pause or a call that arrives is seen after one unit.
//
//   after a slice of d ms the next d ms are the calls':   slice ─ calls ─ slice ─ calls …   both waiting
//                                                         slice ─ slice ─ slice …           no call for NEXT_CALL_MS
//                                                         job at once, in long slices       paused
//
// Invariants: no call starts between the wish for a pause and the end of `wake`; a job runs to its end before the next
// one starts; a slice never overlaps a call's synchronous part.
import type { Clock } from "../../ports/clock.ts";
import { GuestError } from "../../ports/guest.ts";

/** A job may be interrupted at each `yield`; one that is a promise holds the job queue until it settles; or it is done. */
export type Job<Result> = Generator<void, Result> | Promise<Result> | Result;

/** What the loop needs of the guest. */
export interface WorkLoopHooks {
	/** Brings the program to rest at a call boundary. */
	quiesce(): void | Promise<void>;
	/** Undoes it. */
	wake(): void | Promise<void>;
}

/**
 * A slice stops looking for more work at this part of its limit: what it does between two looks at the clock (64 pages)
 * takes up to a quarter of 2 ms on memory that was never touched.
 */
const SLICE_FILL = 0.6;

/** While the guest is paused nobody waits for the thread but a resume: fewer turns, same throughput. */
const PAUSED_SLICE_MS = 20;

/**
 * A client that waits for each answer has its next call here within this time. Without it such a client would get one
 * call per slice.
 */
const NEXT_CALL_MS = 0.25;

/** Time that a slowed guest owes is waited for in pieces of at least this length, in ms: timers are no finer. */
const THROTTLE_MS = 4;

interface QueuedCall {
	readonly id: number;
	readonly run: () => unknown;
	readonly settle: (outcome: CallOutcome) => void;
}

/** How a call ended. */
export type CallOutcome = { readonly response: unknown } | { readonly error: unknown };

interface QueuedJob {
	/** Starts the job: it sees the state as the job before it left it. */
	readonly begin: () => Job<unknown>;
	readonly done: (result: unknown) => void;
	readonly failed: (error: unknown) => void;
}

/** See the head of this file. */
export class WorkLoop {
	readonly #clock: Clock;
	readonly #sliceMs: number;
	readonly #hooks: WorkLoopHooks;
	#calls: QueuedCall[] = [];
	#jobs: QueuedJob[] = [];
	#slice: { readonly job: Generator<void, unknown>; readonly queued: QueuedJob } | undefined;
	#calling = false;
	#waitingForJob = false;
	#turning = false;
	#wantsPause: boolean;
	#paused: boolean;
	#switching = false;
	#pauseWaiters: { reached(): void; undone(reason: unknown): void }[] = [];
	#resumeWaiters: { done(): void; failed(error: unknown): void }[] = [];
	/** Until then calls come first. */
	#callsUntil = 0;
	/** What waits for the end of a call. */
	#boundaryWork: (() => void)[] = [];
	#lastCallEnd = Number.NEGATIVE_INFINITY;
	#slicesMs: number[] = [];
	/** Of the time, how much calls may take. */
	#share = 1;
	/** What calls have taken beyond their share, in ms. */
	#overdrawnMs = 0;
	#braked = false;
	/** A brake that was taken off is not the one whose time is up. */
	#brakeId = 0;

	/** @param paused a target begins paused */
	constructor(clock: Clock, sliceMs: number, hooks: WorkLoopHooks, paused: boolean) {
		this.#clock = clock;
		this.#sliceMs = sliceMs;
		this.#hooks = hooks;
		this.#paused = paused;
		this.#wantsPause = paused;
	}

	/** True between a pause that was reached and the end of the resume that follows. */
	get paused(): boolean {
		return this.#paused;
	}

	/** Durations of slices that held a running guest, since the last call. */
	takeSlices(): readonly number[] {
		const slices = this.#slicesMs;
		if (slices.length > 0) this.#slicesMs = [];
		return slices;
	}

	/** Limits calls to a share of the time, on the mean of some ms. */
	throttle(share: number): void {
		this.#share = share;
		this.#overdrawnMs = 0;
		this.#brakeId++;
		this.#braked = false;
		this.#turn();
	}

	/** Queues a call. */
	call(id: number, run: () => unknown, settle: (outcome: CallOutcome) => void): void {
		this.#calls.push({ id, run, settle });
		this.#turn();
	}

	/** Forgets a call that has not started; it settles with `reason`. */
	cancelCall(id: number, reason: Error): void {
		const call = this.#calls.find((queued) => queued.id === id);
		if (call === undefined) return;
		this.#calls = this.#calls.filter((queued) => queued !== call);
		call.settle({ error: reason });
	}

	/** Queues a job. Jobs run in order, but for what is urgent while nobody else has the thread. */
	job<Result>(begin: () => Job<Result>, urgency: "urgent" | "in-order" = "in-order"): Promise<Result> {
		return new Promise((done, failed) => {
			// allowed (cast): `done` is only ever given what this `begin` leads to
			const queued = { begin, done: done as (result: unknown) => void, failed };
			if (urgency === "urgent" && this.#paused) this.#jobs.unshift(queued);
			else this.#jobs.push(queued);
			// Nobody waits for the thread of a paused guest: a turn of the event loop less on the way of a faulted page.
			if (this.#paused && !this.#turning && !this.#switching) this.#unit();
			this.#turn();
		});
	}

	/** Runs `work`, which must not throw, at once, or at the end of the call that is under way. For use in jobs. */
	atBoundary(work: () => void): void {
		if (this.#calling) this.#boundaryWork.push(work);
		else work();
	}

	/**
	 * Resolves at the pause point.
	 * @throws what `quiesce` threw, or an Error when {@link resume} came first; the guest runs on
	 */
	pause(): Promise<void> {
		return new Promise((reached, undone) => {
			this.#wantsPause = true;
			this.#pauseWaiters.push({ reached, undone });
			this.#switch();
		});
	}

	/** Undoes a pause that was reached or asked for; resolves when calls may run. @throws what `wake` threw */
	resume(): Promise<void> {
		return new Promise((done, failed) => {
			this.#wantsPause = false;
			this.#resumeWaiters.push({ done, failed });
			this.#switch();
		});
	}

	/** Brings what is into line with what is wished for. Called whenever either changes. */
	async #switch(): Promise<void> {
		if (this.#switching) return;
		this.#switching = true;
		while (this.#wantsPause !== this.#paused && !(this.#wantsPause && this.#calling)) {
			if (this.#wantsPause) await this.#quiesce();
			else await this.#wake();
		}
		this.#switching = false;
		this.#answerWaiters();
		this.#turn();
	}

	#answerWaiters(): void {
		if (this.#wantsPause) {
			if (!this.#paused) return;
			for (const { reached } of this.#pauseWaiters.splice(0)) reached();
		} else {
			for (const { undone } of this.#pauseWaiters.splice(0))
				undone(new GuestError("not-paused", "the pause was undone"));
			for (const { done } of this.#resumeWaiters.splice(0)) done();
		}
	}

	async #quiesce(): Promise<void> {
		try {
			await this.#hooks.quiesce();
			this.#paused = true;
		} catch (error) {
			this.#wantsPause = false;
			for (const { undone } of this.#pauseWaiters.splice(0)) undone(error);
			await this.#wake();
		}
	}

	async #wake(): Promise<void> {
		try {
			await this.#hooks.wake();
		} catch (error) {
			for (const { failed } of this.#resumeWaiters.splice(0)) failed(error);
		}
		this.#paused = false;
	}

	#turn(): void {
		if (this.#turning) return;
		this.#turning = true;
		void this.#turns();
	}

	/** The turn comes first: messages that have arrived, a pause among them, are seen before the next unit. */
	async #turns(): Promise<void> {
		do await this.#clock.sleep(0);
		while (this.#unit());
		this.#turning = false;
	}

	/** Runs one unit. @returns whether there is more to run */
	#unit(): boolean {
		const callReady = this.#calls.length > 0 && this.#mayCall();
		const jobReady = !this.#waitingForJob && (this.#slice !== undefined || this.#jobs.length > 0);
		if (!callReady && !jobReady) return false;
		if (callReady && (!jobReady || this.#clock.now() < this.#callsUntil)) this.#runCall(this.#calls.shift()!);
		else if (!this.#awaitsNextCall()) this.#runSlice();
		return true;
	}

	#mayCall(): boolean {
		return !this.#braked && !this.#calling && !this.#paused && !this.#wantsPause && !this.#switching;
	}

	#awaitsNextCall(): boolean {
		const now = this.#clock.now();
		return now < this.#callsUntil && this.#mayCall() && now - this.#lastCallEnd < NEXT_CALL_MS;
	}

	#runCall({ run, settle }: QueuedCall): void {
		const start = this.#share < 1 ? this.#clock.now() : 0;
		const end = (outcome: CallOutcome): void => {
			this.#lastCallEnd = this.#clock.now();
			if (this.#share < 1) this.#brake(this.#lastCallEnd - start);
			settle(outcome);
		};
		try {
			const response = run();
			if (isThenable(response)) {
				this.#calling = true;
				const settled = (outcome: CallOutcome): void => {
					this.#calling = false;
					for (const work of this.#boundaryWork.splice(0)) work();
					end(outcome);
					void this.#switch();
					this.#turn();
				};
				response.then(
					(value) => settled({ response: value }),
					(error: unknown) => settled({ error }),
				);
			} else end({ response });
		} catch (error) {
			end({ error });
		}
	}

	/** After a call of this length: no other before what was taken too much has passed. */
	#brake(callMs: number): void {
		this.#overdrawnMs += callMs * (1 / this.#share - 1);
		if (this.#overdrawnMs < THROTTLE_MS) return;
		const id = ++this.#brakeId;
		const until = this.#clock.now() + this.#overdrawnMs;
		this.#braked = true;
		const release = (): void => {
			if (id !== this.#brakeId) return;
			this.#overdrawnMs = until - this.#clock.now(); // a timer that came late has served more
			this.#braked = false;
			this.#turn();
		};
		void this.#clock.sleep(this.#overdrawnMs).then(release);
	}

	#runSlice(): void {
		const start = this.#clock.now();
		const limitMs = this.#paused ? PAUSED_SLICE_MS : this.#sliceMs * SLICE_FILL;
		try {
			this.#slice ??= this.#beginJob();
			while (this.#slice !== undefined) {
				const { job, queued } = this.#slice;
				const step = job.next();
				if (step.done === true) {
					this.#slice = undefined;
					queued.done(step.value);
					break;
				}
				if (this.#clock.now() - start >= limitMs) break;
			}
		} catch (error) {
			const failed = this.#slice?.queued.failed;
			this.#slice = undefined;
			failed?.(error);
		}
		if (this.#paused) return;
		const end = this.#clock.now();
		this.#slicesMs.push(end - start);
		this.#callsUntil = end + (end - start);
	}

	#beginJob(): { readonly job: Generator<void, unknown>; readonly queued: QueuedJob } | undefined {
		const queued = this.#jobs.shift()!;
		let job: Job<unknown>;
		try {
			job = queued.begin();
		} catch (error) {
			queued.failed(error);
			return undefined;
		}
		if (isGenerator(job)) return { job, queued };
		if (!(job instanceof Promise)) {
			queued.done(job);
			return undefined;
		}
		this.#waitingForJob = true;
		job.then(queued.done, queued.failed).finally(() => {
			this.#waitingForJob = false;
			this.#turn();
		});
		return undefined;
	}
}

function isGenerator(value: unknown): value is Generator<void, unknown> {
	return typeof value === "object" && value !== null && "next" in value && typeof value.next === "function";
}

function isThenable(value: unknown): value is PromiseLike<unknown> {
	return typeof value === "object" && value !== null && "then" in value && typeof value.then === "function";
}
