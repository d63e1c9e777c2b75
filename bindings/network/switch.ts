/**
 * A virtual Ethernet switch: frames go from port to port by the addresses that the switch has learned, as in any bridge.
 * Guests of every kind can be at its ports: QEMU's by a stream, others by calls; a trunk to another host's switch is a
 * stream too.
 *
 *   guest ─▶ port.send ─▶ gate ─▶ learn, tap ─▶ the port of the address, or all others ─▶ guest
 *
 * Invariants: a frame never comes back to the port that it came from; the table is bounded, and so is what waits for a
 * port that does not read: frames are dropped then, and counted, as in a real switch. A machine that moved is found where
 * its last frame came from: an announcement (announce.ts) is enough. A listener that throws never harms the machine whose
 * frame it was called for.
 *
 * Source: IEEE 802.1D (learning bridges); spec section 3 (VNsnap's virtual switch) and section 4 (Remus).
 */
import type { ByteStream } from "../ports/byte-stream.ts";
import type { Clock } from "../ports/clock.ts";
import { rarpAnnouncement } from "./announce.ts";
import { FrameSender, isFrame, readFrames } from "./frame-stream.ts";
import { OutputGate } from "./output-gate.ts";

/** Addresses that are remembered; the one that was learned first makes room. A bridge of Linux's has as many. */
const MAX_ADDRESSES = 4096;

/** A frame that passed the switch. */
export interface TappedFrame {
	/** Valid for the call; copy what is kept. */
	readonly frame: Uint8Array;
	/** The port's name. */
	readonly from: string;
	/** By the switch's clock, in ms. */
	readonly atMs: number;
}

/** How a switch is. */
export interface VirtualSwitchOptions {
	/**
	 * Hears what a tap or a port's `onFrame` has thrown. Without it such an error is a rejection that nobody handles, which
	 * the runtime reports as it does all of them: at its default it ends the process.
	 */
	readonly onError?: (error: unknown) => void;
}

/** @throws nothing: see {@link VirtualSwitchOptions.onError} */
const reject = (error: unknown): void => void Promise.reject(error);

/**
 * See the head of this file.
 *
 * @example
 * ```ts ignore
 * const network = new VirtualSwitch(clock);
 * const a = await startQemuGuest(platform, { machine, network: network.addPort("a").attach });
 * network.tap(({ frame, from }) => console.log(from, frame.byteLength));
 * ```
 */
export class VirtualSwitch {
	readonly #clock: Clock;
	readonly #onError: (error: unknown) => void;
	readonly #ports: Set<SwitchPort> = new Set();
	/** Address (48 bits) → where it was seen last. */
	readonly #stations: Map<number, SwitchPort> = new Map();
	readonly #taps: Set<(tapped: TappedFrame) => void> = new Set();

	constructor(clock: Clock, options: VirtualSwitchOptions = {}) {
		this.#clock = clock;
		this.#onError = options.onError ?? reject;
	}

