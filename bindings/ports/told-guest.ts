/**
 * A guest that can be told, before it runs, that it was restored: which copy it is, and what becomes of its clock and of its
 * random numbers. Two guests restored from one snapshot would otherwise draw the same numbers and believe the same time.
 *
 *   state.restore ─▶ restored.tell(facts) ─▶ resume
 */
import type { Guest } from "./guest.ts";

/** See the head of this file. */
export interface ToldGuest extends Guest {
	readonly restored: RestoreNotice;
}

/** How a guest is told. */
export interface RestoreNotice {
	/**
	 * On a paused target whose state is restored.
	 * @returns whether the machine inside has taken notice: `false` if it has nothing that listens.
	 * @throws {GuestError} `state` when what listens failed; the target must be discarded.
	 */
	tell(facts: RestoreFacts): Promise<boolean>;
}

/** What a restored guest is told. Plain data. */
export interface RestoreFacts {
	/** The snapshot that it was restored from. */
	readonly snapshotId: string;
	/** Which copy it is: 32 hex digits, new at every restore. */
	readonly generation: string;
	/** `continue`: its time goes on as if none had passed. `jump`: it is to look at the host's clock again. */
	readonly clock: ClockPolicy;
	/** `keep`: it draws the numbers it would have drawn. `reseed`: it must not: {@link seed} is for it alone. */
	readonly random: RandomPolicy;
	/** 32 bytes that no other restore has been given. Not a secret. */
	readonly seed: Uint8Array<ArrayBuffer>;
	/** Of clones that are restored together: which one, from 0, and how many. */
	readonly cloneIndex: number;
	readonly cloneCount: number;
}

/** See {@link RestoreFacts.clock}. */
export type ClockPolicy = "continue" | "jump";

/** See {@link RestoreFacts.random}. */
export type RandomPolicy = "keep" | "reseed";

/** Whether a guest is a {@link ToldGuest}. */
export function isToldGuest(guest: Guest): guest is ToldGuest {
	return "restored" in guest;
}
