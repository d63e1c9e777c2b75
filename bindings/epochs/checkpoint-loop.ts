/**
 * The side that runs: its guest works in epochs, and what it says in one leaves when the checkpoint at its end is safe.
 *
 *   begin ─▶ guest runs, output held ─▶ due ─▶ pause: changes, state and epoch sealed ─▶ guest runs on
 *                ▲                                                                           │
 *                └── output of the epoch leaves ◀── committed ◀── pages, state, digest sent ◀─┘
 *
 * Invariants: output leaves only when the copy elsewhere has the state that produced it, and only while this side may
 * release it; a checkpoint that did not arrive goes again with the next one: its pages are put back, its epoch stays sealed.
 *
 * Source: spec sections 1 (reliability of post-copy: Remus run backwards) and 3 (Remus).
 */
import { createEngine, type Engine } from "../engine/engine.ts";
import { MoveError } from "../handover/move-error.ts";
import { holdPaused } from "../handover/pause-turn.ts";
import type { CheckpointPolicy } from "../policies/checkpoint-interval.ts";
import type { Clock } from "../ports/clock.ts";
import type { GatedGuest } from "../ports/gated-guest.ts";
import {
	type DirtyCursor,
	type DirtyPages,
	type Guest,
	GuestError,
	MAX_BATCH_PAGES,
	type PageBatch,
} from "../ports/guest.ts";
import { checkpointDigest } from "../wire/digest.ts";
import { MAX_CHUNK_BYTES } from "../wire/limits.ts";
import type { Record } from "../wire/records.ts";

/** What a checkpoint loop works with. */
export interface CheckpointLoopServices {
	readonly guest: Guest & GatedGuest;
	readonly clock: Clock;
	/** Whether this side may release output now: it holds the lease, or none governs the guest. */
	readonly mayRelease: () => boolean;
}

/** How a checkpoint loop works. */
export interface CheckpointLoopOptions {
	readonly policy: CheckpointPolicy;
	/** Bytes of output that may be held; see the port. */
	readonly limitBytes: number;
	/** How long to try for a pause point, in ms; then the guest runs on and it is tried again. */
	readonly pauseMs: number;
	readonly compress: boolean;
}

/** What checkpoints have cost. */
export interface CheckpointFigures {
	/** Checkpoints that were acknowledged. */
	readonly committed: number;
	/** The last of them. */
	readonly lastEpoch: number;
	readonly pages: number;
	/** Of batches and states. */
	readonly bytes: number;
	/** The guest stood still for them, in ms. */
	readonly pausedMs: number;
	readonly longestPauseMs: number;
}

/** Less than this is nothing to wait for: a sleep could end before the clock shows it. */
const LEAST_WAIT_MS = 0.001;

interface Captured {
	readonly epoch: number;
	readonly pageCount: number;
	readonly state: Uint8Array<ArrayBuffer>;
	readonly batches: readonly PageBatch[];
	readonly harvest: DirtyPages;
}

/** See the head of this file. One per guest; {@link run} it once per link. */
export class CheckpointLoop {
	readonly #services: CheckpointLoopServices;
	readonly #options: CheckpointLoopOptions;
	readonly #engine: Engine = createEngine();
	#cursor: DirtyCursor | undefined;
	#sinceMs = 0;
	#lastDurationMs = 0;
	#committed = 0;
	#wake: () => void = () => undefined;
	#sealed = 0;
	#silent = false;
	#figures: CheckpointFigures = { committed: 0, lastEpoch: 0, pages: 0, bytes: 0, pausedMs: 0, longestPauseMs: 0 };

	constructor(services: CheckpointLoopServices, options: CheckpointLoopOptions) {
		this.#services = services;
		this.#options = options;
	}

	get figures(): CheckpointFigures {
		return this.#figures;
	}

	/** The last checkpoint that is known to be complete elsewhere. */
	get lastEpoch(): number {
		return this.#committed;
	}

