/**
 * What a link carries, measured where batches wait for it, in bytes per ms.
 *
 *   submitted  ──┬───────┬──▶ time          batch 2 was waiting when batch 1 was accepted: from there on the link had
 *   accepted     1   2       1 ══ 2         nothing else to do, so 2's bytes over ══ are its rate
 *
 * A sender that is slower than its link never makes a batch wait: then nothing is measured, and the link counts as fast.
 * Without this, a slow compressor would make its link look slow and so be asked for even more.
 */

/** Time over which older measurements fade, in ms: a buffer that takes the first megabytes at once is soon forgotten. */
const FADE_MS = 100;

/** See the head of this file. One per link; pure but for what it is told. */
export class LinkRate {
	#bytes = 0;
	#ms = 0;
	#lastAcceptedMs = Number.NEGATIVE_INFINITY;

	/** Bytes per ms; undefined while nothing has ever waited. */
	get bytesPerMs(): number | undefined {
		return this.#ms > 0 ? this.#bytes / this.#ms : undefined;
	}

	/** A batch that was submitted at `submittedMs` has been accepted now. Calls come in the order of submission. */
	accepted(byteLength: number, submittedMs: number, nowMs: number): void {
		const waited = submittedMs <= this.#lastAcceptedMs;
		const ms = nowMs - this.#lastAcceptedMs;
		this.#lastAcceptedMs = nowMs;
		if (!waited) return;
		const kept = Math.exp(-ms / FADE_MS);
		this.#bytes = this.#bytes * kept + byteLength;
		this.#ms = this.#ms * kept + ms;
	}
}
