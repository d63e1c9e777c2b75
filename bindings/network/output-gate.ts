/**
 * Output commit for what comes out of one port: while the gate holds, frames wait in epochs and nothing leaves before
 * somebody says that the state which sent them is safe elsewhere.
 *
 *   open ── hold ──▶ holding:  frames ─▶ epoch n │ seal ─▶ epoch n + 1 │ …      release(n): epochs up to n leave, in order
 *     ▲                 │                                                        discardAfter(n): later ones are dropped
 *     └──── open ───────┘  everything leaves
 *
 * Invariants: frames leave in the order in which they came, none twice; memory is bounded: what does not fit any more is
 * refused, and the sender of a stream is not read from until there is room.
 *
 * Seal while the machine is paused, after the pause has resolved and before it runs on: a frame that is still on its way
 * then belongs to the next epoch, which is late at worst and never early.
 *
 * Source: spec section 4 (Remus: network output is buffered until the checkpoint is acknowledged).
 */

/** Bytes a gate holds at most: a second of a guest that sends at 64 MB/s. */
const HELD_BYTES_LIMIT: number = 64 * 1024 * 1024;

interface Epoch {
	readonly number: number;
	readonly frames: Uint8Array[];
}

/** See the head of this file. */
export class OutputGate {
	readonly #send: (frame: Uint8Array) => void;
	readonly #limitBytes: number;
	#epochs: Epoch[] = [];
	#isHolding = false;
	#current = 1;
	#heldBytes = 0;
	#refusedFrames = 0;
	#waiting: (() => void)[] = [];

	/** Made by a port. @param send where frames go that may leave */
	constructor(send: (frame: Uint8Array) => void, limitBytes: number = HELD_BYTES_LIMIT) {
		this.#send = send;
		this.#limitBytes = limitBytes;
	}

	get isHolding(): boolean {
		return this.#isHolding;
	}

	/** Bytes of frames that wait. */
	get heldBytes(): number {
		return this.#heldBytes;
	}

	/** Frames that wait. */
	get heldFrames(): number {
		return this.#epochs.reduce((sum, { frames }) => sum + frames.length, 0);
	}

	/** Frames that were refused because the limit was reached. */
	get refusedFrames(): number {
		return this.#refusedFrames;
	}

	/** From now on frames wait. */
	hold(): void {
		this.#isHolding = true;
	}

	/**
	 * Ends the epoch: frames that come from now on belong to the next.
	 * @returns the epoch's number, for {@link release}
	 */
	seal(): number {
		return this.#current++;
	}

	/** Lets the frames of all epochs up to this one leave. @returns how many left. @throws RangeError for one not sealed yet */
	release(epoch: number): number {
		if (!Number.isInteger(epoch) || epoch >= this.#current)
			throw new RangeError(`epoch: ${epoch} is not sealed; the last that is, is ${this.#current - 1}`);
		return this.#leave(epoch);
	}

	/** Drops the frames of all epochs after this one. @returns how many were dropped */
	discardAfter(epoch: number): number {
		const dropped = this.#epochs.filter(({ number }) => number > epoch);
		this.#epochs = this.#epochs.filter(({ number }) => number <= epoch);
		for (const { frames } of dropped) this.#free(frames);
		return dropped.reduce((sum, { frames }) => sum + frames.length, 0);
	}

	/** Everything that waits leaves, and nothing waits any more. */
	open(): void {
		this.#isHolding = false;
		this.#leave(this.#current);
	}

	/** Takes a frame. @returns whether it left or waits; `false`: there is no room, and it is gone */
	take(frame: Uint8Array): boolean {
		if (!this.#isHolding) {
			this.#send(frame);
			return true;
		}
		if (this.#heldBytes + frame.byteLength > this.#limitBytes) {
			this.#refusedFrames++;
			return false;
		}
		this.#heldBytes += frame.byteLength;
		const last = this.#epochs.at(-1);
		if (last?.number === this.#current) last.frames.push(frame);
		else this.#epochs.push({ number: this.#current, frames: [frame] });
		return true;
	}

	/** Resolves when a frame of this size would not be refused. */
	async roomFor(byteLength: number): Promise<void> {
		while (this.#isHolding && this.#heldBytes > 0 && this.#heldBytes + byteLength > this.#limitBytes)
			await new Promise<void>((resolve) => this.#waiting.push(resolve));
	}

	#leave(epoch: number): number {
		let left = 0;
		while (this.#epochs[0] !== undefined && this.#epochs[0].number <= epoch) {
			const { frames } = this.#epochs.shift()!;
			for (const frame of frames) this.#send(frame);
			left += frames.length;
			this.#free(frames);
		}
		if (!this.#isHolding) for (const resolve of this.#waiting.splice(0)) resolve();
		return left;
	}

	#free(frames: readonly Uint8Array[]): void {
		for (const { byteLength } of frames) this.#heldBytes -= byteLength;
		for (const resolve of this.#waiting.splice(0)) resolve();
	}
}
