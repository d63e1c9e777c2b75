/**
 * A link over any byte stream: frames, lanes and credits. `docs/protocol.md` is normative.
 *
 *   opening ── peer's preface ──▶ open ── close() or the peer's end record ──▶ closed
 *      └───────────┬───────────────┘
 *                  └── stream gone: lost · invalid bytes: corrupt · abort(): aborted · no common version
 *
 * Closing is a handshake of end records: so an orderly end cannot be confused with a dead peer, whose system closes its
 * sockets just as well, and everything sent has arrived when `close` resolves.
 *
 * There are no timers here: every operation has its own deadlines and drops the link with `abort` when one passes.
 */
import type { ByteStream } from "../ports/byte-stream.ts";
import {
	type IncomingFrame,
	type Lane,
	type Link,
	LinkError,
	type LinkTraffic,
	type OutgoingFrame,
} from "../ports/link.ts";
import { FRAME_HEADER_BYTES, type FrameHeader, type Hash64 } from "../wire/frame.ts";
import { MAX_LINK_RECORD_BYTES } from "../wire/limits.ts";
import {
	decodeCredit,
	decodePreface,
	encodeCredit,
	encodePreface,
	PROTOCOL_VERSIONS,
	type VersionRange,
} from "../wire/link-records.ts";
import { isLinkType, isOptional, LINK_TYPES } from "../wire/record-types.ts";
import { Arrivals } from "./arrivals.ts";
import { ArrivedFrame } from "./arrived-frame.ts";
import { BufferPool } from "./buffer-pool.ts";
import { type Deferred, deferred } from "./deferred.ts";
import { FrameReader, type ReadFrame } from "./frame-reader.ts";
import { FrameWriter } from "./frame-writer.ts";
import { type LinkLimits, type LinkOptions, resolveLimits } from "./link-options.ts";
import { checkOutgoing } from "./outbox.ts";
import { frameCharge, ReceiveWindow } from "./window.ts";

/** How to open a {@link StreamLink}. */
export interface StreamLinkOptions extends LinkOptions {
	/** Protocol versions to announce: what this code speaks, unless a test pretends. */
	readonly protocol?: VersionRange;
}

/** What a link costs. */
export interface LinkMemory {
	/** Bytes of payload buffers, in use or kept for use. */
	readonly heldBytes: number;
	/** The most that has been. */
	readonly peakBytes: number;
}

/**
 * See the head of this file.
 *
 * @example
 * ```ts
 * import { connectSimulated } from "../lab/simulated-stream.ts";
 * import { VirtualClock } from "../lab/virtual-clock.ts";
 * import { createEngine } from "../engine/engine.ts";
 * import { hash64 } from "../engine/hash.ts";
 * import { systemClock } from "../platform/system-clock.ts";
 * import { encodeRecord } from "../wire/records.ts";
 * import { StreamLink } from "./stream-link.ts";
 * const engine = createEngine();
 * const clock = new VirtualClock(systemClock);
 * const { a, b } = connectSimulated(clock);
 * await clock.run(async () => {
 * 	const [source, target] = [a, b].map((stream) => new StreamLink(stream, { hash64: (bytes) => hash64(engine, bytes) }));
 * 	await source!.opened; // throws `unsupported-version` or `corrupt` when the peer cannot be talked to
 * 	await source!.send(encodeRecord({ type: "query", moveId: "m-1" }));
 * 	(await target!.receive()).release();
 * 	await source!.close();
 * });
 * ```
 */
export class StreamLink implements Link {
	/** Resolves with the protocol version that both sides speak; rejects with the {@link LinkError} that ended the link first. */
	readonly opened: Promise<number>;
	readonly #stream: ByteStream;
	readonly #hash64: Hash64;
	readonly #protocol: VersionRange;
	readonly #limits: LinkLimits;
	readonly #pool: BufferPool;
	readonly #reader: FrameReader;
	readonly #writer: FrameWriter;
	readonly #arrivals = new Arrivals();
	readonly #windows: readonly [ReceiveWindow, ReceiveWindow];
	readonly #nextSequences: [number, number] = [0, 0];
	readonly #traffic = { bytesSent: 0, bytesReceived: 0, framesSent: 0, framesReceived: 0 };
	readonly #ended = new AbortController();
	readonly #opening: Deferred<number> = deferred();
	#prefaceRead = false;
	#error: LinkError | undefined;
	#closing: Deferred<void> | undefined;
	#isCloseAsked = false;
	/** The last words are leaving: nothing of ours waits for anything but the stream. */
	#isStreamClosing = false;
	#streamClosed: Promise<void> = Promise.resolve();

