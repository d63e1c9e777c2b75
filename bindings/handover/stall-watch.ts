/**
 * Deadlines for what comes by the hundred a second: batches that wait to be sent, records that are waited for. One timer
 * and one listener serve them all; a `withDeadline` for each piece costs an AbortController, a timer and four listeners,
 * about 0.1 ms of every batch of a fast move.
 */
import type { Clock } from "../ports/clock.ts";
import { DeadlineError } from "./phases.ts";

/** What somebody waits for. */
interface Wait {
	readonly dueMs: number;
	readonly deadlineMs: number;
	readonly cancel: AbortSignal | undefined;
	readonly reject: (reason: unknown) => void;
}

/** See the head of this file. One per operation; {@link end} it whatever happens. */
export class StallWatch {
	readonly #clock: Clock;
	readonly #waits = new Set<Wait>();
	/** Signals listened to, and how that ends. */
	readonly #signals = new Map<AbortSignal, () => void>();
	/** Ends the sleep under way. */
	#sleep: AbortController | undefined;
	#wakeMs = Number.POSITIVE_INFINITY;

	constructor(clock: Clock) {
		this.#clock = clock;
	}

	/**
	 * Waits for `work`, which may settle later than this and is then ignored.
	 * @param cancel - ends the wait at once.
	 * @throws DeadlineError after `deadlineMs`; the reason of `cancel`; what `work` throws.
	 */
	wait<T>(work: Promise<T>, deadlineMs: number, cancel?: AbortSignal): Promise<T> {
		if (cancel !== undefined) this.#listen(cancel);
		return new Promise((resolve, reject) => {
			const wait: Wait = { dueMs: this.#clock.now() + deadlineMs, deadlineMs, cancel, reject };
			this.#waits.add(wait);
			work.then(
				(value) => {
					this.#waits.delete(wait);
					resolve(value);
				},
				(error: unknown) => {
					this.#waits.delete(wait);
					reject(error);
				},
			);
			if (cancel?.aborted) this.#fail(wait, cancel.reason);
			else if (wait.dueMs < this.#wakeMs) void this.#sleepUntil(wait.dueMs);
		});
	}

	/** Ends the timer and the listeners. What still waits goes on without a deadline. */
	end(): void {
		this.#sleep?.abort();
		this.#sleep = undefined;
		for (const remove of this.#signals.values()) remove();
		this.#signals.clear();
	}

	#listen(signal: AbortSignal): void {
		if (this.#signals.has(signal)) return;
		const onAbort = (): void => {
			for (const wait of [...this.#waits]) if (wait.cancel === signal) this.#fail(wait, signal.reason);
			this.#signals.delete(signal);
		};
		signal.addEventListener("abort", onAbort, { once: true });
		this.#signals.set(signal, () => signal.removeEventListener("abort", onAbort));
	}

	#fail(wait: Wait, reason: unknown): void {
		this.#waits.delete(wait);
		wait.reject(reason);
	}

	/** Sleeps, fails what is due then, and sleeps again until the next is. Called again, it takes the place of the last call. */
	async #sleepUntil(wakeMs: number): Promise<void> {
		this.#sleep?.abort();
		const sleep = new AbortController();
		this.#sleep = sleep;
		this.#wakeMs = wakeMs;
		try {
			await this.#clock.sleep(Math.max(0, wakeMs - this.#clock.now()), sleep.signal);
		} catch {
			return; // ended, or replaced
		}
		this.#wakeMs = Number.POSITIVE_INFINITY;
		const now = this.#clock.now();
		let next = Number.POSITIVE_INFINITY;
		for (const wait of [...this.#waits])
			if (wait.dueMs <= now) this.#fail(wait, new DeadlineError(`not done within ${wait.deadlineMs} ms`));
			else next = Math.min(next, wait.dueMs);
		if (next < Number.POSITIVE_INFINITY) void this.#sleepUntil(next);
	}
}
