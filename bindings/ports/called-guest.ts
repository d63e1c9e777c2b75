/**
 * A guest that is called, and can send its callers away while it is paused for good: they wait here in vain, because it runs
 * elsewhere and only its pages are still needed.
 */
import type { Guest } from "./guest.ts";

/** See the head of this file. */
export interface CalledGuest extends Guest {
	/**
	 * Rejects the calls that wait here, none of which has been started, and every later one until the guest runs on here.
	 * @throws {GuestError} `not-paused`
	 */
	turnCallsAway(): void;
}

/** Whether a guest is a {@link CalledGuest}. */
export function isCalledGuest(guest: Guest): guest is CalledGuest {
	return "turnCallsAway" in guest;
}
