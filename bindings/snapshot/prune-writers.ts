/**
 * Which writers are dead. Clocks of two machines agree on nothing, so a writer's head carries no time: it *moves* while the
 * writer lives, and whoever watches it for a minute of the own clock without seeing it move takes the writer for dead. A
 * writer that was only slow finds its reservation gone at its next step and fails; nothing is lost but what it was writing.
 *
 * A writer moves no head but its own, so removing that gives it up. A prune also moves heads of snapshots, to manifests and
 * packs of its own, which are garbage once it is given up. Two references cannot be compared at once, hence:
 *
 *   the prune          1 read the heads   2 renew: `beat` grows, `moves` is set   3 move each head from what was read in 1
 *   who gives it up    1 read its reservation   2 touch every head   3 remove the reservation if it says what it said in 1
 *
 * If the reservation could be removed, the prune's renewal came before it was read, and so before the touches: a head that the
 * prune moves later has another value than it expects, and one that it moved earlier is found moved by whoever looks at
 * what is needed. Whoever dies in between has removed nothing, and the next prune begins anew.
 */
import type { Clock } from "../ports/clock.ts";
import { isSame } from "./pack-index.ts";
import type { Heads, ReadHead } from "./store-heads.ts";
import { EXPIRY_MS } from "./store-reservation.ts";

/** Gives up writers that are dead. */
export async function giveUp(heads: Heads, dead: readonly ReadHead[]): Promise<void> {
	if (dead.some(({ head }) => head.phase === "writing" && head.moves === true))
		for (const { id, head } of await heads.list()) if (head.phase === "kept") await heads.touch(id);
	for (const { id, raw } of dead) await heads.remove(id, raw);
}

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
