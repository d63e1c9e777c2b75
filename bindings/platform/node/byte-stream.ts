/**
 * Byte streams over TCP and unix-domain sockets by `node:net`.
 *
 * Reading: a little waits in an intake (intake.ts), then the socket is paused, so a reader that stalls stops the peer
 * through the system's own window. A reader that waits gets its bytes straight into its array.
 * Writing: all parts of a write leave in one `writev`.
 */
import type { Socket } from "node:net";
import type { ByteStream } from "../../ports/byte-stream.ts";
import type { LinkError } from "../../ports/link.ts";
import { streamAborted, streamClosed, streamLost } from "../stream-errors.ts";
import type { Intake } from "./intake.ts";

/** How long `close` reads on for the peer's end, in ms. Closing with bytes unread would reset the connection and could
 * take our own last bytes from the peer. Loopback answers within 1 ms if the peer reads at all. */
const LINGER_MS = 250;

/**
 * A connected socket. Where the port's contract leaves room: after the peer closed in order this side can still write;
 * calls after this side's own {@link close} reject with `closed`; a TCP peer of {@link abort} sees a reset.
 * A peer that is killed closes like one that calls `close`: telling the two apart is the protocol's work. `close` waits
 * for a peer that does not read what is queued; {@link abort} ends that.
 */
export class NodeByteStream implements ByteStream {
	readonly #socket: Socket;
	readonly #intake: Intake;
	/** Rejects the read that waits. */
	#rejectRead: ((error: LinkError) => void) | undefined;
	#peerEnded = false;
	#failure: LinkError | undefined;
	#closing: Promise<void> | undefined;

	/** @param socket - connected, half-open allowed, nobody else listens to it. @param intake - its own. */
	constructor(socket: Socket, intake: Intake) {
		this.#socket = socket;
		this.#intake = intake;
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

	readInto(target: Uint8Array, wantedBytes = 1): Promise<number> {
		if (target.byteLength === 0) return Promise.reject(new RangeError("target: must have room for at least one byte"));
		if (this.#rejectRead !== undefined) return Promise.reject(new TypeError("readInto: one read at a time"));
		if (this.#intake.queuedBytes > 0) return Promise.resolve(this.#intake.take(target));
		if (this.#failure?.code === "aborted") return Promise.reject(this.#failure);
		if (this.#closing !== undefined) return Promise.reject(streamClosed());
		if (this.#peerEnded) return Promise.resolve(0);
		if (this.#failure !== undefined) return Promise.reject(this.#failure);
		return new Promise((resolve, reject) => {
			this.#rejectRead = reject;
			this.#intake.wait(target, Math.min(wantedBytes, target.byteLength), (byteLength) => {
				this.#rejectRead = undefined;
				resolve(byteLength);
			});
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
		this.#stopReading(failure);
		if (this.#socket.destroyed) return;
		if (this.#canReset()) this.#socket.resetAndDestroy();
		else this.#socket.destroy();
	}

	/**
	 * Whether a reset can be sent: on TCP, and not while the end of the stream is leaving. The system refuses it then, and Node
	 * (20 to 24) forgets the socket without closing it: its file stays open, and `close` waits for it for ever.
	 */
	#canReset(): boolean {
		const isEndLeaving = this.#closing !== undefined && this.#socket.writableLength === 0;
		return this.#socket.remoteFamily !== undefined && !isEndLeaving;
	}

	#end(): void {
		this.#peerEnded = true;
		this.#intake.end();
	}

	#fail(error: LinkError): void {
		if (this.#closing !== undefined || this.#failure !== undefined) return;
		this.#failure = error;
		this.#rejectRead?.(error);
		this.#rejectRead = undefined;
	}

	#stopReading(error: LinkError): void {
		this.#intake.drop();
		this.#rejectRead?.(error);
		this.#rejectRead = undefined;
	}

	/** Our end of the stream goes out behind what is queued; then the peer's end is awaited for a while; then we let go. */
	#closeOnce(): Promise<void> {
		const socket = this.#socket;
		this.#stopReading(streamClosed());
		if (socket.destroyed) return Promise.resolve();
		return new Promise((resolve) => {
			let linger: ReturnType<typeof setTimeout> | undefined;
			socket.once("close", () => {
				clearTimeout(linger);
				resolve();
			});
			this.#intake.start();
			socket.end(() => {
				if (this.#peerEnded) socket.destroy();
				else if (!socket.destroyed) linger = setTimeout(() => socket.destroy(), LINGER_MS);
			});
		});
	}
}
