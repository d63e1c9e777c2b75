/**
 * Keeps the right to run and to release output while somebody else waits for it: renews the grant in time, and knows by its
 * own clock when it has ended, whatever the keeper of the lease can still be asked.
 *
 *   holds ──renewed──▶ holds          half of the time that is left before the deadline
 *     └─ deadline passed, or renewal refused ─▶ lost: told once, for good
 */
import type { Clock } from "../ports/clock.ts";
import type { Lease, LeaseGrant } from "../ports/lease.ts";

/** Between two tries to reach a keeper that cannot be asked, in ms, at least. */
const RETRY_MS = 1;

/** See the head of this file. */
export class LeaseKeeper {
	readonly #lease: Lease;
	readonly #clock: Clock;
	#grant: LeaseGrant;
	#lost = false;
	readonly #stop = new AbortController();

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
		while (!signal.aborted) {
			const leftMs = this.#grant.expiresAtMs - this.#clock.now();
			if (leftMs > 0) {
				const waitMs = leftMs === Number.POSITIVE_INFINITY ? leftMs : Math.max(RETRY_MS, leftMs / 2);
				await this.#clock.sleep(waitMs, signal).catch(() => undefined); // stopped
				if (signal.aborted) return;
			}
			if (this.holds && (await this.#renewed())) continue;
			if (this.holds && !this.#lost) continue; // the keeper could not be asked: the grant holds until its own deadline
			this.#lost = true;
			if (!signal.aborted) onLost();
			return;
		}
	}

	/** Renews no more; the grant goes on to whoever has it now. */
	stop(): void {
		this.#stop.abort();
	}

	async #renewed(): Promise<boolean> {
		try {
			const renewed = await this.#lease.renew(this.#grant);
			if (renewed === undefined) this.#lost = true;
			else this.#grant = renewed;
			return renewed !== undefined;
		} catch {
			return false; // LeaseError `unavailable`
		}
	}
}
