/**
 * A switch's frames as a capture file that Wireshark, tshark and tcpdump read: the classic pcap format, little-endian,
 * times in microseconds, Ethernet (draft-ietf-opsawg-pcap; link type 1).
 *
 *   header, 24 bytes │ record: seconds u32, microseconds u32, bytes kept u32, bytes there were u32, frame │ record │ …
 */
import { MAX_FRAME_BYTES } from "./frame-stream.ts";
import type { TappedFrame, VirtualSwitch } from "./switch.ts";

const MAGIC = 0xa1b2_c3d4;
const HEADER_BYTES = 24;
const RECORD_BYTES = 16;
const ETHERNET = 1;

/** @returns what a capture begins with */
export function pcapHeader(): Uint8Array<ArrayBuffer> {
	const bytes = new Uint8Array(HEADER_BYTES);
	const view = new DataView(bytes.buffer);
	view.setUint32(0, MAGIC, true);
	view.setUint16(4, 2, true);
	view.setUint16(6, 4, true);
	view.setUint32(16, MAX_FRAME_BYTES, true);
	view.setUint32(20, ETHERNET, true);
	return bytes;
}

/** @param atMs - since 1970, in ms. @returns one frame of a capture */
export function pcapRecord(frame: Uint8Array, atMs: number): Uint8Array<ArrayBuffer> {
	const bytes = new Uint8Array(RECORD_BYTES + frame.byteLength);
	const view = new DataView(bytes.buffer);
	const microseconds = Math.round(atMs * 1000);
	view.setUint32(0, Math.floor(microseconds / 1e6), true);
	view.setUint32(4, microseconds % 1e6, true);
	view.setUint32(8, frame.byteLength, true);
	view.setUint32(12, frame.byteLength, true);
	bytes.set(frame, RECORD_BYTES);
	return bytes;
}

/**
 * Hands every frame that the switch forwards to `write`, as a capture: the header first.
 *
 * @param sinceMs - what the clock's 0 is, in ms since 1970 (`Date.now() - clock.now()`); 0 if left out: times then count from
 *   the clock's own origin.
 * @returns what ends the capture
 *
 * @example
 * ```ts ignore
 * const stop = capture(network, (bytes) => file.write(bytes), Date.now() - clock.now());
 * ```
 */
export function capture(
	network: VirtualSwitch,
	write: (bytes: Uint8Array<ArrayBuffer>) => void,
	sinceMs = 0,
): () => void {
	write(pcapHeader());
	return network.tap(({ frame, atMs }: TappedFrame) => write(pcapRecord(frame, sinceMs + atMs)));
}
