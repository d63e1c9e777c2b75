// Ethernet frames on a byte stream, as QEMU's stream netdev sends them: length (u32, big-endian), frame, and so on.
import type { ByteStream } from "../ports/byte-stream.ts";
import { LinkError } from "../ports/link.ts";

/** Addresses and type. */
export const FRAME_HEADER_BYTES = 14;
/** The largest frame any of our peers sends: 64 KiB of segments that its card would have cut, and a header. */
export const MAX_FRAME_BYTES: number = 64 * 1024 + 64;
const LENGTH_BYTES = 4;
/** One read: some hundred small frames, or the largest one. */
const READ_BYTES: number = 2 * (MAX_FRAME_BYTES + LENGTH_BYTES);

/**
 * The stream's frames, until it ends. Each is a copy.
 * @throws {LinkError} `corrupt` for a length that no frame has; what the stream throws.
 */
export async function* readFrames(stream: ByteStream): AsyncGenerator<Uint8Array<ArrayBuffer>, void, undefined> {
	const room = new Uint8Array(READ_BYTES);
	const view = new DataView(room.buffer);
	let filled = 0;
	for (;;) {
		const count = await stream.readInto(room.subarray(filled));
		if (count === 0) return;
		filled += count;
		let at = 0;
		while (filled - at >= LENGTH_BYTES) {
			const length = view.getUint32(at);
			if (length < FRAME_HEADER_BYTES || length > MAX_FRAME_BYTES)
				throw new LinkError(
					"corrupt",
					`a frame of ${length} bytes: frames have ${FRAME_HEADER_BYTES} to ${MAX_FRAME_BYTES}`,
				);
			const end = at + LENGTH_BYTES + length;
			if (end > filled) break;
			yield room.slice(at + LENGTH_BYTES, end);
			at = end;
		}
		room.copyWithin(0, at, filled);
		filled -= at;
	}
}

/** Sends one frame. Resolves when the stream has taken it. */
export function writeFrame(stream: ByteStream, frame: Uint8Array): Promise<void> {
	const length = new Uint8Array(LENGTH_BYTES);
	new DataView(length.buffer).setUint32(0, frame.byteLength);
	return stream.write([length, frame]);
}
