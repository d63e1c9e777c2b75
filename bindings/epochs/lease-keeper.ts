/**
 * Keeps the right to run and to release output while somebody else waits for it: renews the grant in time, and knows by its
 * own clock when it has ended, whatever the keeper of the lease can still be asked, or never answers.
 *
 *   holds ──renewed──▶ holds          asked in half of the time that is left, and again if no answer comes in half of the rest
 *     └─ deadline passed, or renewal refused ─▶ lost: told once, for good
 */
import type { Clock } from "../ports/clock.ts";
import type { Lease, LeaseGrant } from "../ports/lease.ts";

/** Between two tries to reach a keeper that cannot be asked, in ms, at least. */
const RETRY_MS = 1;

/** A sleep of less could end before the clock shows it, in ms. */
const LEAST_WAIT_MS = 0.01;

/** See the head of this file. */
export class LeaseKeeper {
	readonly #lease: Lease;
	readonly #clock: Clock;
	#grant: LeaseGrant;
	#lost = false;
	readonly #stop = new AbortController();
	/** Ends the wait for the next renewal. */
	#wake: () => void = () => undefined;

	/** @param grant - a grant that holds. */
	constructor(lease: Lease, grant: LeaseGrant, clock: Clock) {
		this.#lease = lease;
		this.#grant = grant;
		this.#clock = clock;
	}

	/** The grant as it was renewed last. */
	get grant(): LeaseGrant {
		return this.#grant;
	}

	/** Whether it holds now, by this side's own clock. Ask before everything that needs it. */
	get holds(): boolean {
		return !this.#lost && this.#clock.now() < this.#grant.expiresAtMs;
	}

	/** Renews until {@link stop}. @param onLost - called once, when it does not hold any more */
	async keep(onLost: () => void): Promise<void> {
		const { signal } = this.#stop;
		while (!signal.aborted && this.holds) {
			await this.#waitHalf();
			if (signal.aborted || !this.holds) break;
			const timer = new AbortController();
			// An answer may never come: the grant's own deadline counts, not the keeper's word.
			await Promise.race([this.#renew(), this.#waitHalf(timer)]);
			timer.abort();
		}
		if (signal.aborted) return;
		this.#lost = true;
		onLost();
	}

	/** Renews no more; the grant goes on to whoever has it now. */
	stop(): void {
		this.#stop.abort();
		this.#wake();
	}

	/** Half of the time that is left, or until something has been decided. */
	async #waitHalf(timer = new AbortController()): Promise<void> {
		const leftMs = this.#grant.expiresAtMs - this.#clock.now();
		const waitMs = Math.min(Math.max(LEAST_WAIT_MS, leftMs), Math.max(RETRY_MS, leftMs / 2));
		this.#wake = () => timer.abort();
		await this.#clock.sleep(waitMs, timer.signal).catch(() => undefined); // woken
	}

	/** Asks once. Never rejects; an answer counts whenever it comes, unless the grant has been lost meanwhile. */
	async #renew(): Promise<void> {
		try {
			const renewed = await this.#lease.renew(this.#grant);
			if (renewed === undefined) this.#lost = true;
			else if (renewed.expiresAtMs > this.#grant.expiresAtMs) this.#grant = renewed;
		} catch {
			return; // LeaseError `unavailable`: the grant holds until its own deadline, and is asked for again
		}
		this.#wake();
	}
}
