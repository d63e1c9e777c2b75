// The connection of a machine's network card, and who takes its frames.
//
//   open ── the machine first runs ──▶ connected
//
// Invariants: a machine takes a port when it runs, never before: a standby, or a target whose move may still fail, does not cut
// off the machine that runs at the same port. What QEMU sends meanwhile (a target announces itself when its state is loaded)
// waits in the connection. Two machines that run never share a port: the second is refused, because a port would drop the first.
// One that is paused while another runs at its port has lost its connection for good, as QEMU 7.2 makes no second one.
import type { ByteStream } from "../../ports/byte-stream.ts";
import { type ReportError, tellListeners } from "../listeners.ts";
import { QemuError } from "./errors.ts";

/**
 * Takes the frames of a machine's network card: length (u32, big-endian) and frame, both ways. It is called when the machine
 * first runs, and is for one machine at a time: another may run with it only when the one before is paused or gone.
 */
export type QemuNetwork = (stream: ByteStream) => void;

/** Whose turn it is, for networks of this process. */
const holders: WeakMap<QemuNetwork, NetworkCard> = new WeakMap();

/** See the head of this file. */
export class NetworkCard {
	readonly #stream: ByteStream;
	readonly #networkOf: () => QemuNetwork;
	readonly #report: ReportError;
	#network: QemuNetwork | undefined;
	#isRunning: () => boolean = () => false;
	#isClaimed = false;
	#isConnected = false;

	/**
	 * @param networkOf - is asked once, when the machine is about to run for the first time
	 * @param report - takes what the network throws when it is given the connection: the machine runs by then
	 */
	constructor(stream: ByteStream, networkOf: () => QemuNetwork, report: ReportError) {
		this.#stream = stream;
		this.#networkOf = networkOf;
		this.#report = report;
	}

	/**
	 * The machine is about to run; {@link unclaim} when it does, or will not after all.
	 * @throws {QemuError} `network-taken`
	 */
	claim(isRunning: () => boolean): void {
		this.#network ??= this.#networkOf();
		const holder = holders.get(this.#network);
		if (holder !== undefined && holder !== this && holder.#isUsed)
			throw new QemuError(
				"network-taken",
				"another machine runs with the same network: discard or pause it, or give each its own (a factory's `networks`)",
			);
		this.#isRunning = isRunning;
		this.#isClaimed = true;
		holders.set(this.#network, this);
	}

	/** See {@link claim}. */
	unclaim(): void {
		this.#isClaimed = false;
	}

	/** The machine runs. */
	connect(): void {
		if (this.#isConnected) return;
		this.#isConnected = true;
		this.#network ??= this.#networkOf(); // told to run past us
		tellListeners([this.#network], this.#stream, this.#report);
	}

	get #isUsed(): boolean {
		return this.#isClaimed || this.#isRunning();
	}
}
