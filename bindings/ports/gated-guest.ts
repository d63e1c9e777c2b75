/**
 * A guest whose output can be held until the state that produced it is safe elsewhere: the output-commit rule.
 *
 *   open ──hold──▶ holding ─┬─ output ─▶ held in the epoch under way
 *     ▲                     ├─ sealEpoch (paused) ─▶ what is held belongs to epoch n; n + 1 begins
 *     │                     ├─ release(n) ─▶ output of epochs up to n leaves, in order
 *     └───────open──────────┴─ discardAfter(n) ─▶ output of later epochs never leaves
 *
 * Invariant: while the gate holds, nothing leaves but by {@link GuestGate.release}, and nothing leaves twice.
 *
 * Source: spec sections 1 (reliability of post-copy) and 3 (Remus).
 */
import type { Guest } from "./guest.ts";

/** See the head of this file. */
export interface GatedGuest extends Guest {
	readonly gate: GuestGate;
}

/** The gate of one guest. */
export interface GuestGate {
	/** Holds output from now on; the first epoch is 1 at the first call, and numbers go on over later ones. */
	hold(options: HoldOutputOptions): void;
	/**
	 * Ends the epoch under way. @returns its number.
	 * @throws {GuestError} `not-paused` while the guest runs: output could come after the state was captured.
	 */
	sealEpoch(): number;
	/** Lets the output of epochs up to this one leave. What has left before is not concerned. @throws RangeError if it is not sealed */
	release(epoch: number): void;
	/** Output of later epochs, the one under way included, never leaves; who waits for it is told. */
	discardAfter(epoch: number): void;
	/** Lets everything leave and holds nothing any more. */
	open(): void;
	readonly facts: GateFacts;
}

/** See {@link GuestGate.hold}. */
export interface HoldOutputOptions {
	/**
	 * Bytes that may be held, estimated where output is no bytes. A guest that reaches it gets no new work until less is
	 * held; what it has under way may go beyond.
	 */
	readonly limitBytes: number;
	/** Called when output is held that was not before, and when the limit is reached. */
	readonly onOutput?: () => void;
}

/** What a gate holds and has seen. */
export interface GateFacts {
	readonly holding: boolean;
	/** Pieces of output that are held, and their bytes. */
	readonly heldCount: number;
	readonly heldBytes: number;
	/** The limit is reached. */
	readonly full: boolean;
	/** Bytes that the guest has emitted so far, whether they left or not. */
	readonly emittedBytes: number;
}

/** Whether a guest is a {@link GatedGuest}. */
export function isGatedGuest(guest: Guest): guest is GatedGuest {
	return "gate" in guest;
}
