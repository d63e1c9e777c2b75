/**
 * Byte streams over TCP and unix-domain sockets by Deno's own sockets.
 *
 * Reading: a large target is read into directly, without a copy; small ones are served from a buffer, because each read
 * of the system costs a turn of Deno's event loop.
 * Writing: Deno has no `writev`. Small parts are put together, with the beginning of the large part behind them, and the
 * rest of a large part is written as it is.
 */
import type { ByteStream } from "../../ports/byte-stream.ts";
import type { LinkError } from "../../ports/link.ts";
import { streamAborted, streamClosed, streamLost } from "../stream-errors.ts";

/** Small reads are served from, and small writes gathered in, a buffer of this size. */
const BUFFER_BYTES = 64 * 1024;
/** From here on a read goes straight into its target: the copy would cost more than the call it saves. */
const DIRECT_READ_BYTES = 32 * 1024;
/** As on Node: how long `close` reads on for the peer's end, in ms, before it lets go. */
const LINGER_MS = 250;

/**
 * A connected socket. Where the port's contract leaves room: after the peer closed in order this side can still write;
 * calls after this side's own {@link close} reject with `closed`. Deno cannot reset a connection: the peer of
 * {@link abort} may see an orderly end (like that of a peer that is killed): telling the two apart is the protocol's
 * work. `close` waits for a peer that does not read what is queued; {@link abort} ends that.
 */
export class DenoByteStream implements ByteStream {
	readonly #conn: Deno.Conn;
	/** Bytes read but not asked for yet are `#readBuffer[#readStart … #readEnd)`. */
	#readBuffer: Uint8Array | undefined;
	#readStart = 0;
	#readEnd = 0;
	#peerEnded = false;
	#reading: Promise<number> | undefined;
	#writeBuffer: Uint8Array | undefined;
	#lastWrite: Promise<void> = Promise.resolve();
	#failure: LinkError | undefined;
	#closing: Promise<void> | undefined;

	/** @param conn - connected; nobody else reads or writes it. */
	constructor(conn: Deno.Conn) {
		this.#conn = conn;
	}

	write(parts: readonly Uint8Array[]): Promise<void> {
		const problem = this.#failure ?? (this.#closing === undefined ? undefined : streamClosed());
		if (problem !== undefined) return Promise.reject(problem);
		const written = this.#lastWrite.then(() => this.#writeAll(parts));
		this.#lastWrite = written.catch(() => {}); // the writer itself sees it, and the next one finds #failure
		return written;
	}

	readInto(target: Uint8Array): Promise<number> {
		if (target.byteLength === 0) return Promise.reject(new RangeError("target: must have room for at least one byte"));
		if (this.#failure?.code === "aborted") return Promise.reject(this.#failure);
		if (this.#closing !== undefined) return Promise.reject(streamClosed());
		if (this.#reading !== undefined) return Promise.reject(new TypeError("readInto: one read at a time"));
		if (this.#readEnd > this.#readStart) return Promise.resolve(this.#takeBuffered(target));
		if (this.#peerEnded) return Promise.resolve(0);
		if (this.#failure !== undefined) return Promise.reject(this.#failure);
		const reading = this.#read(target);
		this.#reading = reading;
		return reading;
	}

	close(): Promise<void> {
		this.#closing ??= this.#closeOnce();
		return this.#closing;
	}

	abort(reason: unknown): void {
		if (this.#failure?.code === "aborted") return;
		this.#failure = streamAborted(reason);
		this.#readStart = this.#readEnd;
		this.#release();
	}

	/** Reads once from the system. A pending read ends with the socket: `abort` and `close` let go of it. */
	async #read(target: Uint8Array): Promise<number> {
		const isDirect = target.byteLength >= DIRECT_READ_BYTES;
		if (!isDirect) this.#readBuffer ??= new Uint8Array(BUFFER_BYTES);
		const into = isDirect || this.#readBuffer === undefined ? target : this.#readBuffer;
		try {
			const byteLength = await this.#conn.read(into);
			if (this.#failure !== undefined) throw this.#failure;
			if (this.#closing !== undefined) throw streamClosed();
			if (byteLength === null) {
				this.#peerEnded = true;
				return 0;
			}
			if (into === target) return byteLength;
			this.#readStart = 0;
			this.#readEnd = byteLength;
			return this.#takeBuffered(target);
		} catch (error) {
			throw this.#closing === undefined ? this.#explain(error) : (this.#failure ?? streamClosed());
		} finally {
			this.#reading = undefined;
		}
	}

	#takeBuffered(target: Uint8Array): number {
		const byteLength = Math.min(target.byteLength, this.#readEnd - this.#readStart);
		const from = this.#readStart;
		this.#readStart += byteLength;
		if (this.#readBuffer !== undefined) target.set(this.#readBuffer.subarray(from, from + byteLength));
		return byteLength;
	}

	async #writeAll(parts: readonly Uint8Array[]): Promise<void> {
		try {
			let filled = 0;
			for (const part of parts) {
				let at = 0;
				while (at < part.byteLength) {
					if (filled === 0 && part.byteLength - at >= BUFFER_BYTES) {
						at += await this.#conn.write(part.subarray(at));
						continue;
					}
					const taken = this.#gather(part, at, filled);
					at += taken;
					filled = await this.#writeIfFull(filled + taken);
				}
			}
			if (filled > 0) await this.#writeGathered(filled);
		} catch (error) {
			throw this.#explain(error);
		}
	}

	/** Puts what fits of `part` behind the `filled` bytes of the write buffer. @returns how much that is, in bytes. */
	#gather(part: Uint8Array, from: number, filled: number): number {
		this.#writeBuffer ??= new Uint8Array(BUFFER_BYTES);
		const taken = Math.min(part.byteLength - from, BUFFER_BYTES - filled);
		this.#writeBuffer.set(part.subarray(from, from + taken), filled);
		return taken;
	}

	/** @returns how full the write buffer is afterwards, in bytes. */
	async #writeIfFull(filled: number): Promise<number> {
		if (filled < BUFFER_BYTES) return filled;
		await this.#writeGathered(filled);
		return 0;
	}

	async #writeGathered(filled: number): Promise<void> {
		for (let at = 0; at < filled && this.#writeBuffer !== undefined; )
			at += await this.#conn.write(this.#writeBuffer.subarray(at, filled));
	}

	/** Makes the system's error ours. The socket's own failure is kept: nothing works on it afterwards. */
	#explain(error: unknown): LinkError {
		if (this.#failure !== undefined) return this.#failure;
		this.#failure = streamLost(error);
		this.#release();
		return this.#failure;
	}

	/** Our end of the stream goes out behind what is queued; then the peer's end is awaited for a while; then we let go. */
	async #closeOnce(): Promise<void> {
		this.#readStart = this.#readEnd;
		if (this.#failure !== undefined) return;
		await this.#lastWrite;
		const linger = setTimeout(() => this.#release(), LINGER_MS);
		try {
			await this.#conn.closeWrite();
			// A read that was pending counts as the first of these; its caller gets `closed`.
			await this.#reading?.catch(() => {}); // the reader sees it
			const discarded = new Uint8Array(BUFFER_BYTES);
			while (!this.#peerEnded && (await this.#conn.read(discarded)) !== null);
		} catch {
			// The peer is gone already, or the time is up: there is nobody left to be orderly with.
		} finally {
			clearTimeout(linger);
			this.#release();
		}
	}

	#release(): void {
		try {
			this.#conn.close();
		} catch {
			// Closed before: releasing twice is fine.
		}
	}
}
