/**
 * The target of a post-copy move with checkpoints: its guest's output is held from the switch on, and leaves when the source
 * has the state that produced it. Where a lease governs the guest, this side renews it, and falls silent when it has ended.
 *
 *   begin ─▶ (guest runs) ─▶ run over one link after another ─┬─ end    every page is here: protection is over
 *                                                             └─ fence  the lease is lost: nothing leaves any more
 */
import { type CheckpointFigures, CheckpointLoop } from "../epochs/checkpoint-loop.ts";
import { LeaseKeeper } from "../epochs/lease-keeper.ts";
import { outputBoundaries } from "../policies/checkpoint-interval.ts";
import type { Clock } from "../ports/clock.ts";
import type { GatedGuest } from "../ports/gated-guest.ts";
import type { Lease, LeaseGrant } from "../ports/lease.ts";
import type { Link } from "../ports/link.ts";
import { type CheckpointInterval, encodeRecord } from "../wire/records.ts";

/** Output that may be held by default: what a checkpoint's round trip of 10 ms lets pass at 1.6 GB/s. */
export const HELD_OUTPUT_BYTES: number = 16 * 1024 * 1024;

/** How long to try for a pause point: a call that takes longer is tried again after it. */
const PAUSE_MS = 5000;

/** See the head of this file. */
export class Protection {
	readonly #loop: CheckpointLoop;
	readonly #clock: Clock;
	#keeper: LeaseKeeper | undefined;

	constructor(guest: GatedGuest, clock: Clock, interval: CheckpointInterval, limitBytes: number) {
		this.#clock = clock;
		this.#loop = new CheckpointLoop(
			{ guest, clock, mayRelease: () => this.holds },
			{ policy: outputBoundaries(interval), limitBytes, pauseMs: PAUSE_MS, compress: false },
		);
	}

	/** Whether this side may run and release output, as far as it can tell by itself. */
	get holds(): boolean {
		return this.#keeper?.holds ?? true;
	}

	/** The lease as it was renewed last. */
	get grant(): LeaseGrant | undefined {
		return this.#keeper?.grant;
	}

	get figures(): CheckpointFigures {
		return this.#loop.figures;
	}

	/** On the paused target, before it runs. */
	begin(): Promise<void> {
		return this.#loop.begin();
	}

	/** Renews the lease from now on. @param onLost - the guest must stop */
	keepLease(lease: Lease, grant: LeaseGrant, onLost: () => void): void {
		this.#keeper = new LeaseKeeper(lease, grant, this.#clock);
		void this.#keeper.keep(onLost);
	}

	/** The source has this checkpoint. @throws {MoveError} `protocol` for one that it cannot have */
	committed(epoch: number): void {
		this.#loop.committed(epoch);
	}

	/** Sends checkpoints until the signal aborts. @throws whatever failed */
	run(link: Link, signal: AbortSignal): Promise<void> {
		return this.#loop.run((record) => link.send(encodeRecord(record)), signal);
	}

	/** The guest needs its source no more: everything that is held leaves. The lease is its caller's to renew again. */
	async end(): Promise<void> {
		this.#keeper?.stop();
		await this.#loop.end();
	}

	/** Nothing more leaves, from this moment on. */
	silence(): void {
		this.#loop.silence();
	}

	/** {@link silence}, and the tracker detaches: nothing is sent any more either. Not while {@link run} goes on. */
	async fence(): Promise<void> {
		this.#keeper?.stop();
		await this.#loop.fence();
	}
}
