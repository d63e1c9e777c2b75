/**
 * Which copy of a machine a guest is. Every restore gives a new id: two guests restored from one snapshot are two machines,
 * and what was unique before (keys, sequence numbers, random numbers) is so no longer. A guest that was never restored has
 * none.
 */
import type { Guest } from "../ports/guest.ts";

const generations = new WeakMap<Guest, string>();

/** The id that a restore gave a guest; `undefined` for one that was never restored. */
export function generationOf(guest: Guest): string | undefined {
	return generations.get(guest);
}

/** Notes which copy a restored guest is. */
export function noteGeneration(guest: Guest, generation: string): void {
	generations.set(guest, generation);
}
