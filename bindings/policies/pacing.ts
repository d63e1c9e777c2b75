/**
 * How fast a technique may send. A pacing policy is asked before each round for that round's rate; the {@link Pacer}
 * keeps the bytes to it over the clock port.
 */
import type { Clock } from "../ports/clock.ts";
import type { ConvergencePolicy, RoundFacts } from "./convergence.ts";

/** The rate for the next round in bytes per ms, or `undefined` for as fast as the link takes it. */
export type PacingPolicy = (rounds: readonly RoundFacts[]) => number | undefined;

/** A fixed cap. @param bytesPerMs - e.g. 117_000 for the papers' gigabit network. */
export function fixedRate(bytesPerMs: number): PacingPolicy {
	if (!(bytesPerMs > 0)) throw new RangeError(`bytesPerMs: must be greater than 0, got ${bytesPerMs}`);
	return () => bytesPerMs;
}

/** Parameters of {@link adaptiveRate}, in bytes per ms (1 Mbit/s = 125 bytes per ms). */
export interface AdaptiveRateOptions {
	readonly startBytesPerMs?: number;
	readonly incrementBytesPerMs?: number;
	readonly maxBytesPerMs?: number;
	/** The page size that the dirty rate is computed with. */
	readonly pageBytes?: number;
}

/** A pacing policy with the stop condition that belongs to it. */
export interface AdaptiveRate {
	readonly pacing: PacingPolicy;
	/** `rate-limit-reached` once the cap is reached or less than 256 KB is left. */
	readonly convergence: ConvergencePolicy;
}

/**
 * Adaptive rate limiting: the first round at 100 Mbit/s, each later one at the dirty rate of the round before plus
 * 50 Mbit/s, up to 500. Source: Clark et al., Live Migration of Virtual Machines (2005), section 5.3.
 */
export function adaptiveRate(options: AdaptiveRateOptions = {}): AdaptiveRate {
	const { startBytesPerMs = 12_500, incrementBytesPerMs = 6_250, maxBytesPerMs = 62_500, pageBytes = 4096 } = options;
	const wanted = (rounds: readonly RoundFacts[]): number => {
		const last = rounds[rounds.length - 1];
		if (last === undefined || last.durationMs <= 0) return startBytesPerMs;
		return (last.dirtiedPages * pageBytes) / last.durationMs + incrementBytesPerMs;
	};
	return {
		pacing: (rounds) => Math.min(wanted(rounds), maxBytesPerMs),
		convergence: ({ rounds, pendingPages }) =>
			wanted(rounds) >= maxBytesPerMs || pendingPages * pageBytes < 256 * 1024 ? "rate-limit-reached" : undefined,
	};
}

/** Longest time that unused rate is saved up, in ms: a stall is not followed by a burst larger than this. */
const MAX_CREDIT_MS = 20;

/**
 * Keeps a stream of sends to a rate: a token bucket over the clock port that may go into debt by one send, so that
 * batches are never split.
 */
export class Pacer {
	readonly #clock: Clock;
	#bytesPerMs: number | undefined;
	/** The time at which everything sent so far has been paid for. */
	#paidUntilMs: number;

	constructor(clock: Clock) {
		this.#clock = clock;
		this.#paidUntilMs = clock.now();
	}

	/** Bytes per ms; `undefined` while there is no cap. */
	get rate(): number | undefined {
		return this.#bytesPerMs;
	}

	/** Sets the rate from now on; `undefined` lifts it. */
	setRate(bytesPerMs: number | undefined): void {
		this.#bytesPerMs = bytesPerMs;
		this.#paidUntilMs = Math.max(this.#paidUntilMs, this.#clock.now() - MAX_CREDIT_MS);
	}

	/** Waits until `byteLength` more bytes may be sent. @throws the signal's reason when it aborts. */
	async take(byteLength: number, signal?: AbortSignal): Promise<void> {
		const waitMs = this.waitMs;
		this.charge(byteLength);
		if (waitMs > 0) await this.#clock.sleep(waitMs, signal);
	}

	/** How long the next send has to wait for those before it, in ms. */
	get waitMs(): number {
		return this.#bytesPerMs === undefined ? 0 : Math.max(0, this.#paidUntilMs - this.#clock.now());
	}

	/** Notes bytes that go without waiting; later ones wait for them. Negative: some were not needed after all. */
	charge(byteLength: number): void {
		if (this.#bytesPerMs === undefined) return;
		this.#paidUntilMs = Math.max(this.#paidUntilMs, this.#clock.now() - MAX_CREDIT_MS) + byteLength / this.#bytesPerMs;
	}
}
