/**
 * Which writers are dead. Clocks of two machines agree on nothing, so a writer's head carries no time: it *moves* while the
 * writer lives, and whoever watches it for a minute of the own clock without seeing it move takes the writer for dead. A
 * writer that was only slow finds its reservation gone at its next step and fails; nothing is lost but what it was writing.
 */
import type { Clock } from "../ports/clock.ts";
import { isSame } from "./pack-index.ts";
import type { ReadHead } from "./store-heads.ts";
import { EXPIRY_MS } from "./store-reservation.ts";

/** See the head of this file. One per store and process. */
export class WriterWatch {
	readonly #clock: Clock;
	readonly #seen = new Map<string, { readonly raw: Uint8Array; readonly sinceMs: number }>();

	constructor(clock: Clock) {
		this.#clock = clock;
	}

	/**
	 * Notes what these heads say now.
	 * @param known - writers that the caller knows to be dead.
	 * @returns the heads of dead writers.
	 */
	dead(found: readonly ReadHead[], known: Iterable<string> | "all" = []): readonly ReadHead[] {
		const nowMs = this.#clock.now();
		const named = known === "all" ? undefined : new Set(known);
		const writing = found.filter(({ head }) => head.phase === "writing");
		const present = new Set(writing.map(({ id }) => id));
		for (const id of this.#seen.keys()) if (!present.has(id)) this.#seen.delete(id);
		return writing.filter(({ id, raw }) => {
			const before = this.#seen.get(id);
			if (before === undefined || !isSame(before.raw, raw)) this.#seen.set(id, { raw, sinceMs: nowMs });
			else if (nowMs - before.sinceMs >= EXPIRY_MS) return true;
			return named === undefined || named.has(id);
		});
	}
}
