// The output gate of guests whose output passes through this process: a queue of pieces by epoch. See ports/gated-guest.ts.
import type { GateFacts, GuestGate, HoldOutputOptions } from "../ports/gated-guest.ts";
import { GuestError } from "../ports/guest.ts";

/** One piece of output. Exactly one of the two is called, once. */
interface Piece {
	readonly epoch: number;
	readonly byteLength: number;
	readonly deliver: () => void;
	readonly drop: () => void;
}

/** What a gate needs of its guest. */
export interface GateOwner {
	isPaused(): boolean;
	/** The limit is reached, or is not any more: no new work while it is. */
	onFull?(full: boolean): void;
}

/** See the head of this file. */
export class HeldOutput implements GuestGate {
	readonly #owner: GateOwner;
	#options: HoldOutputOptions | undefined;
	#pieces: Piece[] = [];
	#heldBytes = 0;
	#emittedBytes = 0;
	/** The epoch under way. */
	#epoch = 1;
	#full = false;

	constructor(owner: GateOwner) {
		this.#owner = owner;
	}

	get facts(): GateFacts {
		return {
			holding: this.#options !== undefined,
			heldCount: this.#pieces.length,
			heldBytes: this.#heldBytes,
			full: this.#full,
			emittedBytes: this.#emittedBytes,
		};
	}

	/** The guest has produced something: it leaves now, or is held. */
	emit(byteLength: number, deliver: () => void, drop: () => void): void {
		this.#emittedBytes += byteLength;
		if (this.#options === undefined) {
			deliver();
			return;
		}
		this.#pieces.push({ epoch: this.#epoch, byteLength, deliver, drop });
		this.#heldBytes += byteLength;
		const becameFull = this.#judge() && this.#full;
		if (becameFull || this.#pieces.length === 1) this.#options.onOutput?.();
	}

	hold(options: HoldOutputOptions): void {
		if (!(options.limitBytes > 0)) throw new RangeError(`limitBytes: must be above 0, got ${options.limitBytes}`);
		this.#options = options;
		this.#judge();
	}

	sealEpoch(): number {
		if (!this.#owner.isPaused()) throw new GuestError("not-paused", "sealEpoch: the guest runs, and may emit more");
		return this.#epoch++;
	}

	release(epoch: number): void {
		if (!(epoch < this.#epoch)) throw new RangeError(`epoch: ${epoch} is not sealed, ${this.#epoch} is under way`);
		this.#leave((piece) => piece.epoch <= epoch);
	}

	discardAfter(epoch: number): void {
		const dropped = this.#take((piece) => piece.epoch > epoch);
		for (const { drop } of dropped) drop();
	}

	open(): void {
		this.#options = undefined;
		this.#leave(() => true);
	}

	#leave(matches: (piece: Piece) => boolean): void {
		for (const { deliver } of this.#take(matches)) deliver();
	}

	#take(matches: (piece: Piece) => boolean): Piece[] {
		const taken = this.#pieces.filter(matches);
		this.#pieces = this.#pieces.filter((piece) => !matches(piece));
		for (const { byteLength } of taken) this.#heldBytes -= byteLength;
		this.#judge();
		return taken;
	}

	/** @returns whether it is full now and was not, or the other way round */
	#judge(): boolean {
		const full = this.#options !== undefined && this.#heldBytes >= this.#options.limitBytes;
		if (full === this.#full) return false;
		this.#full = full;
		this.#owner.onFull?.(full);
		return true;
	}
}
