/**
 * Writes frames to a byte stream: urgent before bulk, small ones together, headers and payloads in one vectored write,
 * never much ahead of what the stream takes.
 */
import type { ByteStream } from "../ports/byte-stream.ts";
import type { LinkError } from "../ports/link.ts";
import { encodeFrameHeader, FRAME_HEADER_BYTES, type Hash64, LANE_CODES } from "../wire/frame.ts";
import { LINK_TYPES } from "../wire/record-types.ts";
import { chargedByteLength, Outbox, type PendingFrame } from "./outbox.ts";

/**
 * Bytes that may be with the stream before the next frame is given to it: enough to keep a socket busy, and an urgent frame
 * waits behind no more than that and one frame.
 */
const WRITE_AHEAD_BYTES = 256 * 1024;

/** Small frames are written together until the write has this many bytes. */
const GROUP_BYTES = 64 * 1024;

/** What the writer needs from its link. */
export interface WriterHost {
	/** The payload of a credit record, if one is due. */
	takeCredit(): Uint8Array<ArrayBuffer> | undefined;
	/** Frames of the caller and all bytes, headers included, that were given to the stream. */
	onWritten(frames: number, byteLength: number): void;
	/** The stream failed. */
	onError(error: unknown): void;
}

/** See the head of this file. */
export class FrameWriter {
	/** What waits for its turn. */
	readonly outbox: Outbox = new Outbox();
	readonly #stream: ByteStream;
	readonly #hash64: Hash64;
	readonly #host: WriterHost;
	readonly #sequences: [number, number] = [0, 0];
	readonly #inStream = new Set<PendingFrame>();
	#inStreamBytes = 0;
	#stopped = false;
	#endWritten = false;
	#onIdle: (() => void) | undefined;

	constructor(stream: ByteStream, hash64: Hash64, host: WriterHost) {
		this.#stream = stream;
		this.#hash64 = hash64;
		this.#host = host;
	}

	/** Gives the stream as many frames as it takes now. */
	pump(): void {
		while (!this.#stopped && this.#inStreamBytes < WRITE_AHEAD_BYTES && this.#writeGroup());
		if (this.#onIdle !== undefined && this.outbox.empty && this.#inStream.size === 0) {
			const onIdle = this.#onIdle;
			this.#onIdle = undefined;
			onIdle();
		}
	}

	/** Writes a link-internal record at once, ahead of everything that waits. */
	writeRecord(type: number, payload: Uint8Array<ArrayBuffer>): void {
		this.#write(this.#recordParts(type, payload), [], FRAME_HEADER_BYTES + payload.byteLength);
	}

	/** Writes the end record and nothing after it; a second call does nothing. Frames that wait are left to {@link stop}. */
	end(): void {
		if (this.#endWritten) return;
		this.#endWritten = true;
		this.writeRecord(LINK_TYPES.end, new Uint8Array(0));
		this.#stopped = true;
	}

	/** Calls back once everything that was sent is with the stream. */
	whenIdle(onIdle: () => void): void {
		this.#onIdle = onIdle;
		this.pump();
	}

	/** Writes nothing more; whatever has not been written is rejected. */
	stop(error: LinkError): void {
		this.#stopped = true;
		this.#onIdle = undefined;
		for (const frame of this.#inStream) frame.reject(error);
		this.#inStream.clear();
		this.outbox.reject(error);
	}

	#writeGroup(): boolean {
		const parts: Uint8Array[] = [];
		const frames: PendingFrame[] = [];
		let byteLength = 0;
		const credit = this.#host.takeCredit();
		if (credit !== undefined) {
			parts.push(...this.#recordParts(LINK_TYPES.credit, credit));
			byteLength += FRAME_HEADER_BYTES + credit.byteLength;
		}
		while (byteLength < GROUP_BYTES) {
			const frame = this.outbox.next();
			if (frame === undefined) break;
			parts.push(this.#header(frame.lane, frame), frame.payload);
			frames.push(frame);
			byteLength += FRAME_HEADER_BYTES + chargedByteLength(frame);
		}
		if (parts.length === 0) return false;
		this.#write(parts, frames, byteLength);
		return true;
	}

	#write(parts: readonly Uint8Array[], frames: readonly PendingFrame[], byteLength: number): void {
		this.#inStreamBytes += byteLength;
		for (const frame of frames) this.#inStream.add(frame);
		this.#host.onWritten(frames.length, byteLength);
		this.#stream.write(parts, byteLength).then(
			() => {
				this.#inStreamBytes -= byteLength;
				for (const frame of frames) {
					this.#inStream.delete(frame);
					frame.resolve();
				}
				this.pump();
			},
			(error: unknown) => this.#host.onError(error),
		);
	}

	#recordParts(type: number, payload: Uint8Array<ArrayBuffer>): readonly Uint8Array[] {
		const record = { type, payload, checksum: this.#hash64(payload), modelledByteLength: 0 };
		return [this.#header(LANE_CODES.urgent, record), payload];
	}

	#header(
		lane: 0 | 1,
		frame: Pick<PendingFrame, "type" | "payload" | "checksum" | "modelledByteLength">,
	): Uint8Array<ArrayBuffer> {
		const sequence = this.#sequences[lane];
		this.#sequences[lane] = (sequence + 1) >>> 0;
		const { type, payload, checksum, modelledByteLength } = frame;
		const header = { lane, type, sequence, payloadByteLength: payload.byteLength, checksum, modelledByteLength };
		return encodeFrameHeader(header, this.#hash64);
	}
}
