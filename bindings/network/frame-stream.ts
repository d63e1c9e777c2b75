/**
 * Ethernet frames on a byte stream, as QEMU's stream netdev and passt send them: length (u32, big-endian), frame, and so on.
 *
 *   0 │ 31 bits: length │ frame                1 │ 31 bits: length │ order: JSON, between a wire and its hosts only
 *
 * Invariant: frames and orders keep their order. A length that neither has ends the stream: nobody knows where the next begins.
 */
import type { ByteStream } from "../ports/byte-stream.ts";
import { LinkError } from "../ports/link.ts";

/** Addresses and type. */
const FRAME_HEADER_BYTES = 14;
/** The largest frame any of our peers sends: 64 KiB of segments that its card would have cut, and a header. */
export const MAX_FRAME_BYTES: number = 64 * 1024 + 64;
/** The largest order: a list of some hundred ports. */
const MAX_ORDER_BYTES: number = MAX_FRAME_BYTES;
const LENGTH_BYTES = 4;
const ORDER_BIT = 0x8000_0000;
/** One read: some hundred small frames, or the largest one. */
const READ_BYTES: number = 2 * (MAX_FRAME_BYTES + LENGTH_BYTES);
/** Bytes on their way into a stream that nobody reads: beyond it frames are dropped, as by a card with a full ring. */
const MAX_WAITING_BYTES: number = 4 * 1024 * 1024;

/**
 * The stream's frames, until it ends. Each is a copy.
 * @param takeOrder - is called for each order, between the frames that it came between; without it orders are no frames either
 * @throws {LinkError} `corrupt` for a length that no frame has; what the stream throws, and what `takeOrder` throws.
 */
export async function* readFrames(
	stream: ByteStream,
	takeOrder?: (order: Uint8Array<ArrayBuffer>) => void,
): AsyncGenerator<Uint8Array<ArrayBuffer>, void, undefined> {
	const room = new Uint8Array(READ_BYTES);
	const view = new DataView(room.buffer);
	let filled = 0;
	for (;;) {
		const count = await stream.readInto(room.subarray(filled));
		if (count === 0) return;
		filled += count;
		let at = 0;
		while (filled - at >= LENGTH_BYTES) {
			const head = view.getUint32(at);
			const isOrder = head >= ORDER_BIT && takeOrder !== undefined;
			const length = isOrder ? head - ORDER_BIT : head;
			checkLength(length, isOrder);
			const end = at + LENGTH_BYTES + length;
			if (end > filled) break;
			const bytes = room.slice(at + LENGTH_BYTES, end);
			if (isOrder) takeOrder(bytes);
			else yield bytes;
			at = end;
		}
		room.copyWithin(0, at, filled);
		filled -= at;
	}
}

function checkLength(length: number, isOrder: boolean): void {
	const [what, least, most] = isOrder
		? ["an order", 0, MAX_ORDER_BYTES]
		: ["a frame", FRAME_HEADER_BYTES, MAX_FRAME_BYTES];
	if (length < least || length > most)
		throw new LinkError("corrupt", `${what} of ${length} bytes: ${what.slice(2)}s have ${least} to ${most}`);
}

/** Whether bytes can be a frame at all. */
export const isFrame = ({ byteLength }: Uint8Array): boolean =>
	byteLength >= FRAME_HEADER_BYTES && byteLength <= MAX_FRAME_BYTES;

/** Sends one frame. Resolves when the stream has taken it. */
export const writeFrame = (stream: ByteStream, frame: Uint8Array): Promise<void> => writeRecord(stream, 0, frame);

/** Sends one order. Resolves when the stream has taken it. */
export const writeOrder = (stream: ByteStream, order: Uint8Array): Promise<void> =>
	writeRecord(stream, ORDER_BIT, order);

function writeRecord(stream: ByteStream, bit: number, bytes: Uint8Array): Promise<void> {
	const length = new Uint8Array(LENGTH_BYTES);
	new DataView(length.buffer).setUint32(0, bit + bytes.byteLength);
	return stream.write([length, bytes]);
}

/** Frames on their way into a stream whose reader may be slow, or gone: what waits is bounded, and nobody waits for it. */
export class FrameSender {
	readonly #stream: ByteStream;
	readonly #onLost: (error: unknown) => void;
	#waitingBytes = 0;

	/** @param onLost - is called when the stream has taken a frame no more */
	constructor(stream: ByteStream, onLost: (error: unknown) => void) {
		this.#stream = stream;
		this.#onLost = onLost;
	}

	/** @returns `false`: too much waits already, and the frame is gone */
	send(frame: Uint8Array): boolean {
		const { byteLength } = frame;
		if (this.#waitingBytes + byteLength > MAX_WAITING_BYTES) return false;
		this.#waitingBytes += byteLength;
		writeFrame(this.#stream, frame).then(() => {
			this.#waitingBytes -= byteLength;
		}, this.#onLost);
		return true;
	}
}
