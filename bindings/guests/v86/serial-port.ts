// The first serial port of a v86 guest, seen from the host: text out, text in. Characters are bytes (ISO 8859-1).
import { type ReportError, tellListeners } from "../listeners.ts";

/** See the head of this file. */
export interface V86SerialPort {
	/**
	 * Types. A paused guest gets it as well: from then on it is part of its state, and is read wherever the guest goes on. A target
	 * gets it once it has its state.
	 * @throws {GuestError} `gone`, `crashed`: there is nobody here to read it
	 */
	write(text: string): void;
	/**
	 * What was typed in this pause after the guest's state had been captured, and is in no state: here the guest reads it when it goes
	 * on, and "" stands here again. After a move it is what the target has not got: type it there.
	 */
	readonly typedAfterCapture: string;
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
	#ready = false;
	/** Undefined while no state of this pause has been captured. */
	#afterCapture: string | undefined;
	readonly #requireGuest: () => void;

	/**
	 * @param send - gives bytes to the machine, between two of its steps
	 * @param report - takes what a listener throws
	 * @param requireGuest - throws when there is no guest any more
	 */
	constructor(send: (bytes: number[]) => void, report: ReportError, requireGuest: () => void) {
		this.#send = send;
		this.#report = report;
		this.#requireGuest = requireGuest;
	}

	get typedAfterCapture(): string {
		return this.#afterCapture ?? "";
	}

	write(text: string): void {
		this.#requireGuest();
		for (let index = 0; index < text.length; index++) this.#input.push(text.charCodeAt(index) & 0xff);
		if (this.#afterCapture !== undefined) this.#afterCapture += text;
		if (this.#ready) this.#pass();
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

	/** The machine has its state: what is typed is given to it, and nothing it is restored from puts something else in its place. */
	ready(): void {
		this.#ready = true;
		this.#pass();
	}

	/** The guest's state is being captured, with all that was typed up to now. */
	captured(): void {
		this.#afterCapture = "";
	}

	/** The guest goes on here, and reads all that was typed. */
	resumed(): void {
		this.#afterCapture = undefined;
	}

	#pass(): void {
		const bytes = this.#input;
		this.#input = [];
		if (bytes.length > 0) this.#send(bytes);
	}
}
