/**
 * The right to run a guest and to release its output. A partition cannot be told from a death, so whoever runs holds the
 * lease, and checks its own deadline before every quantum: a holder that was frozen must find out by itself.
 */
export interface Lease {
	/**
	 * Takes the lease if nobody holds it. Resolves `undefined` if somebody does.
	 * @throws {LeaseError} `unavailable` when the lease's keeper cannot be asked: assume nothing.
	 */
	acquire(): Promise<LeaseGrant | undefined>;
	/**
	 * Extends a grant that still holds. Resolves `undefined` if it was lost: stop at once.
	 * @throws {LeaseError} `unavailable`: the grant holds only until its own deadline.
	 */
	renew(grant: LeaseGrant): Promise<LeaseGrant | undefined>;
	/** Gives a grant up. Giving up one that is no longer held does nothing. */
	release(grant: LeaseGrant): Promise<void>;
}

/** Proof of the right to run, until its deadline. */
export interface LeaseGrant {
	/** Fencing token: every later grant has a larger one, so a late writer is recognised. */
	readonly token: number;
	/** On the holder's own clock; `Infinity` where only the caller decides. */
	readonly expiresAtMs: number;
}

/** The keeper of the lease could not be asked, or its answer makes no sense. */
export class LeaseError extends Error {
	override readonly name = "LeaseError";
	readonly code: "unavailable" | "invalid";
	constructor(code: "unavailable" | "invalid", message: string, cause?: unknown) {
		super(message, cause === undefined ? undefined : { cause });
		this.code = code;
	}
}
