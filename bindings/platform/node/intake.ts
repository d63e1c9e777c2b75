/**
 * What a socket has received and nobody has read yet, in two ways:
 *
 *   DirectIntake   Node reads into the reader's own array where one waits, else into a small array of its own. A receiver of
 *                  256 MiB then takes 75 ms of CPU instead of 110: no chunk is allocated, none is copied.
 *   ChunkIntake    chunks as Node's `data` events deliver them wait in a queue and are copied once.
 *
 * Reading directly is the option `onread` of `net.connect`. Sockets of a server have no such option, but the constructor
 * of `Socket` takes it beside an open handle: {@link readDirectly} moves the handle. Where a Node has no such handle any
 * more, the socket stays as it is.
 */
import { type OnReadOpts, Socket, type SocketConstructorOpts } from "node:net";

/** Bytes that wait for a reader before the socket is paused: four of Node's 64 KiB chunks. */
const QUEUE_BYTES = 256 * 1024;
/** The socket is resumed when the queue is down to this, early enough that it need not run dry. */
const RESUME_BYTES = QUEUE_BYTES / 2;
/**
 * What a direct intake reads ahead: dozens of control records. Twice this is copied of each large payload, since a reader
 * comes a turn after its bytes.
 */
const AHEAD_BYTES = 32 * 1024;

/** Somebody who waits for bytes. */
interface Reader {
	readonly target: Uint8Array;
	/** It wants no fewer, unless the stream ends. */
	readonly wantedBytes: number;
	readonly done: (byteLength: number) => void;
	filled: number;
}

/** See the head of this file. */
export interface Intake {
	/** Bytes that can be taken at once. */
	readonly queuedBytes: number;
	/** Reads from the socket from here on, if it does not already. */
	start(): void;
	/** Moves queued bytes into `target`, as many as there are and fit. */
	take(target: Uint8Array): number;
	/** Calls `done` once with what has come into `target`: at least one byte, and `wantedBytes` if it can wait for them. */
	wait(target: Uint8Array, wantedBytes: number, done: (byteLength: number) => void): void;
	/** The peer has ended: nobody need wait any longer. */
	end(): void;
	/** Drops what is queued, and everything that still comes; nobody waits any longer. */
	drop(): void;
}

/** See the head of this file. */
export class ChunkIntake implements Intake {
	readonly #socket: Socket;
	readonly #chunks: Uint8Array[] = [];
	#reader: Reader | undefined;
	#isReading = false;
	#dropped = false;
	queuedBytes = 0;

	constructor(socket: Socket) {
		this.#socket = socket;
	}

