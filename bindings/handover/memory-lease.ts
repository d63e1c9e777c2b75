/**
 * A lease with a time to live, kept in this process: for tests, the lab, and several guests' hosts in one process.
 * The keeper's rule and the holder's rule differ on purpose: the holder must stop at its deadline, the keeper gives the
 * lease to the next one only after the same deadline plus the clock's allowed error.
 */
import type { Clock } from "../ports/clock.ts";
import type { Lease, LeaseGrant } from "../ports/lease.ts";

/** Parameters of {@link MemoryLease}. */
export interface MemoryLeaseOptions {
	/** How long a grant holds without renewal, in ms. */
	readonly timeToLiveMs: number;
	/** How much later than the holder the keeper believes a grant to have ended, in ms. */
	readonly graceMs?: number;
}

/** See the head of this file. */
export class MemoryLease implements Lease {
	readonly #clock: Clock;
	readonly #timeToLiveMs: number;
	readonly #graceMs: number;
	#holder: LeaseGrant | undefined;
	#lastToken = 0;

	/** @throws RangeError if the time to live is not greater than 0. */
	constructor(clock: Clock, options: MemoryLeaseOptions) {
		if (!(options.timeToLiveMs > 0))
			throw new RangeError(`timeToLiveMs: must be greater than 0, got ${options.timeToLiveMs}`);
		this.#clock = clock;
		this.#timeToLiveMs = options.timeToLiveMs;
		this.#graceMs = options.graceMs ?? 0;
	}

	acquire(): Promise<LeaseGrant | undefined> {
		const now = this.#clock.now();
		if (this.#holder !== undefined && now < this.#holder.expiresAtMs + this.#graceMs) return Promise.resolve(undefined);
		this.#holder = { token: ++this.#lastToken, expiresAtMs: now + this.#timeToLiveMs };
		return Promise.resolve(this.#holder);
	}

	renew(grant: LeaseGrant): Promise<LeaseGrant | undefined> {
		const now = this.#clock.now();
		if (this.#holder?.token !== grant.token || now >= this.#holder.expiresAtMs) return Promise.resolve(undefined);
		this.#holder = { token: grant.token, expiresAtMs: now + this.#timeToLiveMs };
		return Promise.resolve(this.#holder);
	}

	release(grant: LeaseGrant): Promise<void> {
		if (this.#holder?.token === grant.token) this.#holder = undefined;
		return Promise.resolve();
	}
}
