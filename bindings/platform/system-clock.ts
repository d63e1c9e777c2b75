/** Real time, by the timers that Node and Deno share. */
import type { Clock } from "../ports/clock.ts";

/** The longest delay a timer can hold, in ms (24.8 days); a longer one would fire at once. */
const MAX_TIMER_MS = 2 ** 31 - 1;

/**
 * The system's monotonic clock.
 *
 * `sleep` never ends before its time on the same clock's `now()` (timers alone may, by up to 1 ms), takes `Infinity` to
 * wait for the signal, and throws RangeError for a negative duration. `sleep(0)` is one turn of the event loop:
 * `setImmediate`, 3 µs a turn on Deno 2.9, where `setTimeout(…, 0)` takes 2 ms.
 *
 * ```ts
 * const startedMs = systemClock.now();
 * await systemClock.sleep(5);
 * if (systemClock.now() - startedMs < 5) throw new RangeError("woke up early");
 * ```
 */
export const systemClock: Clock = { now: () => performance.now(), sleep };

async function sleep(durationMs: number, signal?: AbortSignal): Promise<void> {
	if (!(durationMs >= 0)) throw new RangeError(`durationMs: must be 0 or more, got ${durationMs}`);
	signal?.throwIfAborted();
	if (durationMs === 0) return nextTurn(signal);
	const endMs = performance.now() + durationMs;
	for (let leftMs = durationMs; leftMs > 0; leftMs = endMs - performance.now()) await timer(leftMs, signal);
}

function timer(durationMs: number, signal: AbortSignal | undefined): Promise<void> {
	return new Promise((resolve, reject) => {
		const onAbort = () => {
			clearTimeout(handle);
			reject(signal?.reason);
		};
		const onTime = () => {
			signal?.removeEventListener("abort", onAbort);
			resolve();
		};
		const handle = setTimeout(onTime, Math.min(Math.ceil(durationMs), MAX_TIMER_MS));
		signal?.addEventListener("abort", onAbort, { once: true });
	});
}

function nextTurn(signal: AbortSignal | undefined): Promise<void> {
	return new Promise((resolve, reject) => {
		setImmediate(() => {
			if (signal?.aborted) reject(signal.reason);
			else resolve();
		});
	});
}
