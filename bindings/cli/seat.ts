/**
 * The one guest that a host has, and what its clients are told while it comes and goes.
 *
 *   empty ── take ──▶ taken ── leaving(to) ──▶ taken, on its way out ── left ──▶ empty, with a forwarding address
 *                       └────────────── stayed ◀──────────┘
 *
 * A guest that comes in takes the seat before it runs: calls wait in it until it does.
 */
import type { WasmGuest } from "../guests/wasm/guest.ts";
import type { StreamAddress } from "../ports/byte-stream.ts";
import { HostError } from "./failure.ts";

/** Where a call goes. */
export type Destination = { readonly guest: WasmGuest } | { readonly forward: StreamAddress };

/** See the head of this file. */
export class Seat {
	#guest: WasmGuest | undefined;
	#forward: StreamAddress | undefined;
	readonly #waiting: ((destination: Destination) => void)[] = [];

	get taken(): boolean {
		return this.#guest !== undefined;
	}

	/** @throws {HostError} `no-guest`. */
	get guest(): WasmGuest {
		if (this.#guest === undefined) throw new HostError("no-guest", "this process has no guest");
		return this.#guest;
	}

	/** Where the guest goes or has gone. */
	get forward(): StreamAddress | undefined {
		return this.#forward;
	}

	/** @throws {HostError} `has-guest`. */
	take(guest: WasmGuest): void {
		if (this.#guest !== undefined) throw new HostError("has-guest", "this process has a guest already");
		this.#guest = guest;
		this.#forward = undefined;
		for (const resolve of this.#waiting.splice(0)) resolve({ guest });
	}

	/** The guest may go there: calls that it gives back are sent after it. */
	leaving(to: StreamAddress): void {
		this.#forward = to;
	}

	/** The guest did not go. */
	stayed(): void {
		this.#forward = undefined;
	}

	/** This guest is here no more. Leaves a successor alone. */
	left(guest: WasmGuest): void {
		if (this.#guest === guest) this.#guest = undefined;
	}

	/**
	 * Where a call goes now; waits while there is neither a guest nor a forwarding address.
	 * @param refused - a guest that has given the call back already.
	 */
	destination(refused?: WasmGuest): Promise<Destination> {
		if (this.#guest !== undefined && this.#guest !== refused) return Promise.resolve({ guest: this.#guest });
		if (this.#forward !== undefined) return Promise.resolve({ forward: this.#forward });
		return new Promise((resolve) => this.#waiting.push(resolve));
	}
}
