// Host work on the thread that also steps the guest: one job after another, each in slices between which the guest runs.
//
//   job 1: ▓▓ guest ▓▓ guest ▓ │ job 2: ▓▓ guest ▓▓ …      while the guest runs, ▓ is at most `sliceMs`
//   job 1: ▓▓▓▓▓ │ job 2: ▓▓▓▓                             while it is paused: nobody waits
import type { Clock } from "../../ports/clock.ts";

/** See the head of this file. */
export class Slices {
	readonly #clock: Clock;
	readonly #sliceMs: number;
	readonly #isRunning: () => boolean;
	/** Settles when the last job that was asked for has ended; never rejects. */
	#last: Promise<unknown> = Promise.resolve();
	#slicesMs: number[] = [];

	/** @param isRunning - whether the guest wants the thread */
	constructor(clock: Clock, sliceMs: number, isRunning: () => boolean) {
		this.#clock = clock;
		this.#sliceMs = sliceMs;
		this.#isRunning = isRunning;
	}

	/** Runs a job after those before it. A job yields where the guest may have the thread. */
	run<T>(job: () => Generator<void, T>): Promise<T> {
		const result = this.#last.then(() => this.#drive(job()));
		this.#last = result.catch(() => undefined); // who has asked for the job sees its failure
		return result;
	}

	/** Duration of every slice since the last call, in ms. */
	takeSlices(): readonly number[] {
		const slices = this.#slicesMs;
		this.#slicesMs = [];
		return slices;
	}

	async #drive<T>(job: Generator<void, T>): Promise<T> {
		for (;;) {
			const startedMs = this.#clock.now();
			const wasRunning = this.#isRunning();
			let next = job.next();
			while (next.done !== true && !(wasRunning && this.#clock.now() - startedMs >= this.#sliceMs)) next = job.next();
			if (wasRunning) this.#slicesMs.push(this.#clock.now() - startedMs);
			if (next.done === true) return next.value;
			await this.#clock.sleep(0);
		}
	}
}
