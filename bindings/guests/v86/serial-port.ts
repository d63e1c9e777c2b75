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
	/** What the guest has written since the last flush. */
	#fresh: number[] = [];
	/** What no listener has got yet. */
	#kept = "";
	#watch: ((text: string) => void) | undefined;
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

	/**
	 * Hears what the guest writes from now on, a step's worth at a time; all of it is kept for the first listener as well. One at a time.
	 * @returns stops it
	 */
	watch(watcher: (text: string) => void): () => void {
		this.#watch = watcher;
		return () => {
			this.#watch = undefined;
		};
	}

	/** The guest writes a byte. */
	put(byte: number): void {
		this.#fresh.push(byte);
	}

	/** A step has ended: listeners get what came. */
	flush(): void {
		let fresh = "";
		for (const byte of this.#fresh) fresh += String.fromCharCode(byte);
		if (fresh !== "") this.#fresh = [];
		const text = this.#kept + fresh;
		const isHeard = this.#listeners.size > 0;
		this.#kept = isHeard ? "" : text.slice(-KEPT_BYTES);
		if (fresh !== "") this.#watch?.(fresh);
		if (isHeard && text !== "") tellListeners(this.#listeners, text, this.#report);
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