	/** Its ports. */
	get ports(): readonly SwitchPort[] {
		return [...this.#ports];
	}

	/** @param heldBytesLimit - what the port's gate holds at most. */
	addPort(name: string, heldBytesLimit?: number): SwitchPort {
		const port = new SwitchPort(name, {
			...{ forward: (frame) => this.#forward(frame, port), leave: () => this.#remove(port) },
			...{ onError: this.#onError, heldBytesLimit },
		});
		this.#ports.add(port);
		return port;
	}

	/** The port at which an address (`52:54:00:…`) was seen last. */
	portOf(address: string): SwitchPort | undefined {
		return this.#stations.get(Number.parseInt(address.replaceAll(":", ""), 16));
	}

	/** The addresses (`52:54:00:…`) that were seen last at this port. */
	machinesAt(port: SwitchPort): readonly string[] {
		return [...this.#stations].filter(([, at]) => at === port).map(([address]) => addressText(address));
	}

	/**
	 * Calls `listener` for every frame that is forwarded: not for those that a gate holds. One that throws is called no more
	 * ({@link VirtualSwitchOptions.onError}).
	 * @returns what ends that
	 */
	tap(listener: (tapped: TappedFrame) => void): () => void {
		this.#taps.add(listener);
		return () => this.#taps.delete(listener);
	}

	#forward(frame: Uint8Array, from: SwitchPort): void {
		this.#learn(addressAt(frame, 6), from);
		for (const listener of this.#taps)
			try {
				listener({ frame, from: from.name, atMs: this.#clock.now() });
			} catch (error) {
				this.#taps.delete(listener);
				this.#onError(error);
			}
		const known = isGroup(frame) ? undefined : this.#stations.get(addressAt(frame, 0));
		if (known === from) return;
		if (known !== undefined) known.deliver(frame);
		else for (const port of this.#ports) if (port !== from) port.deliver(frame);
	}

	#learn(address: number, port: SwitchPort): void {
		// A group is no sender.
		if ((Math.floor(address / 2 ** 40) & 1) === 1 || this.#stations.get(address) === port) return;
		this.#stations.set(address, port);
		if (this.#stations.size <= MAX_ADDRESSES) return;
		const [oldest] = this.#stations.keys();
		if (oldest !== undefined) this.#stations.delete(oldest);
	}

	#remove(port: SwitchPort): void {
		this.#ports.delete(port);
		for (const [address, at] of this.#stations) if (at === port) this.#stations.delete(address);
	}
}

/** What a port can be asked for by its switch. */
interface PortOptions {
	forward(frame: Uint8Array): void;
	leave(): void;
	onError(error: unknown): void;
	readonly heldBytesLimit: number | undefined;
}

/** One port of a {@link VirtualSwitch}. */
export class SwitchPort {
	readonly name: string;
	/** Holds what the machine at this port sends. */
	readonly gate: OutputGate;
	/** Takes frames for the machine at this port, where no stream does. */
	onFrame: ((frame: Uint8Array) => void) | undefined;
	readonly #options: PortOptions;
	#stream: ByteStream | undefined;
	#sender: FrameSender | undefined;
	#droppedFrames = 0;
	#badFrames = 0;
	#isClosed = false;

	/** Made by {@link VirtualSwitch.addPort}. */
	constructor(name: string, options: PortOptions) {
		this.name = name;
		this.#options = options;
		this.gate = new OutputGate((frame) => options.forward(frame), options.heldBytesLimit);
	}

	/** Frames for this port that were dropped because it did not read. */
	get droppedFrames(): number {
		return this.#droppedFrames;
	}

	/** What came from the machine at this port by {@link send} and was no frame. */
	get badFrames(): number {
		return this.#badFrames;
	}

	/** Whether a stream is at this port. */
	get isAttached(): boolean {
		return this.#stream !== undefined;
	}

	/**
	 * Connects a stream of frames: a QEMU guest's card, or another switch. One at a time: an earlier one is dropped.
	 * A property, so that it can be handed on as it is.
	 */
	readonly attach = (stream: ByteStream): void => {
		this.#stream?.abort("another stream took its port");
		this.#stream = stream;
		this.#sender = new FrameSender(stream, () => this.#detach(stream));
		if (this.#isClosed) this.#detach(stream);
		else void this.#read(stream);
	};

	/**
	 * A frame from the machine at this port.
	 * @returns `false` if the gate has no room, or if it is no frame (14 bytes to 64 KiB and some): it is gone then
	 */
	send(frame: Uint8Array): boolean {
		if (isFrame(frame)) return !this.#isClosed && this.gate.take(frame);
		// A guest may give its card anything. That is no reason to disturb whoever carries its frames.
		this.#badFrames++;
		return false;
	}

	/**
	 * Says for a machine that has moved here where it is now, so that its peers' frames come. QEMU's machines do it themselves, and v86's
	 * whose card was connected to this port (option `network`).
	 * @throws RangeError
	 */
	announce(address: string): void {
		this.send(rarpAnnouncement(address));
	}

	/** For the switch: a frame for the machine at this port. */
	deliver(frame: Uint8Array): void {
		if (this.#sender === undefined) this.#hand(frame);
		else if (!this.#sender.send(frame)) this.#droppedFrames++;
	}

	/** Takes the port out of its switch. What its gate holds is dropped. Safe to call twice. */
	close(): void {
		if (this.#isClosed) return;
		this.#isClosed = true;
		this.gate.discardAfter(0);
		if (this.#stream !== undefined) this.#detach(this.#stream);
		this.#options.leave();
	}

	async #read(stream: ByteStream): Promise<void> {
		try {
			for await (const frame of readFrames(stream)) {
				if (this.#stream !== stream) return;
				await this.gate.roomFor(frame.byteLength);
				// Meanwhile another may have taken its place.
				if (this.#stream !== stream) return;
				this.gate.take(frame);
			}
		} catch {
			// The machine is gone, or sends what is no frame: its port is free again.
		}
		this.#detach(stream);
	}

	#detach(stream: ByteStream): void {
		stream.abort("its port let go of it");
		if (this.#stream !== stream) return;
		this.#stream = undefined;
		this.#sender = undefined;
	}

	#hand(frame: Uint8Array): void {
		try {
			this.onFrame?.(frame);
		} catch (error) {
			this.#options.onError(error);
		}
	}
}

const isGroup = (frame: Uint8Array): boolean => (frame[0]! & 1) === 1;

const addressText = (address: number): string =>
	address
		.toString(16)
		.padStart(12, "0")
		.replace(/(..)(?=.)/g, "$1:");

/** A MAC address as a number: 48 bits fit a double. */
const addressAt = (frame: Uint8Array, at: number): number =>
	((frame[at]! << 8) | frame[at + 1]!) * 2 ** 32 +
	(((frame[at + 2]! << 24) | (frame[at + 3]! << 16) | (frame[at + 4]! << 8) | frame[at + 5]!) >>> 0);
