/**
 * How a guest is slowed down whose pre-copy does not converge: by a step after each round that ends with a reason to stop,
 * until little is left or the last step has not helped. Pure. QEMU's auto-converge does the same, from 80 % in steps of 10.
 */

/** Shares of the time that the guest keeps, one after another. */
const THROTTLE_SHARES: readonly number[] = [0.8, 0.6, 0.4, 0.2, 0.1, 0.05];

/** The share after this one; `undefined` after the last. */
export function nextShare(share: number): number | undefined {
	return THROTTLE_SHARES.find((next) => next < share);
}
