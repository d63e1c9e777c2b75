/**
 * A disk in virtual time: one queue, a rate, a latency per write, and an end of its room.
 *
 *   write ─▶ queue (first come, first served) ─▶ latency + bytes / rate ─▶ done, or `full`
 *
 * Bytes are modelled: images of synthetic guests hold a few real bytes for each batch, and the disk is charged what the
 * pages would take.
 */
import { StoreError } from "../ports/store.ts";
import type { VirtualClock } from "./virtual-clock.ts";

/** What a disk is like. */
export interface SimulatedDiskOptions {
	readonly rateBytesPerMs: number;
	/** Of each write, in ms; 0 by default. */
	readonly latencyMs?: number;
	/** Modelled bytes it has room for; unlimited by default. */
	readonly capacityBytes?: number;
}

/** See the head of this file. */
export class SimulatedDisk {
	readonly #clock: VirtualClock;
	readonly #options: Required<SimulatedDiskOptions>;
	#freeAtMs = 0;
	#usedBytes = 0;

	constructor(clock: VirtualClock, options: SimulatedDiskOptions) {
		if (!(options.rateBytesPerMs > 0)) throw new RangeError("rateBytesPerMs: must be above 0");
		this.#clock = clock;
		this.#options = { latencyMs: 0, capacityBytes: Number.POSITIVE_INFINITY, ...options };
	}

	/** Modelled bytes written so far. */
	get usedBytes(): number {
		return this.#usedBytes;
	}

	/**
	 * Writes so many bytes, after everything that was asked for before.
	 * @throws {StoreError} `full`: nothing of it is written, and no time has passed.
	 */
	async write(byteLength: number, signal?: AbortSignal): Promise<void> {
		const { rateBytesPerMs, latencyMs, capacityBytes } = this.#options;
		if (this.#usedBytes + byteLength > capacityBytes)
			throw new StoreError("full", `${byteLength} bytes, room for ${capacityBytes - this.#usedBytes}`);
		this.#usedBytes += byteLength;
		const now = this.#clock.now();
		this.#freeAtMs = Math.max(now, this.#freeAtMs) + latencyMs + byteLength / rateBytesPerMs;
		await this.#clock.sleep(this.#freeAtMs - now, signal);
	}
}
