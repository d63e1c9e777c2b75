/** One direction of a simulated stream: send buffer, wire, latency, receive buffer. See `simulated-stream.ts`. */
import { type ByteFault, ByteFaults } from "./stream-faults.ts";
import type { Scheduled, VirtualClock } from "./virtual-clock.ts";

/** What a direction is made of. */
export interface WireOptions {
	/** Modelled bytes per ms; Infinity by default. 117000 is gigabit Ethernet after its overhead. */
	readonly rateBytesPerMs: number;
	/** From the last byte sent to its arrival, in ms; 0 by default. */
	readonly latencyMs: number;
	/** Modelled bytes of the send buffer and of the receive buffer, each; what is under way comes on top; 256 KiB by default. */
	readonly bufferBytes: number;
}

/** What one call wrote; `undefined` bytes are the end of the stream. */
interface Piece {
	readonly bytes: Uint8Array<ArrayBuffer> | undefined;
	readonly modelledByteLength: number;
	readonly onSent: (() => void) | undefined;
}

/** See the head of this file. */
export class SimulatedDirection {
	/** Bytes written so far. */
	writtenBytes = 0;
	/** Called when something has arrived, or never will. */
	onArrival: () => void = () => undefined;
	/** Called when the send buffer has more room. */
	onSent: () => void = () => undefined;
	readonly #clock: VirtualClock;
	readonly #options: WireOptions;
	readonly #faults: ByteFaults;
	#sending: Piece[] = [];
	readonly #travelling = new Set<Scheduled>();
	/** Arrivals that a block holds up. */
	#late: (() => void)[] = [];
	#arrived: { bytes: Uint8Array<ArrayBuffer>; readonly modelledByteLength: number }[] = [];
	#sendingBytes = 0;
	/** Modelled bytes that have arrived and are unread. What is under way does not count: sockets tune their buffers to it. */
	#unreadBytes = 0;
	#onWire = false;
	#blocks = 0;
	#endArrived = false;
	#resetArrived = false;
	#gone = false;
	#discarding = false;

	constructor(clock: VirtualClock, options: WireOptions, byteFaults: readonly ByteFault[]) {
		this.#clock = clock;
		this.#options = options;
		this.#faults = new ByteFaults(byteFaults);
	}

	/** Whether the writer has to wait. */
	get bufferIsFull(): boolean {
		return this.#sendingBytes > this.#options.bufferBytes;
	}

	/** Whether the writer has closed in order, and everything before that has arrived. */
	get endArrived(): boolean {
		return this.#endArrived;
	}

	/** Whether the writer has dropped the stream. */
	get resetArrived(): boolean {
		return this.#resetArrived;
	}

	/** Queues bytes. */
	send(bytes: Uint8Array<ArrayBuffer>, modelledByteLength: number): void {
		this.writtenBytes += bytes.byteLength;
		this.#sendingBytes += modelledByteLength;
		this.#sending.push({ bytes, modelledByteLength, onSent: undefined });
		this.#transmit();
	}

	/** Queues the end of the stream. `onSent` is called when it has left, or never will. */
	sendEnd(onSent: () => void): void {
		this.#sending.push({ bytes: undefined, modelledByteLength: 0, onSent });
		if (this.#gone) onSent();
		else this.#transmit();
	}

	/** The writer has dropped the stream: what is under way is gone, and the reader hears of it. */
	reset(): void {
		this.drop();
		this.#schedule(this.#options.latencyMs, () => {
			this.#resetArrived = true;
			this.onArrival();
		});
	}

	/** What has not arrived never will; what has arrived can still be read. */
	drop(): void {
		this.#gone = true;
		for (const piece of this.#sending.splice(0)) piece.onSent?.();
		for (const event of this.#travelling) event.cancel();
		this.#travelling.clear();
		this.#late = [];
	}

	/** Nobody reads any more: what arrives is thrown away, so that the writer does not wait. */
	discard(): void {
		this.#discarding = true;
		this.#unreadBytes = 0;
		this.#arrived = [];
		this.#transmit();
	}

	/** Nothing arrives, and nothing more starts to travel, until as many {@link unblock}. */
	block(): void {
		this.#blocks++;
	}

	unblock(): void {
		if (--this.#blocks > 0) return;
		for (const arrival of this.#late.splice(0)) arrival();
		this.#transmit();
	}

	/** Takes unread bytes; `undefined` if nothing is there. */
	read(target: Uint8Array): number | undefined {
		const piece = this.#arrived[0];
		if (piece === undefined) return undefined;
		const count = Math.min(piece.bytes.byteLength, target.byteLength);
		target.set(piece.bytes.subarray(0, count));
		piece.bytes = piece.bytes.subarray(count);
		if (piece.bytes.byteLength === 0) {
			this.#arrived.shift();
			this.#unreadBytes -= piece.modelledByteLength;
			this.#transmit();
		}
		return count;
	}

	#transmit(): void {
		const piece = this.#sending[0];
		if (piece === undefined || this.#onWire || this.#blocks > 0 || this.#gone) return;
		if (this.#unreadBytes > this.#options.bufferBytes) return;
		this.#onWire = true;
		const transmission = this.#clock.schedule(piece.modelledByteLength / this.#options.rateBytesPerMs, () => {
			this.#travelling.delete(transmission);
			this.#onWire = false;
			this.#sending.shift();
			this.#sendingBytes -= piece.modelledByteLength;
			this.#schedule(this.#options.latencyMs, () => this.#arrive(piece));
			this.#transmit();
			piece.onSent?.();
			this.onSent();
		});
		this.#travelling.add(transmission);
	}

	/** Something reaches the other side after a while, or after the block that is there by then. */
	#schedule(durationMs: number, arrival: () => void): void {
		const event = this.#clock.schedule(durationMs, () => {
			this.#travelling.delete(event);
			if (this.#blocks > 0) this.#late.push(arrival);
			else arrival();
		});
		this.#travelling.add(event);
	}

	#arrive(piece: Piece): void {
		const bytes = piece.bytes === undefined ? this.#faults.flush() : this.#faults.pass(piece.bytes);
		if (!this.#discarding && !this.#endArrived && bytes.byteLength > 0) {
			this.#arrived.push({ bytes, modelledByteLength: piece.modelledByteLength });
			this.#unreadBytes += piece.modelledByteLength;
		}
		if (piece.bytes === undefined || this.#faults.ended) this.#endArrived = true;
		this.onArrival();
	}
}