	/** Takes over `stream` and sends the preface. */
	constructor(stream: ByteStream, options: StreamLinkOptions) {
		this.#stream = stream;
		this.#hash64 = options.hash64;
		this.#protocol = options.protocol ?? PROTOCOL_VERSIONS;
		this.#limits = resolveLimits(options);
		const { windowBytes, urgentWindowBytes, maximumFrameBytes } = this.#limits;
		this.#windows = [new ReceiveWindow(windowBytes), new ReceiveWindow(urgentWindowBytes)];
		this.#pool = new BufferPool(windowBytes + urgentWindowBytes + maximumFrameBytes);
		this.#reader = new FrameReader(stream, this.#pool, this.#hash64, (header) => this.#admit(header));
		this.#writer = new FrameWriter(stream, this.#hash64, {
			takeCredit: () => this.#takeCredit(),
			onWritten: (frames, byteLength) => {
				this.#traffic.framesSent += frames;
				this.#traffic.bytesSent += byteLength;
			},
			onError: (error) => this.#fail(asLinkError(error)),
		});
		this.opened = this.#opening.promise;
		this.#writer.writeRecord(LINK_TYPES.preface, encodePreface({ protocol: this.#protocol, ...this.#limits }));
		void this.#read();
	}

	get ended(): AbortSignal {
		return this.#ended.signal;
	}

	get windowBytes(): number {
		return this.#limits.windowBytes;
	}

	get traffic(): LinkTraffic {
		return this.#traffic;
	}

	/** What this link's payload buffers cost. */
	get memory(): LinkMemory {
		return { heldBytes: this.#pool.heldBytes, peakBytes: this.#pool.peakBytes };
	}

	/** See {@link Link.send}. */
	async send(frame: OutgoingFrame, lane: Lane = "bulk"): Promise<void> {
		checkOutgoing(frame, lane);
		if (this.#error !== undefined) throw this.#error;
		if (this.#closing !== undefined) throw new LinkError("closed", "this side has closed the link");
		const sent = this.#writer.outbox.push(frame, lane, frame.checksum ?? this.#hash64(frame.payload));
		this.#writer.pump();
		await sent;
	}

	/** See {@link Link.settle}. */
	async settle(): Promise<boolean> {
		if (this.#error !== undefined) throw this.#error;
		return this.#writer.outbox.settled();
	}

	/** See {@link Link.receive}. */
	receive(): Promise<IncomingFrame> {
		return this.#arrivals.receive();
	}

	/**
	 * See {@link Link.close}. Resolves once the peer has everything; what the peer still sends is dropped. Waits as long as
	 * the peer does not answer: `abort` ends the wait.
	 * @throws {LinkError} `lost` or `corrupt` when the link failed before the peer had confirmed.
	 */
	close(): Promise<void> {
		this.#isCloseAsked = true;
		if (this.#closing !== undefined) return this.#closing.promise;
		const error = this.#error ?? new LinkError("closed", "this side has closed the link");
		this.#arrivals.drop(error);
		if (this.#error !== undefined) return this.#streamClosed;
		this.#closing = deferred();
		this.#writer.whenIdle(() => this.#writer.end());
		return this.#closing.promise;
	}

	/**
	 * See {@link Link.abort}. A link that has ended in order is left to say its last word, for which the peer's `close` waits,
	 * unless this side waits for that in a `close` of its own.
	 */
	abort(reason: unknown): void {
		this.#fail(new LinkError("aborted", "this side has dropped the link", reason));
		if (this.#isStreamClosing && this.#isCloseAsked) this.#stream.abort(reason);
		this.#arrivals.drop(this.#error!);
	}

	async #read(): Promise<void> {
		try {
			for (;;) {
				const frame = await this.#reader.next();
				if (this.#error !== undefined) return;
				if (isLinkType(frame.header.type)) {
					if (this.#takeRecord(frame)) return;
				} else this.#take(frame);
			}
		} catch (error) {
			this.#fail(asLinkError(error));
		}
	}

	/** Judges a header before anything is allocated for its payload. */
	#admit(header: FrameHeader): void {
		const { lane, type, sequence, payloadByteLength } = header;
		if (!this.#prefaceRead && type !== LINK_TYPES.preface)
			throw new LinkError("corrupt", "the peer's first frame is no preface");
		if (sequence !== this.#nextSequences[lane])
			throw new LinkError("corrupt", `frame ${sequence} came where ${this.#nextSequences[lane]} was due`);
		this.#nextSequences[lane] = (sequence + 1) >>> 0;
		const limit = isLinkType(type) ? MAX_LINK_RECORD_BYTES : this.#limits.maximumFrameBytes;
		if (payloadByteLength > limit)
			throw new LinkError("corrupt", `a frame announces ${payloadByteLength} bytes, at most ${limit} are allowed`);
		if (!isLinkType(type)) this.#windows[lane].accept(frameCharge(payloadByteLength, header.modelledByteLength));
	}

	#take({ header, payload }: ReadFrame): void {
		const { lane, type, checksum, modelledByteLength } = header;
		this.#traffic.framesReceived++;
		this.#traffic.bytesReceived += FRAME_HEADER_BYTES + (modelledByteLength || payload.byteLength);
		const charge = frameCharge(payload.byteLength, modelledByteLength);
		const frame = new ArrivedFrame(type, payload, checksum, this.#pool, () => {
			this.#windows[lane].release(charge);
			this.#writer.pump();
		});
		// A sender that waits for credit must not keep this side from closing.
		if (this.#closing !== undefined) frame.release();
		else this.#arrivals.push(lane, frame);
	}

	/** Handles a link-internal record. @returns whether it was the last one. */
	#takeRecord({ header, payload }: ReadFrame): boolean {
		this.#traffic.bytesReceived += FRAME_HEADER_BYTES + payload.byteLength;
		const { type } = header;
		try {
			if (type === LINK_TYPES.preface) this.#takePreface(payload);
			else if (type === LINK_TYPES.credit) {
				this.#writer.outbox.restore(decodeCredit(payload));
				this.#writer.pump();
			} else if (type === LINK_TYPES.end) this.#finish();
			else if (!isOptional(type)) throw new LinkError("corrupt", `the peer sent an unknown link record ${type}`);
		} finally {
			this.#pool.giveBack(payload.byteLength, payload.buffer);
		}
		return type === LINK_TYPES.end;
	}

	#takePreface(payload: Uint8Array<ArrayBuffer>): void {
		if (this.#prefaceRead) throw new LinkError("corrupt", "the peer sent a second preface");
		this.#prefaceRead = true;
		const preface = decodePreface(payload, this.#protocol);
		this.#writer.outbox.open(preface);
		this.#opening.resolve(preface.version);
		this.#writer.pump();
	}

	#takeCredit(): Uint8Array<ArrayBuffer> | undefined {
		const bulkBytes = this.#windows[0].takeCredit();
		const urgentBytes = this.#windows[1].takeCredit();
		return bulkBytes + urgentBytes === 0 ? undefined : encodeCredit({ bulkBytes, urgentBytes });
	}

	/** The peer's end record is here: it has everything of ours that it wanted, and nothing more will come. */
	#finish(): void {
		const closing = this.#closing;
		const error = new LinkError("closed", `${closing === undefined ? "the peer" : "this side"} has closed the link`);
		this.#error = error;
		this.#writer.stop(error);
		this.#writer.end();
		this.#closeStream();
		this.#arrivals.end(error, () => this.#ended.abort(error));
		void this.#streamClosed.then(() => {
			closing?.resolve();
			if (closing !== undefined) this.#ended.abort(error);
		});
	}

	/** What is queued still leaves; {@link abort} ends the wait for that. */
	#closeStream(): void {
		this.#isStreamClosing = true;
		this.#streamClosed = this.#stream
			.close()
			.catch((cause: unknown) => this.#stream.abort(cause))
			.finally(() => {
				this.#isStreamClosing = false;
			});
	}

	#fail(error: LinkError): void {
		if (this.#error !== undefined) return;
		this.#error = error;
		this.#writer.stop(error);
		// The peer must get our preface to find out by itself: so in order.
		if (error.code === "unsupported-version") this.#closeStream();
		else this.#stream.abort(error);
		this.#arrivals.end(error);
		this.#opening.reject(error);
		this.#closing?.reject(error);
		this.#ended.abort(error);
	}
}

function asLinkError(error: unknown): LinkError {
	return error instanceof LinkError ? error : new LinkError("lost", "the stream below the link failed", error);
}
