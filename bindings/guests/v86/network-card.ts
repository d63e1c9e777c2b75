// The network card (NE2000) of a v86 guest, seen from the host: Ethernet frames out and in. It works by port accesses, not by
// DMA: a frame that arrives changes no RAM by itself.
//
//   the guest's step: put, put …  ─▶  step's end: flush ─▶ listeners      nothing of the user's runs inside the machine
//
// At a port of a network (connect) it is once the guest runs here: until then its source may still be at that port.
import { type ReportError, tellListeners } from "../listeners.ts";

/** A port of a network, as a card needs it: `SwitchPort` and `WirePort` are such ports. */
export interface V86NetworkPort {
	/** Takes frames for the machine at this port. */
	onFrame: ((frame: Uint8Array) => void) | undefined;
	/** A frame from the machine at this port. @returns whether it was taken */
	send(frame: Uint8Array): boolean;
	/** Says for the machine with this address that it is here now. */
	announce(address: string): void;
}

/** See the head of this file. */
export interface V86NetworkCard {
	/** `aa:bb:cc:dd:ee:ff`. Moves with the guest. */
	readonly macAddress: string;
	/**
	 * Frames of either direction that were dropped because no Ethernet frame has their size: less than 14 bytes, or more than
	 * {@link MAX_FRAME_BYTES}.
	 */
	readonly badFrames: number;
	/**
	 * @param listener - gets every frame that the guest sends, once the step that sent it has ended; the bytes are the
	 * listener's. What it throws goes to `onListenerError`.
	 * @returns stops listening
	 */
	listen(listener: (frame: Uint8Array<ArrayBuffer>) => void): () => void;
	/**
	 * Gives the guest a frame. While it is paused up to {@link HELD_FRAMES} are kept until it runs; what is more is lost, as
	 * on a wire. Never throws: what is no frame is counted in {@link badFrames}.
	 */
	deliver(frame: Uint8Array): void;
	/**
	 * Puts the card at a port of a network: as soon as the guest runs here (at once, if it does), frames go both ways, and the port
	 * announces it, so that its peers' frames come. A move's target must have its port before it runs, or its first frames are lost:
	 * guests and factories take it as the option `network`. One port at a time; a discarded guest has left it.
	 * @returns leaves the port
	 */
	connect(port: V86NetworkPort): () => void;
}

/** Frames that wait for a paused guest: more than a TCP window of the guest's 64 KiB. */
const HELD_FRAMES = 256;
/** Two addresses and a type. */
const MIN_FRAME_BYTES = 14;
/** 1500 bytes behind a header with a VLAN tag (IEEE 802.3, 802.1Q); v86's card passes on whatever length its driver names. */
const MAX_FRAME_BYTES = 1518;

const isFrame = ({ byteLength }: Uint8Array): boolean => byteLength >= MIN_FRAME_BYTES && byteLength <= MAX_FRAME_BYTES;

/** The host's end of a network card. */
export class NetworkCard implements V86NetworkCard {
	readonly #send: (frame: Uint8Array) => void;
	readonly #mac: () => string;
	readonly #report: ReportError;
	readonly #listeners = new Set<(frame: Uint8Array<ArrayBuffer>) => void>();
	/** What this step has sent. */
	#sent: Uint8Array<ArrayBuffer>[] = [];
	#held: Uint8Array[] = [];
	#open = false;
	#badFrames = 0;
	/** Where the card is, or will be once the guest runs. */
	#port: V86NetworkPort | undefined;
	/** What the port calls while it is this card's. */
	#take: ((frame: Uint8Array) => void) | undefined;
	#leave: () => void = () => undefined;

	/**
	 * @param send - gives a frame to the running machine
	 * @param report - takes what a listener throws
	 */
	constructor(send: (frame: Uint8Array) => void, mac: () => string, report: ReportError) {
		this.#send = send;
		this.#mac = mac;
		this.#report = report;
	}

	get macAddress(): string {
		return this.#mac();
	}

	get badFrames(): number {
		return this.#badFrames;
	}

	listen(listener: (frame: Uint8Array<ArrayBuffer>) => void): () => void {
		this.#listeners.add(listener);
		return () => this.#listeners.delete(listener);
	}

	deliver(frame: Uint8Array): void {
		if (!isFrame(frame)) this.#badFrames++;
		else if (this.#open) this.#send(frame);
		else if (this.#held.length < HELD_FRAMES) this.#held.push(frame.slice());
	}

	connect(port: V86NetworkPort): () => void {
		this.#disconnect();
		this.#port = port;
		if (this.#open) this.#join(port);
		return () => {
			if (this.#port === port) this.#disconnect();
		};
	}

	/** The guest is gone. */
	close(): void {
		this.#open = false;
		this.#held = [];
		this.#disconnect();
	}

	/** The guest sends a frame, in the middle of a step. */
	put(frame: Uint8Array<ArrayBuffer>): void {
		if (isFrame(frame)) this.#sent.push(frame);
		else this.#badFrames++;
	}

	/** A step has ended: listeners get what it sent. */
	flush(): void {
		if (this.#sent.length === 0) return;
		const sent = this.#sent;
		this.#sent = [];
		for (const frame of sent) tellListeners(this.#listeners, frame, this.#report);
	}

	/** Whether the guest runs, and frames can be given to it. */
	set open(open: boolean) {
		this.#open = open;
		const held = this.#held;
		if (!open) return;
		// For the first time, or another guest ran at its port while this one was paused.
		const port = this.#port;
		if (port !== undefined && (this.#take === undefined || port.onFrame !== this.#take)) this.#join(port);
		this.#held = [];
		for (const frame of held) this.#send(frame);
	}

	/** From here on the port is this card's, whoever's it was, until another one joins: a target in the same process. */
	#join(port: V86NetworkPort): void {
		this.#leave();
		const take = (frame: Uint8Array): void => this.deliver(frame);
		this.#take = take;
		port.onFrame = take;
		const silence = this.listen((frame) => {
			if (port.onFrame === take) port.send(frame);
		});
		this.#leave = () => {
			silence();
			if (port.onFrame === take) port.onFrame = undefined;
		};
		tellListeners([() => port.announce(this.macAddress)], undefined, this.#report);
	}

	#disconnect(): void {
		this.#port = undefined;
		this.#take = undefined;
		this.#leave();
		this.#leave = () => undefined;
	}
}
