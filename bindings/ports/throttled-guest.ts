/**
 * A guest that can be slowed down: the answer to one that dirties its memory faster than the link carries it, beside
 * post-copy. Its calls get a share of the time; live work and pauses are not slowed.
 */
import type { Guest } from "./guest.ts";

/** See the head of this file. */
export interface ThrottledGuest extends Guest {
	readonly throttle: GuestThrottle;
}

/** The brake of one guest. */
export interface GuestThrottle {
	/**
	 * Limits the share of the time in which the guest may work, from now on.
	 * @param share - above 0, at most 1: no limit. Kept on the mean of some ms, not within each.
	 * @throws RangeError
	 */
	limit(share: number): Promise<void>;
}

/** Whether a guest is a {@link ThrottledGuest}. */
export function isThrottledGuest(guest: Guest): guest is ThrottledGuest {
	return "throttle" in guest;
}
