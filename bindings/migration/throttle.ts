/** The brake that a move puts on its guest while it does not converge. It is off again whatever becomes of the move. */
import { MoveError } from "../handover/move-error.ts";
import type { Guest } from "../ports/guest.ts";
import { isThrottledGuest, type ThrottledGuest } from "../ports/throttled-guest.ts";
import type { Stopwatch } from "./stopwatch.ts";

/** See the head of this file. */
export class MoveThrottle {
	readonly #guest: Guest;
	readonly #watch: Stopwatch;

	/** @param watch - notes the least share. */
	constructor(guest: Guest, watch: Stopwatch) {
		this.#guest = guest;
		this.#watch = watch;
	}

	/** Leaves the guest this share of its time. @throws {MoveError} `refused` if it cannot be slowed down */
	async limit(share: number): Promise<void> {
		const { throttle } = requireThrottle(this.#guest);
		this.#watch.throttledToShare = share;
		await throttle.limit(share);
	}

	/** Gives the guest all of its time again. Safe without a limit, and with a guest that is gone. */
	async release(): Promise<void> {
		if (this.#watch.throttledToShare === undefined || !isThrottledGuest(this.#guest)) return;
		await this.#guest.throttle.limit(1).catch(() => undefined); // a guest that is gone has its own error already
	}
}

/** @throws {MoveError} `refused` if the guest cannot be slowed down */
export function requireThrottle(guest: Guest): ThrottledGuest {
	if (isThrottledGuest(guest)) return guest;
	throw new MoveError("refused", `a ${guest.kind} guest cannot be slowed down: use post-copy, or switch over`);
}
