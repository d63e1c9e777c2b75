// The network card (NE2000) of a v86 guest, seen from the host: Ethernet frames out and in. It works by port accesses, not by
// DMA: a frame that arrives changes no RAM by itself.

/** See the head of this file. */
export interface V86NetworkCard {
	/** `aa:bb:cc:dd:ee:ff`. Moves with the guest. */
	readonly macAddress: string;
	/**
	 * @param listener - gets every frame that the guest sends, at once; the bytes are the listener's
	 * @returns stops listening
	 */
	listen(listener: (frame: Uint8Array<ArrayBuffer>) => void): () => void;
	/**
	 * Gives the guest a frame. While it is paused up to {@link HELD_FRAMES} are kept until it runs; what is more is lost, as
	 * on a wire.
	 */
	deliver(frame: Uint8Array): void;
}

/** Frames that wait for a paused guest: more than a TCP window of the guest's 64 KiB. */
const HELD_FRAMES = 256;

/** The host's end of a network card. */
export class NetworkCard implements V86NetworkCard {
	readonly #send: (frame: Uint8Array) => void;
	readonly #mac: () => string;
	readonly #listeners = new Set<(frame: Uint8Array<ArrayBuffer>) => void>();
	#held: Uint8Array[] = [];
	#open = false;

	/** @param send - gives a frame to the running machine */
	constructor(send: (frame: Uint8Array) => void, mac: () => string) {
		this.#send = send;
		this.#mac = mac;
	}

	get macAddress(): string {
		return this.#mac();
	}

	listen(listener: (frame: Uint8Array<ArrayBuffer>) => void): () => void {
		this.#listeners.add(listener);
		return () => this.#listeners.delete(listener);
	}

	deliver(frame: Uint8Array): void {
		if (this.#open) this.#send(frame);
		else if (this.#held.length < HELD_FRAMES) this.#held.push(frame.slice());
	}

	/** The guest sends a frame. */
	emit(frame: Uint8Array<ArrayBuffer>): void {
		for (const listener of this.#listeners) listener(frame);
	}

	/** Whether the guest runs, and frames can be given to it. */
	set open(open: boolean) {
		this.#open = open;
		const held = this.#held;
		if (!open) return;
		this.#held = [];
		for (const frame of held) this.#send(frame);
	}
}
