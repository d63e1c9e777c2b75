// The host's ends of what comes out of a v86 machine, made before it: its serial port and its network card.
import type { ReportError } from "../listeners.ts";
import type { V86Machine, V86Output } from "./machine.ts";
import { NetworkCard } from "./network-card.ts";
import { SerialPort } from "./serial-port.ts";

/** See the head of this file. */
export class Ends implements V86Output {
	#machine: V86Machine | undefined;
	#wake: () => void = () => undefined;
	#requireGuest: () => void = () => undefined;
	readonly serial: SerialPort;
	readonly network: NetworkCard;

	constructor(report: ReportError) {
		this.serial = new SerialPort(
			(bytes) => this.#machine?.sendSerial(bytes),
			report,
			() => this.#requireGuest(),
		);
		this.network = new NetworkCard(
			(frame) => this.#machine?.sendFrame(frame),
			() => this.#machine?.macAddress ?? "",
			report,
		);
	}

	onSerial(byte: number): void {
		this.serial.put(byte);
	}

	onFrame(frame: Uint8Array<ArrayBuffer>): void {
		this.network.put(frame);
	}

	onWake(): void {
		this.#wake();
	}

	/** What is to happen when an idle machine gets work. */
	set wake(wake: () => void) {
		this.#wake = wake;
	}

	/** What throws when there is no guest any more. */
	set requireGuest(requireGuest: () => void) {
		this.#requireGuest = requireGuest;
	}

	connect(machine: V86Machine): void {
		this.#machine = machine;
	}
}
