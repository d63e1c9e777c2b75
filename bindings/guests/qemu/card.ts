// The connection of a machine's network card, and who takes its frames.
//
//   open ── the machine first runs ──▶ connected
//
// Invariants: a machine takes a port when it runs, never before: a standby, or a target whose move may still fail, does not cut
// off the machine that runs at the same port. What QEMU sends meanwhile (a target announces itself when its state is loaded)
// waits in the connection. Two machines that run never share a port: the second is refused, because a port would drop the first.
import type { ByteStream } from "../../ports/byte-stream.ts";
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
	#network: QemuNetwork | undefined;
	#isRunning: () => boolean = () => false;
	#isClaimed = false;
	#isConnected = false;

	/** @param networkOf - is asked once, when the machine is about to run for the first time */
	constructor(stream: ByteStream, networkOf: () => QemuNetwork) {
		this.#stream = stream;
		this.#networkOf = networkOf;
	}

	/**
	 * The machine is about to run; {@link unclaim} when it does, or will not after all.
	 * @throws {QemuError} `network-taken`
	 */
	claim(isRunning: () => boolean): void {
		this.#network ??= this.#networkOf();
		const holder = holders.get(this.#network);
		const isTaken = holder !== undefined && holder !== this && holder.#isUsed;
		// One that has run before has had its connection: what has become of it is not decided here.
		if (isTaken && !this.#isConnected)
			throw new QemuError(
				"network-taken",
				"another machine runs with the same network: discard or pause it, or give each its own (a factory's `networks`)",
			);
		this.#isRunning = isRunning;
		this.#isClaimed = true;
		if (!isTaken) holders.set(this.#network, this);
	}

	/** See {@link claim}. */
	unclaim(): void {
		this.#isClaimed = false;
	}

	/** The machine runs. */
	connect(): void {
		if (this.#isConnected) return;
		this.#isConnected = true;
		this.#network?.(this.#stream);
	}

	get #isUsed(): boolean {
		return this.#isClaimed || this.#isRunning();
	}
}
