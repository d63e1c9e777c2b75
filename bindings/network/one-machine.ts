/**
 * A port for a network that knows one machine only, as passt does: it takes the sender of whatever it hears for that machine, answers
 * questions for everybody's address, and sends to all before it knows better.
 *
 *   network ─▶ frames to nobody in particular ─▶ "who has …?" until the machine answers ─▶ to the machine
 *   machine ─▶ its own frames, its questions for the network's address ─▶ network           others: nothing
 *
 * The machine is found by its IPv4 address, wherever it moves. Source: RFC 826 (ARP).
 */
import type { ByteStream } from "../ports/byte-stream.ts";
import { arpQuestion, ipBytes } from "./announce.ts";
import { FrameSender, readFrames } from "./frame-stream.ts";
import type { SwitchPort } from "./switch.ts";

/** Frames that wait until the machine is found: the first segments of as many connections. */
const MAX_WAITING = 64;
/** Types of frames, the least that such a frame has, and where in it the addresses are. */
const IPV4 = 0x0800;
const HEADER_BYTES = 14;
const IPV4_BYTES: number = HEADER_BYTES + 20;
const IPV4_LENGTH_AT: number = HEADER_BYTES + 2;
const IPV4_SENDER_AT = 26;
const IPV4_TARGET_AT = 30;
const ARP = 0x0806;
const ARP_BYTES = 42;
const ARP_SENDER_AT = 28;
const ARP_TARGET_AT = 38;

/** Addresses, as `10.0.0.15`. */
export interface OneMachineAddresses {
	/** The machine's. */
	readonly ip: string;
	/** The network's own, from which its clients come: the machine's with `.2` at its end if left out. */
	readonly gatewayIp?: string;
}

/**
 * @returns takes the stream of such a network, as a port's own `attach` does
 * @throws RangeError naming the argument
 *
 * @example
 * ```ts ignore
 * const forwards = [{ hostPort: 8080, guestPort: 80 }];
 * const attach = oneMachine(network.addPort("uplink"), { ip: "10.0.0.15" });
 * const uplink = await startPasst(nodePlatform(), attach, { guestIp: "10.0.0.15", forwards });
 * ```
 */
export function oneMachine(
	port: SwitchPort,
	{ ip, gatewayIp = ip.replace(/\d+$/, "2") }: OneMachineAddresses,
): (stream: ByteStream) => void {
	const addresses = { own: ipBytes("gatewayIp", gatewayIp), machine: ipBytes("ip", ip) };
	return (stream) => void new OneMachine(port, stream, addresses).serve();
}

interface Addresses {
	readonly own: readonly number[];
	readonly machine: readonly number[];
}

class OneMachine {
	readonly #port: SwitchPort;
	readonly #stream: ByteStream;
	readonly #addresses: Addresses;
	readonly #sender: FrameSender;
	/** Where the machine was seen last. */
	#address: Uint8Array | undefined;
	#waiting: Uint8Array[] = [];

	constructor(port: SwitchPort, stream: ByteStream, addresses: Addresses) {
		this.#port = port;
		this.#stream = stream;
		this.#addresses = addresses;
		this.#sender = new FrameSender(stream, () => stream.abort("it has gone"));
		port.onFrame = (frame) => this.#fromMachine(frame);
	}

	async serve(): Promise<void> {
		try {
			for await (const frame of readFrames(this.#stream)) this.#fromNetwork(frame);
		} catch {
			// It has ended: whoever started it hears that from its process.
		}
		this.#stream.abort("it has ended");
	}

	#fromNetwork(frame: Uint8Array<ArrayBuffer>): void {
		const isForMachine = isPacket(frame) && isIp(frame, IPV4_TARGET_AT, this.#addresses.machine);
		if (isForMachine && this.#address === undefined) {
			if (this.#waiting.length < MAX_WAITING) this.#waiting.push(frame);
			this.#port.send(arpQuestion(addressOf(frame, SENDER_AT), this.#addresses.own, this.#addresses.machine));
			return;
		}
		if (isForMachine && this.#address !== undefined) frame.set(this.#address);
		this.#port.send(frame);
	}

	#fromMachine(frame: Uint8Array): void {
		const { own, machine } = this.#addresses;
		const isQuestion = isArp(frame);
		if (!(isQuestion || isPacket(frame)) || !isIp(frame, isQuestion ? ARP_SENDER_AT : IPV4_SENDER_AT, machine)) return;
		const address = frame.slice(SENDER_AT, SENDER_AT + 6);
		this.#address = address;
		for (const waiting of this.#waiting.splice(0)) {
			waiting.set(address);
			this.#port.send(waiting);
		}
		// Another machine's address is that machine's to tell.
		if (!isQuestion) this.#sender.send(unpadded(frame));
		else if (isIp(frame, ARP_TARGET_AT, own)) this.#sender.send(frame);
	}
}

const SENDER_AT = 6;
const typeOf = (frame: Uint8Array): number => frame[12]! * 256 + frame[13]!;
const isPacket = (frame: Uint8Array): boolean => typeOf(frame) === IPV4 && frame.byteLength >= IPV4_BYTES;
const isArp = (frame: Uint8Array): boolean => typeOf(frame) === ARP && frame.byteLength >= ARP_BYTES;
const isIp = (frame: Uint8Array, at: number, ip: readonly number[]): boolean =>
	ip.every((part, index) => frame[at + index] === part);
/**
 * A packet without what fills its frame up to 60 bytes. Cards of metal, and v86's, add that; passt (2023-03-09) takes it for bytes of the TCP
 * segment, and never acknowledges the real ones: QEMU's virtio card, which adds none, hid that.
 */
function unpadded(frame: Uint8Array): Uint8Array {
	const packetBytes = frame[IPV4_LENGTH_AT]! * 256 + frame[IPV4_LENGTH_AT + 1]!;
	// Less than its header is no packet: passt may judge that itself.
	return packetBytes < IPV4_BYTES - HEADER_BYTES ? frame : frame.subarray(0, HEADER_BYTES + packetBytes);
}
const addressOf = (frame: Uint8Array, at: number): readonly number[] => [...frame.subarray(at, at + 6)];
