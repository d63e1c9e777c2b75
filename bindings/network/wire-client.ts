/**
 * A guest's host at a wire: the guest's frames go there and come from there, over one stream.
 *
 *   connecting ─▶ connected ─▶ lost ─▶ connecting again, every 200 ms, until it is closed or cut off
 *
 * A guest does not notice a wire that ends and comes again, but for frames that are lost meanwhile, as with a cable that was pulled out:
 * what its connections do then is TCP's business. Frames that the wire's gate held went with it.
 */
import type { ByteStream, StreamAddress } from "../ports/byte-stream.ts";
import { LinkError } from "../ports/link.ts";
import type { Platform } from "../ports/platform.ts";
import { rarpAnnouncement } from "./announce.ts";
import { FrameSender, isFrame, readFrames, writeFrame, writeOrder } from "./frame-stream.ts";
import { WireError } from "./wire-error.ts";
import { WireGate } from "./wire-gate.ts";
import { checkName, decodeAnswer, encodeOrder, WIRE_VERSION, type WireOrder, type WireStatus } from "./wire-orders.ts";
import { ask, defaultWireFolder, inTime, reach, wirePath } from "./wire-place.ts";

const AGAIN_MS = 200;

/** Ports that a host needs for it; a platform has them all. */
export type WireClientServices = Pick<Platform, "clock" | "connect" | "files">;

/** Which wire. */
export type WirePlace =
	| { readonly name: string; readonly folder?: string }
	/** One that listens on TCP. */
	| { readonly address: StreamAddress };

/** How a host is connected. */
export type ConnectWireOptions = WirePlace & {
	/** The port's name, of this host alone: up to 40 letters, digits, dots, dashes and underscores. */
	readonly port: string;
	/** Hears when the wire is lost, with the reason, and when it is there again. */
	readonly onChange?: (isConnected: boolean, reason?: Error) => void;
	/** Hears what `onFrame` has thrown; without it that is a rejection which nobody handles. */
	readonly onError?: (error: unknown) => void;
};

/**
 * Connects a host to a wire.
 *
 * @throws {WireError} `no-wire`, `port-taken`, `fenced`, `full`, `no-answer`, `protocol`; RangeError naming the argument
 *
 * @example
 * ```ts ignore
 * const port = await connectWire(nodePlatform(), { name: "lab", port: "host-1" });
 * const guest = await startQemuGuest(nodePlatform(), { machine, network: port.attach });
 * ```
 */
export async function connectWire(services: WireClientServices, options: ConnectWireOptions): Promise<WirePort> {
	checkName("port", options.port);
	const port = new WirePort(services, addressOf(services, options), options);
	await port.open();
	return port;
}

/** @throws {WireError} `no-wire`, `no-answer`, `protocol` */
export async function wireStatus(services: WireClientServices, place: WirePlace): Promise<WireStatus> {
	const answer = await ask(services, addressOf(services, place), { order: "status" });
	if (answer.answer === "status") return answer.status;
	throw new WireError("protocol", "the wire has answered something else");
}

/** Ends a wire. Resolves when nothing of it is left and its name is free. @throws {WireError} as {@link wireStatus} */
export async function stopWire(services: WireClientServices, place: WirePlace): Promise<void> {
	await ask(services, addressOf(services, place), { order: "stop" });
}

/**
 * Cuts a port off for good: nothing more of it leaves, held or new, whether its host knows or not. For whoever has taken its guest
 * over from a host that may still run.
 * @throws {WireError} as {@link wireStatus}
 */
export async function fenceWirePort(services: WireClientServices, place: WirePlace, port: string): Promise<void> {
	await ask(services, addressOf(services, place), { order: "fence", port: checkName("port", port) });
}

function addressOf({ files }: WireClientServices, place: WirePlace): StreamAddress {
	if ("address" in place) return place.address;
	const { name, folder = defaultWireFolder(files) } = place;
	return { transport: "unix", path: wirePath(folder, checkName("name", name)) };
}

/** See the head of this file. */
export class WirePort {
	readonly name: string;
	/** Resolves when there will be no connection any more: with `fenced` or another refusal, or `closed` by {@link close}. */
	readonly ended: Promise<WireError>;
	readonly gate: WireGate;
	/** Takes frames for the machine here, where no stream does. */
	onFrame: ((frame: Uint8Array) => void) | undefined;
	readonly #services: WireClientServices;
	readonly #address: StreamAddress;
	readonly #options: ConnectWireOptions;
	readonly #stop: AbortController = new AbortController();
	#end: (error: WireError) => void = () => undefined;
	#wire: { readonly stream: ByteStream; readonly sender: FrameSender } | undefined;
	#machine: { readonly stream: ByteStream; readonly sender: FrameSender } | undefined;
	#living: Promise<void> = Promise.resolve();
	#isConnected = false;
	#lostFrames = 0;

