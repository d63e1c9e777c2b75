// Pausing a guest that lives in a worker, by a deadline.
import type { Clock } from "../ports/clock.ts";
import { GuestError, type PauseOptions } from "../ports/guest.ts";

/**
 * Waits until a worker has reached its pause point.
 *
 * @param reached - settles when it has; of a pause that is late the caller learns only that
 * @param late - what has not ended by then, in the words of the guest
 * @returns how long it took, in ms
 * @throws {GuestError} `pause-deadline`; the signal's reason; what `reached` rejects with. The caller then has to undo the
 *   pause, because it may still be reached.
 */
export async function reachPause(
	reached: Promise<unknown>,
	clock: Clock,
	{ deadlineMs, signal }: PauseOptions,
	late: string,
): Promise<number> {
	const startedMs = clock.now();
	const timer = new AbortController();
	const giveUp = (): void => timer.abort();
	if (signal?.aborted) giveUp();
	signal?.addEventListener("abort", giveUp, { once: true });
	try {
		const inTime = reached.then(() => true);
		const over = clock.sleep(deadlineMs, timer.signal).then(
			() => false,
			() => false,
		);
		if (await Promise.race([inTime, over])) return clock.now() - startedMs;
		inTime.catch(() => undefined); // the caller learns of the deadline instead
		signal?.throwIfAborted();
		throw new GuestError("pause-deadline", `${late} within ${deadlineMs} ms; the guest runs on`);
	} finally {
		signal?.removeEventListener("abort", giveUp);
		timer.abort();
	}
}