	/** Before the guest runs: changes count from here on, and its output is held. */
	async begin(): Promise<void> {
		const { guest, clock } = this.#services;
		this.#cursor = await guest.dirty.open();
		guest.gate.hold({ limitBytes: this.#options.limitBytes, onOutput: () => this.#wake() });
		this.#sinceMs = clock.now();
	}

	/**
	 * Takes checkpoints and sends them, one at a time, until the signal aborts.
	 * @throws whatever failed; the next {@link run} goes on with what had not arrived.
	 */
	async run(send: (record: Record) => Promise<void>, signal: AbortSignal): Promise<void> {
		while (!signal.aborted) {
			await this.#untilDue(signal);
			if (signal.aborted) return;
			const captured = await this.#capture(signal);
			if (captured !== undefined) await this.#ship(captured, send, signal);
		}
	}

	/** The other side's word: it has this checkpoint. @throws {MoveError} `protocol` for one that was never sealed */
	committed(epoch: number): void {
		if (epoch > this.#sealed) throw new MoveError("protocol", `checkpoint ${epoch} was never taken`);
		if (epoch <= this.#committed) return;
		this.#committed = epoch;
		this.#figures = { ...this.#figures, committed: this.#figures.committed + 1, lastEpoch: epoch };
		if (!this.#silent && this.#services.mayRelease()) this.#services.guest.gate.release(epoch);
		this.#wake();
	}

	/** Protection ends: the guest needs no copy any more. Everything that is held leaves. */
	async end(): Promise<void> {
		this.#services.guest.gate.open();
		await this.#detach();
	}

	/** This side must not say anything any more: what is held never leaves. */
	silence(): void {
		this.#silent = true;
		this.#services.guest.gate.discardAfter(0);
	}

	/** {@link silence}, and the tracker detaches. Not while {@link run} goes on. */
	async fence(): Promise<void> {
		this.silence();
		await this.#detach();
	}

	async #detach(): Promise<void> {
		await this.#cursor?.close().catch(() => undefined); // the tracker of a guest that is gone
		this.#cursor = undefined;
		this.#engine.dispose();
	}

	async #untilDue(signal: AbortSignal): Promise<void> {
		const { guest, clock } = this.#services;
		for (;;) {
			const { heldCount, full } = guest.gate.facts;
			const sinceLastMs = clock.now() - this.#sinceMs;
			const waitMs = this.#options.policy({ sinceLastMs, lastDurationMs: this.#lastDurationMs, heldCount, full });
			if (waitMs < LEAST_WAIT_MS || signal.aborted) return;
			await this.#waitFor(waitMs, signal);
		}
	}

	/** Until the time has passed, or something has happened. */
	async #waitFor(waitMs: number, signal: AbortSignal): Promise<void> {
		const timer = new AbortController();
		const stop = (): void => timer.abort();
		signal.addEventListener("abort", stop, { once: true });
		this.#wake = stop;
		await this.#services.clock.sleep(waitMs, timer.signal).catch(() => undefined); // woken
		this.#wake = () => undefined;
		signal.removeEventListener("abort", stop);
	}

	/** @returns nothing when there is nothing to say, or no pause point was reached in time */
	async #capture(signal: AbortSignal): Promise<Captured | undefined> {
		const { guest, clock } = this.#services;
		const { pauseMs: deadlineMs } = this.#options;
		this.#sinceMs = clock.now();
		const hold = await holdPaused(guest, { operation: "a checkpoint", clock, deadlineMs, signal }).catch(notInTime);
		if (hold === undefined) return undefined;
		const pausedMs = clock.now();
		try {
			return await this.#captureWhilePaused();
		} finally {
			await hold.resume();
			const lasted = clock.now() - pausedMs;
			const { pausedMs: before, longestPauseMs } = this.#figures;
			this.#figures = {
				...this.#figures,
				pausedMs: before + lasted,
				longestPauseMs: Math.max(longestPauseMs, lasted),
			};
		}
	}

	async #captureWhilePaused(): Promise<Captured | undefined> {
		const { guest } = this.#services;
		const harvest = await this.#cursor!.harvest();
		if (harvest.dirtyCount === 0 && guest.gate.facts.heldCount === 0) return undefined;
		const batches: PageBatch[] = [];
		try {
			const state = await guest.state.capture();
			const pages = pagesOf(harvest);
			for (let from = 0; from < pages.length; from += MAX_BATCH_PAGES)
				batches.push(
					await guest.pages.encode(pages.slice(from, from + MAX_BATCH_PAGES), { compress: this.#options.compress }),
				);
			const epoch = guest.gate.sealEpoch();
			this.#sealed = epoch;
			return { epoch, pageCount: harvest.pageCount, state, batches, harvest };
		} catch (error) {
			for (const batch of batches) batch.release();
			await this.#cursor?.putBack(harvest.bits);
			throw error;
		}
	}

	async #ship(captured: Captured, send: (record: Record) => Promise<void>, signal: AbortSignal): Promise<void> {
		const { epoch, pageCount, state, batches, harvest } = captured;
		const { clock } = this.#services;
		let bytes = state.byteLength;
		try {
			await send({ type: "epoch", epoch, pageCount, stateByteLength: state.byteLength });
			for (const batch of batches) {
				await send({ type: "batch", batch, modelledByteLength: batch.wireByteLength });
				bytes += batch.bytes.byteLength;
			}
			for (let offset = 0; offset < state.byteLength; offset += MAX_CHUNK_BYTES) {
				const piece = state.subarray(offset, offset + MAX_CHUNK_BYTES);
				await send({ type: "state", offset, total: state.byteLength, bytes: piece });
			}
			const checksums = batches.map(({ checksum }) => checksum);
			const digest = checkpointDigest(this.#engine, epoch, pageCount, checksums, state);
			await send({ type: "checkpoint", epoch, digest });
			while (this.#committed < epoch && !signal.aborted) await this.#waitFor(Number.POSITIVE_INFINITY, signal);
			this.#lastDurationMs = clock.now() - this.#sinceMs;
		} finally {
			for (const batch of batches) batch.release();
			// What did not arrive goes again, in one with what changes until then.
			if (this.#committed < epoch) await this.#cursor?.putBack(harvest.bits);
		}
		const pages = this.#figures.pages + harvest.dirtyCount;
		this.#figures = { ...this.#figures, pages, bytes: this.#figures.bytes + bytes };
	}
}

/** A guest that reaches no pause point runs on: the next try comes later. */
function notInTime(error: unknown): undefined {
	if (!(error instanceof GuestError) || error.code !== "pause-deadline") throw error;
	return undefined;
}

function pagesOf({ bits, pageCount }: DirtyPages): Uint32Array<ArrayBuffer> {
	const pages: number[] = [];
	for (let page = 0; page < pageCount; page++) {
		if (bits[page >>> 3] === 0) page |= 7;
		else if ((bits[page >>> 3]! & (1 << (page & 7))) !== 0) pages.push(page);
	}
	return Uint32Array.from(pages);
}