	/** Made by {@link connectWire}. */
	constructor(services: WireClientServices, address: StreamAddress, options: ConnectWireOptions) {
		this.name = options.port;
		this.#services = services;
		this.#address = address;
		this.#options = options;
		this.ended = new Promise((resolve) => {
			this.#end = resolve;
		});
		this.gate = new WireGate((order) => this.#order(order));
	}

	/** For {@link connectWire}. @throws {WireError} */
	async open(): Promise<void> {
		this.#living = this.#live(await this.#join());
	}

	get isConnected(): boolean {
		return this.#isConnected;
	}

	/** Frames that were lost: there was no wire, a side did not read, or they were none. */
	get lostFrames(): number {
		return this.#lostFrames;
	}

	/**
	 * Connects a stream of frames: a QEMU guest's card. One at a time: an earlier one is dropped. A property, so that it can be handed on.
	 */
	readonly attach = (stream: ByteStream): void => {
		this.#machine?.stream.abort("another stream took its port");
		this.#machine = { stream, sender: new FrameSender(stream, () => this.#detach(stream)) };
		if (this.#stop.signal.aborted) this.#detach(stream);
		else void this.#carry(stream);
	};

	/** A frame from the machine here. @returns `false`: it is lost */
	send(frame: Uint8Array): boolean {
		const isSent = isFrame(frame) && this.#wire?.sender.send(frame);
		if (isSent !== true) this.#lostFrames++;
		return isSent === true;
	}

	/** Says for a machine that has moved here where it is now: see `SwitchPort.announce`. */
	announce(address: string): void {
		this.send(rarpAnnouncement(address));
	}

	/** Leaves the wire: its port is free, what its gate holds is dropped. Safe to call twice. */
	async close(): Promise<void> {
		this.#finish(new WireError("closed", "this side has closed it"));
		await this.#living;
	}

	/** From the machine to the wire, at the wire's pace. */
	async #carry(machine: ByteStream): Promise<void> {
		try {
			for await (const frame of readFrames(machine)) {
				if (this.#machine?.stream !== machine) return;
				const wire = this.#wire;
				if (wire === undefined) this.#lostFrames++;
				else await writeFrame(wire.stream, frame).catch(() => void this.#lostFrames++); // its reader sees the end
			}
		} catch {
			// The machine is gone, or sends what is no frame: the port is free for another.
		}
		this.#detach(machine);
	}

	#detach(machine: ByteStream): void {
		machine.abort("its port let go of it");
		if (this.#machine?.stream === machine) this.#machine = undefined;
	}

	/** @returns what resolves with the reason when the new connection is lost. @throws {WireError}, {@link LinkError} */
	async #join(): Promise<{ readonly lost: Promise<Error> }> {
		const { clock } = this.#services;
		const stream = await reach(this.#services, this.#address, this.#stop.signal);
		try {
			return await inTime(clock, stream, async () => {
				// From here on orders and frames take their place behind this one.
				this.#wire = { stream, sender: new FrameSender(stream, () => stream.abort("the wire has gone")) };
				const { name: port, gate } = this;
				this.#order({ order: "join", version: WIRE_VERSION, port, holding: gate.isHolding, epoch: gate.epoch });
				const joined = new AbortController();
				const isJoined = new Promise<undefined>((resolve) =>
					joined.signal.addEventListener("abort", () => resolve(undefined)),
				);
				const lost = this.#receive(stream, () => joined.abort());
				const early = await Promise.race([lost, isJoined]);
				if (early !== undefined) throw early;
				this.#isConnected = true;
				return { lost };
			});
		} catch (error) {
			this.#wire = undefined;
			stream.abort("not joined");
			throw error;
		}
	}

	/** @returns why there are no more frames */
	async #receive(stream: ByteStream, joined: () => void): Promise<Error> {
		const take = (bytes: Uint8Array): void => {
			if (decodeAnswer(bytes).answer === "joined") joined();
		};
		try {
			for await (const frame of readFrames(stream, take)) this.#deliver(frame);
			return new WireError("no-wire", "the wire has ended");
		} catch (error) {
			return error instanceof Error ? error : new WireError("protocol", String(error));
		}
	}

	async #live(first: { readonly lost: Promise<Error> }): Promise<void> {
		let connection: { readonly lost: Promise<Error> } | undefined = first;
		while (!this.#stop.signal.aborted) {
			if (connection !== undefined) this.#lose(await connection.lost);
			connection = await this.#again();
		}
		// One that was made just then.
		this.#wire?.stream.abort("closed");
		this.#wire = undefined;
	}

	#lose(reason: Error): void {
		this.#wire?.stream.abort(reason);
		this.#wire = undefined;
		this.#isConnected = false;
		if (this.#stop.signal.aborted) return;
		this.#options.onChange?.(false, reason);
	}

	async #again(): Promise<{ readonly lost: Promise<Error> } | undefined> {
		if (this.#stop.signal.aborted) return undefined;
		try {
			await this.#services.clock.sleep(AGAIN_MS, this.#stop.signal);
			const connection = await this.#join();
			this.#options.onChange?.(true);
			return connection;
		} catch (error) {
			if (error instanceof WireError && (error.code === "fenced" || error.code === "protocol")) this.#finish(error);
			else if (!(error instanceof WireError || error instanceof LinkError || this.#stop.signal.aborted)) throw error;
			return undefined;
		}
	}

	#deliver(frame: Uint8Array): void {
		if (this.#machine !== undefined) {
			if (!this.#machine.sender.send(frame)) this.#lostFrames++;
			return;
		}
		try {
			this.onFrame?.(frame);
		} catch (error) {
			if (this.#options.onError === undefined) void Promise.reject(error);
			else this.#options.onError(error);
		}
	}

	#finish(error: WireError): void {
		if (this.#stop.signal.aborted) return;
		this.#stop.abort(error);
		this.#wire?.stream.abort(error);
		if (this.#machine !== undefined) this.#detach(this.#machine.stream);
		this.#end(error);
	}

	#order(order: WireOrder): void {
		const stream = this.#wire?.stream;
		if (stream !== undefined) writeOrder(stream, encodeOrder(order)).catch(() => undefined); // its reader sees the end
	}
}
