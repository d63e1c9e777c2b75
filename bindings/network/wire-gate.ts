// The gate of a port (output-gate.ts) that a wire holds, seen from the host.
import type { WireOrder } from "./wire-orders.ts";

/** Calls take their place among the frames that are sent: what was sent before a seal belongs to the epoch that it ends. */
export class WireGate {
	readonly #order: (order: WireOrder) => void;
	#epoch = 1;
	#isHolding = false;

	/** Made by a {@link WirePort}. @param order - sends one; while there is no wire it goes nowhere, and what it was for is lost */
	constructor(order: (order: WireOrder) => void) {
		this.#order = order;
	}

	get isHolding(): boolean {
		return this.#isHolding;
	}

	/** The epoch to which belongs what is sent now. */
	get epoch(): number {
		return this.#epoch;
	}

	/** From now on frames wait. */
	hold(): void {
		this.#isHolding = true;
		this.#order({ order: "hold" });
	}

	/** Ends the epoch: call it while the machine is paused. @returns its number */
	seal(): number {
		this.#order({ order: "seal" });
		return this.#epoch++;
	}

	/** The frames of all epochs up to this one leave. @throws RangeError for one that is not sealed */
	release(epoch: number): void {
		this.#checkSealed(epoch);
		this.#order({ order: "release", epoch });
	}

	/** Those of all later epochs are dropped. @throws RangeError for one that is not sealed */
	discardAfter(epoch: number): void {
		this.#checkSealed(epoch);
		this.#order({ order: "discard", epoch });
	}

	/** Everything leaves, and nothing waits any more. */
	open(): void {
		this.#isHolding = false;
		this.#order({ order: "open" });
	}

	#checkSealed(epoch: number): void {
		if (!Number.isInteger(epoch) || epoch < 0 || epoch >= this.#epoch)
			throw new RangeError(`epoch: ${epoch} is not sealed; the last that is, is ${this.#epoch - 1}`);
	}
}
