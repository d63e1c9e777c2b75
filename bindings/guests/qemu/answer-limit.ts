// How long anybody waits for QEMU. A QEMU that stands still (stopped by a signal, or its host out of cores) answers nothing
// and does not end; what it was told, it does all the same as soon as it goes on.
import type { Clock } from "../../ports/clock.ts";
import { QemuError } from "./errors.ts";

/** How long QEMU may take for a command that is not a pause, in ms: usual ones take less than one. */
export const ANSWER_MS = 30_000;

/** @throws RangeError naming the limit, in ms, where it is no time */
export function checkLimit(name: string, limitMs: number): void {
	if (!(limitMs > 0)) throw new RangeError(`${name}: must be above 0, got ${limitMs}`);
}

/** @returns whether `work` came in time, and before the signal; rejects as it does */
export async function inTime(
	clock: Clock,
	limitMs: number,
	work: Promise<unknown>,
	signal?: AbortSignal,
): Promise<boolean> {
	const timer = new AbortController();
	const stop = () => timer.abort();
	signal?.addEventListener("abort", stop, { once: true });
	if (signal?.aborted) stop();
	const late = clock.sleep(limitMs, timer.signal).then(
		() => false,
		() => false,
	);
	try {
		return await Promise.race([work.then(() => true), late]);
	} finally {
		signal?.removeEventListener("abort", stop);
		timer.abort();
	}
}

/**
 * Waits for what QEMU was told to do.
 * @param what - as in "QEMU was told to …"
 * @param options - `otherwise`: how things stand when it has not answered
 * @throws {QemuError} `no-answer`; what `work` rejects with
 */
export async function answered<T>(
	clock: Clock,
	work: Promise<T>,
	what: string,
	{ otherwise, limitMs = ANSWER_MS }: { readonly otherwise?: string; readonly limitMs?: number } = {},
): Promise<T> {
	if (await inTime(clock, limitMs, work)) return work;
	work.catch(() => undefined); // nobody waits for it any more
	const rest = otherwise === undefined ? "" : `; ${otherwise}`;
	throw new QemuError("no-answer", `QEMU was told to ${what}, and has not answered within ${limitMs} ms${rest}`);
}
