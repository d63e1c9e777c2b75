/**
 * A lease that only the caller moves: for operators and scripts that know by other means who may run. Nothing expires;
 * {@link ManualLease.revoke} is the explicit word that a holder is gone.
 */
import type { Lease, LeaseGrant } from "../ports/lease.ts";

/** See the head of this file. One object per guest, held by everybody who may run it (in one process). */
export class ManualLease implements Lease {
	#holder: LeaseGrant | undefined;
	#lastToken = 0;

	acquire(): Promise<LeaseGrant | undefined> {
		if (this.#holder !== undefined) return Promise.resolve(undefined);
		this.#holder = { token: ++this.#lastToken, expiresAtMs: Number.POSITIVE_INFINITY };
		return Promise.resolve(this.#holder);
	}

	renew(grant: LeaseGrant): Promise<LeaseGrant | undefined> {
		return Promise.resolve(this.#holder?.token === grant.token ? this.#holder : undefined);
	}

	release(grant: LeaseGrant): Promise<void> {
		if (this.#holder?.token === grant.token) this.#holder = undefined;
		return Promise.resolve();
	}

	/** The caller's word that whoever held the lease does not run any more. Never say it by guessing. */
	revoke(): void {
		this.#holder = undefined;
	}
}
