/**
 * A guest with a balloon: it can give up pages that its allocator has free, and take them back. Pages that are out hold
 * nothing: the guest makes them zero as they go, so that a technique may leave them out, and they come up as zeros wherever
 * the guest runs next.
 *
 *   in use ──free──▶ free ──inflate──▶ out, zero ──deflate──▶ free ──allocate──▶ in use
 *                                        └─ pressure: the guest takes pages back by itself, at once, and says so later
 *
 * Invariant: a page that is {@link GuestBalloon.out} is zero and the guest does not touch it. What is out may have been
 * taken back by the next call: a change after it is in the dirty log.
 *
 * Source: spec section 1 (Hines et al., dynamic self-ballooning).
 */
import type { Guest, PageBits } from "./guest.ts";

/** See the head of this file. */
export interface BallooningGuest extends Guest {
	readonly balloon: GuestBalloon;
}

/** The balloon of one guest. */
export interface GuestBalloon {
	/** How much is free, and what was asked back since the last report. Works while paused too. */
	report(): Promise<BalloonReport>;
	/**
	 * Puts up to so many free pages into the balloon.
	 * @returns those that went; fewer than asked where fewer are free.
	 * @throws {GuestError} `not-running` while the guest is paused.
	 */
	inflate(pages: number): Promise<Uint32Array>;
	/**
	 * Gives up to so many pages back to the guest.
	 * @returns those that came back.
	 * @throws {GuestError} `not-running` while the guest is paused.
	 */
	deflate(pages: number): Promise<Uint32Array>;
	/** Which pages are out. Meaningful for a moment; while the guest is paused it stays true. */
	out(): Promise<PageBits>;
}

/** What a guest says of its memory. */
export interface BalloonReport {
	/** Pages that the guest could do without now, outside the balloon. An estimate. */
	readonly freePages: number;
	/** Pages that the guest has taken back under memory pressure since the last report. */
	readonly pressurePages: number;
}

/** Whether a guest is a {@link BallooningGuest}. */
export function isBallooningGuest(guest: Guest): guest is BallooningGuest {
	return "balloon" in guest;
}
