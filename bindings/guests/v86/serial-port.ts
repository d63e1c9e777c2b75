// The first serial port of a v86 guest, seen from the host: text out, text in. Characters are bytes (ISO 8859-1).
import { type ReportError, tellListeners } from "../listeners.ts";

/** See the head of this file. */
export interface V86SerialPort {
	/** Types; while the guest is paused it is kept until the guest runs. */
	write(text: string): void;
	/**
	 * What the guest writes before anybody listens is kept for the first listener: the last {@link KEPT_BYTES}.
	 * @param listener - gets what the guest has written, a step's worth at a time, after the step. What it throws goes to
	 * `onListenerError`.
	 * @returns stops listening
	 */
	listen(listener: (text: string) => void): () => void;
}

/** 64 Ki characters: a boot's messages, several times over. */
const KEPT_BYTES = 65_536;

/** The host's end of a serial port. */
export class SerialPort implements V86SerialPort {
	readonly #send: (bytes: number[]) => void;
	readonly #report: ReportError;
	readonly #listeners = new Set<(text: string) => void>();
	#output: number[] = [];
	#input: number[] = [];
	#open = false;

	/**
	 * @param send - gives bytes to the running machine
	 * @param report - takes what a listener throws
	 */
	constructor(send: (bytes: number[]) => void, report: ReportError) {
		this.#send = send;
		this.#report = report;
	}

	write(text: string): void {
		for (let index = 0; index < text.length; index++) this.#input.push(text.charCodeAt(index) & 0xff);
		if (this.#open) this.#pass();
	}

	listen(listener: (text: string) => void): () => void {
		this.#listeners.add(listener);
		this.flush();
		return () => this.#listeners.delete(listener);
	}

	/** The guest writes a byte. */
	put(byte: number): void {
		this.#output.push(byte);
	}

	/** A step has ended: listeners get what came. */
	flush(): void {
		if (this.#listeners.size === 0) {
			if (this.#output.length > KEPT_BYTES) this.#output.splice(0, this.#output.length - KEPT_BYTES);
			return;
		}
		if (this.#output.length === 0) return;
		let text = "";
		for (const byte of this.#output) text += String.fromCharCode(byte);
		this.#output = [];
		tellListeners(this.#listeners, text, this.#report);
	}

	/** Whether the guest runs, and input can be given to it. */
	set open(open: boolean) {
		this.#open = open;
		if (open) this.#pass();
	}

	#pass(): void {
		const bytes = this.#input;
		this.#input = [];
		if (bytes.length > 0) this.#send(bytes);
	}
}
