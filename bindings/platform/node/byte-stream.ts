/**
 * Byte streams over TCP and unix-domain sockets by `node:net`.
 *
 * Reading: chunks as Node delivers them wait in a small queue; at {@link QUEUE_BYTES} the socket is paused, so a reader
 * that stalls stops the peer through the system's own window. A waiting reader gets its bytes copied once, from Node's
 * chunk to its buffer.
 * Writing: all parts of a write leave in one `writev`.
 */
import type { Socket } from "node:net";
import type { ByteStream } from "../../ports/byte-stream.ts";
import type { LinkError } from "../../ports/link.ts";
import { streamAborted, streamClosed, streamLost } from "../stream-errors.ts";

/** Bytes that wait for a reader before the socket is paused: four of Node's 64 KiB chunks. */
const QUEUE_BYTES = 256 * 1024;
/** The socket is resumed when the queue is down to this, early enough that it need not run dry. */
const RESUME_BYTES = QUEUE_BYTES / 2;
/** How long `close` reads on for the peer's end, in ms. Closing with bytes unread would reset the connection and could
 * take our own last bytes from the peer. Loopback answers within 1 ms if the peer reads at all. */
const LINGER_MS = 250;

interface Reader {
	readonly target: Uint8Array;
	readonly resolve: (byteLength: number) => void;
	readonly reject: (error: LinkError) => void;
}

/**
 * A connected socket. Where the port's contract leaves room: after the peer closed in order this side can still write;
 * calls after this side's own {@link close} reject with `closed`; a TCP peer of {@link abort} sees a reset.
 * A peer that is killed closes like one that calls `close`: telling the two apart is the protocol's work. `close` waits
 * for a peer that does not read what is queued; {@link abort} ends that.
 */
export class NodeByteStream implements ByteStream {
	readonly #socket: Socket;
	readonly #chunks: Uint8Array[] = [];
	#queuedBytes = 0;
	#reader: Reader | undefined;
	#isReading = false;
	#peerEnded = false;
	#failure: LinkError | undefined;
	#closing: Promise<void> | undefined;

	/** @param socket - connected, half-open allowed, nobody else listens to it. */
	constructor(socket: Socket) {
		this.#socket = socket;
		socket.on("error", (error) => this.#fail(streamLost(error)));
		socket.on("end", () => this.#end());
		socket.on("close", () => {
			if (!this.#peerEnded) this.#fail(streamLost("the socket was closed"));
		});
	}

	write(parts: readonly Uint8Array[]): Promise<void> {
		const problem = this.#failure ?? (this.#closing === undefined ? undefined : streamClosed());
		if (problem !== undefined) return Promise.reject(problem);
		return new Promise((resolve, reject) => {
			const done = (error?: Error | null) => {
				// A socket that is destroyed calls back without an error for what the system had already taken.
				if (this.#failure !== undefined) reject(this.#failure);
				else if (error) reject(streamLost(error));
				else resolve();
			};
			const last = parts.length - 1;
			if (last < 0) return done();
			this.#socket.cork();
			for (const [index, part] of parts.entries()) this.#socket.write(part, index === last ? done : undefined);
			this.#socket.uncork();
		});
	}

	readInto(target: Uint8Array): Promise<number> {
		if (target.byteLength === 0) return Promise.reject(new RangeError("target: must have room for at least one byte"));
		if (this.#reader !== undefined) return Promise.reject(new TypeError("readInto: one read at a time"));
		if (this.#queuedBytes > 0) return Promise.resolve(this.#take(target));
		if (this.#failure?.code === "aborted") return Promise.reject(this.#failure);
		if (this.#closing !== undefined) return Promise.reject(streamClosed());
		if (this.#peerEnded) return Promise.resolve(0);
		if (this.#failure !== undefined) return Promise.reject(this.#failure);
		return new Promise((resolve, reject) => {
			this.#reader = { target, resolve, reject };
			this.#startReading();
		});
	}

	close(): Promise<void> {
		this.#closing ??= this.#closeOnce();
		return this.#closing;
	}

	abort(reason: unknown): void {
		if (this.#failure?.code === "aborted") return;
		const failure = streamAborted(reason);
		this.#failure = failure;
		this.#dropQueue();
		this.#settleReader((reader) => reader.reject(failure));
		if (this.#socket.destroyed) return;
		if (this.#socket.remoteFamily === undefined) this.#socket.destroy();
		else this.#socket.resetAndDestroy();
	}

	/** Reading starts with the first reader, so that a stream nobody takes holds no memory. */
	#startReading(): void {
		if (this.#isReading) return;
		this.#isReading = true;
		this.#socket.on("data", (chunk: Uint8Array) => this.#receive(chunk));
	}

	#receive(chunk: Uint8Array): void {
		if (this.#closing !== undefined || this.#failure !== undefined) return;
		this.#chunks.push(chunk);
		this.#queuedBytes += chunk.byteLength;
		this.#settleReader((reader) => reader.resolve(this.#take(reader.target)));
		if (this.#queuedBytes >= QUEUE_BYTES) this.#socket.pause();
	}

	/** Moves queued bytes into `target`, as many as there are and fit. */
	#take(target: Uint8Array): number {
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
		this.#queuedBytes -= filled;
		if (this.#queuedBytes <= RESUME_BYTES && this.#socket.isPaused()) this.#socket.resume();
		return filled;
	}

	#settleReader(settle: (reader: Reader) => void): void {
		const reader = this.#reader;
		if (reader === undefined) return;
		this.#reader = undefined;
		settle(reader);
	}

	#end(): void {
		this.#peerEnded = true;
		this.#settleReader((reader) => reader.resolve(0));
	}

	#fail(error: LinkError): void {
		if (this.#closing !== undefined || this.#failure !== undefined) return;
		this.#failure = error;
		this.#settleReader((reader) => reader.reject(error));
	}

	#dropQueue(): void {
		this.#chunks.length = 0;
		this.#queuedBytes = 0;
	}

	/** Our end of the stream goes out behind what is queued; then the peer's end is awaited for a while; then we let go. */
	#closeOnce(): Promise<void> {
		const socket = this.#socket;
		this.#dropQueue();
		this.#settleReader((reader) => reader.reject(streamClosed()));
		if (socket.destroyed) return Promise.resolve();
		return new Promise((resolve) => {
			let linger: ReturnType<typeof setTimeout> | undefined;
			socket.once("close", () => {
				clearTimeout(linger);
				resolve();
			});
			this.#startReading();
			socket.resume();
			socket.end(() => {
				if (this.#peerEnded) socket.destroy();
				else if (!socket.destroyed) linger = setTimeout(() => socket.destroy(), LINGER_MS);
			});
		});
	}
}
