// The serial console of a QEMU machine: its lines are kept, the last of them, and given to whoever listens. Always read,
// because a machine whose console nobody reads stands still at its next character.
import type { ByteStream } from "../../ports/byte-stream.ts";
import { type ReportError, tellListeners } from "../listeners.ts";
import { textLines } from "./text-lines.ts";

/** Lines kept for whoever asks later. */
const KEPT_LINES = 500;

/**
 * See the head of this file.
 *
 * @example
 * ```ts ignore
 * const stop = guest.console.onLine((line) => console.log(line));
 * await guest.console.write("uptime\n");
 * ```
 */
export class QemuConsole {
	readonly #stream: ByteStream;
	readonly #report: ReportError;
	readonly #lines: string[] = [];
	readonly #listeners: Set<(line: string) => void> = new Set();
	readonly #textListeners: Set<(text: string) => void> = new Set();

	/** Made by the guest. @param report - takes what a listener throws */
	constructor(stream: ByteStream, report: ReportError) {
		this.#stream = stream;
		this.#report = report;
		void this.#read();
	}

	/** The last lines, oldest first. */
	get recent(): readonly string[] {
		return [...this.#lines];
	}

	/** Calls `listener` for each whole line from now on; see `onListenerError` for what it throws. @returns what ends that */
	onLine(listener: (line: string) => void): () => void {
		this.#listeners.add(listener);
		return () => this.#listeners.delete(listener);
	}

	/**
	 * Calls `listener` for all text from now on, as it comes. A move may cut a line in two: what the source's console ends with
	 * and what the target's begins with are one text.
	 * @returns what ends that
	 */
	onText(listener: (text: string) => void): () => void {
		this.#textListeners.add(listener);
		return () => this.#textListeners.delete(listener);
	}

	/** Types text into the machine. @throws {LinkError} when QEMU is gone */
	write(text: string): Promise<void> {
		return this.#stream.write([new TextEncoder().encode(text)]);
	}

	/** Lets go of the connection. */
	close(): void {
		this.#stream.abort("the guest was discarded");
	}

	async #read(): Promise<void> {
		try {
			for await (const line of textLines(this.#stream, (text) => this.#hear(text))) {
				this.#lines.push(line);
				if (this.#lines.length > KEPT_LINES) this.#lines.shift();
				tellListeners(this.#listeners, line, this.#report);
			}
		} catch {
			// QEMU is gone; its guest says so.
		}
	}

	#hear(text: string): void {
		tellListeners(this.#textListeners, text, this.#report);
	}
}