	/** Reading starts with the first reader, so that a stream nobody takes holds no memory. */
	start(): void {
		if (!this.#isReading) this.#socket.on("data", (chunk: Uint8Array) => this.#receive(chunk));
		this.#isReading = true;
		// It may have been paused with a full queue that was dropped since.
		this.#socket.resume();
	}

	take(target: Uint8Array): number {
		let filled = 0;
		for (let chunk = this.#chunks[0]; chunk !== undefined && filled < target.byteLength; chunk = this.#chunks[0]) {
			const room = target.byteLength - filled;
			if (chunk.byteLength <= room) {
				target.set(chunk, filled);
				filled += chunk.byteLength;
				this.#chunks.shift();
			} else {
				target.set(chunk.subarray(0, room), filled);
				filled += room;
				this.#chunks[0] = chunk.subarray(room);
			}
		}
		this.queuedBytes -= filled;
		if (this.queuedBytes <= RESUME_BYTES && this.#socket.isPaused()) this.#socket.resume();
		return filled;
	}

	wait(target: Uint8Array, wantedBytes: number, done: (byteLength: number) => void): void {
		this.#reader = { target, wantedBytes, done, filled: 0 };
		this.start();
	}

	end(): void {
		const reader = this.#reader;
		this.#reader = undefined;
		reader?.done(0);
	}

	drop(): void {
		this.#dropped = true;
		this.#reader = undefined;
		this.#chunks.length = 0;
		this.queuedBytes = 0;
	}

	#receive(chunk: Uint8Array): void {
		if (this.#dropped) return;
		this.#chunks.push(chunk);
		this.queuedBytes += chunk.byteLength;
		const reader = this.#reader;
		this.#reader = undefined;
		reader?.done(this.take(reader.target));
		if (this.queuedBytes >= QUEUE_BYTES) this.#socket.pause();
	}
}

/** See the head of this file. */
export class DirectIntake implements Intake {
	readonly #ahead = new Uint8Array(AHEAD_BYTES);
	/** Read ahead and not taken. */
	#start = 0;
	#end = 0;
	#reader: Reader | undefined;
	#socket: Socket | undefined;
	/** Where Node reads to: the reader's target, or ahead. */
	#isDirect = false;
	/** Node is to be told to read: it has not begun, or was stopped because nobody took what it had read. */
	#isStopped = true;
	#dropped = false;
	/** For `net.connect`, or {@link readDirectly}. */
	readonly onread: OnReadOpts = {
		buffer: () => this.#nextBuffer(),
		callback: (byteLength) => this.#receive(byteLength),
	};

	get queuedBytes(): number {
		return this.#end - this.#start;
	}

	/** The socket that was made with {@link onread}. */
	attach(socket: Socket): this {
		this.#socket = socket;
		return this;
	}

	start(): void {
		if (!this.#isStopped) return;
		this.#isStopped = false;
		this.#socket?.resume();
	}

	take(target: Uint8Array): number {
		const filled = Math.min(target.byteLength, this.queuedBytes);
		target.set(this.#ahead.subarray(this.#start, this.#start + filled));
		this.#start += filled;
		return filled;
	}

	wait(target: Uint8Array, wantedBytes: number, done: (byteLength: number) => void): void {
		this.#reader = { target, wantedBytes, done, filled: 0 };
		this.start();
	}

	end(): void {
		const reader = this.#reader;
		this.#reader = undefined;
		reader?.done(reader.filled);
	}

	drop(): void {
		this.#dropped = true;
		this.#reader = undefined;
		this.#start = 0;
		this.#end = 0;
	}

	#nextBuffer(): Uint8Array {
		const reader = this.#reader;
		this.#isDirect = reader !== undefined;
		return reader === undefined ? this.#ahead : reader.target.subarray(reader.filled);
	}

	/** @returns whether Node goes on reading */
	#receive(byteLength: number): boolean {
		if (this.#dropped) return true;
		const reader = this.#reader;
		if (this.#isDirect && reader !== undefined) reader.filled += byteLength;
		else {
			// Node had the array before anybody waited, and reads there only when all of it has been taken.
			this.#start = 0;
			this.#end = byteLength;
			if (reader !== undefined) reader.filled += this.take(reader.target.subarray(reader.filled));
		}
		if (reader !== undefined && reader.filled >= reader.wantedBytes) {
			this.#reader = undefined;
			reader.done(reader.filled);
		}
		this.#isStopped = this.queuedBytes > 0;
		return !this.#isStopped;
	}
}

/** The part of a socket's handle that is looked at. */
interface Handled {
	_handle: { readonly useUserBuffer?: unknown } | null;
}

/**
 * Moves an accepted socket's connection to a socket that reads directly. Nothing may have been read from it.
 * @returns the socket to use from here on: the same one where this Node cannot.
 */
export function readDirectly(socket: Socket): { readonly socket: Socket; readonly intake: Intake } {
	// allowed (cast): Node's own field, which its types leave out
	const handled = socket as unknown as Handled;
	const handle = handled._handle;
	if (handle === null || typeof handle?.useUserBuffer !== "function")
		return { socket, intake: new ChunkIntake(socket) };
	const intake = new DirectIntake();
	handled._handle = null;
	socket.destroy(); // of what is left: its server counts it
	const options = { handle, onread: intake.onread, allowHalfOpen: socket.allowHalfOpen, pauseOnCreate: true };
	// allowed (cast): `handle` and `pauseOnCreate` are what Node's server itself passes
	const direct = new Socket(options as SocketConstructorOpts);
	return { socket: direct, intake: intake.attach(direct) };
}
