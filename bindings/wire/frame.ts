/**
 * The frame header: 32 bytes, little-endian. Its layout and its two checksum algorithms never change, so that every
 * version can read every other version's header and say what is wrong.
 *
 *    0        4    5    6        8            12           16                    24           28         32
 *    ┌────────┬────┬────┬────────┬────────────┬────────────┬─────────────────────┬────────────┬──────────┐
 *    │ "PGFY" │ver │lane│ type   │ sequence   │ payload    │ payload checksum    │ modelled   │ header   │ payload …
 *    │        │u8  │u8  │ u16    │ u32        │ length u32 │ u64 (XXH3-64)       │ length u32 │ checksum │
 *    └────────┴────┴────┴────────┴────────────┴────────────┴─────────────────────┴────────────┴──────────┘
 *
 *   type             see record-types.ts; bit 15 set: optional
 *   sequence         per lane and direction, from 0, modulo 2^32: loss, reordering and duplicates show
 *   modelled length  what a simulation charges for the frame where that is not its payload length; else 0. Counts in
 *                    windows and metrics, never in an allocation
 *   header checksum  low 32 bits of the XXH3-64 of bytes 0 … 27
 */
import { LinkError } from "../ports/link.ts";

/** Bytes of the header. */
export const FRAME_HEADER_BYTES = 32;

/** The format version this code writes. */
const FRAME_VERSION = 1;

/** XXH3-64 of some bytes: the engine's `hash64`. */
export type Hash64 = (bytes: Uint8Array) => bigint;

/** Lane numbers on the wire. */
export const LANE_CODES = { bulk: 0, urgent: 1 } as const;

/** The fields of a header that carry information. */
export interface FrameHeader {
	readonly lane: 0 | 1;
	readonly type: number;
	readonly sequence: number;
	readonly payloadByteLength: number;
	readonly checksum: bigint;
	/** 0: the same as the payload's length. */
	readonly modelledByteLength: number;
}

const MAGIC = [0x50, 0x47, 0x46, 0x59] as const; // "PGFY"
const CHECKED_BYTES = 28;
const LOW_32_BITS = 0xffff_ffffn;

/** The header's 32 bytes. Fields are taken as they are: the caller has checked them. */
export function encodeFrameHeader(header: FrameHeader, hash64: Hash64): Uint8Array<ArrayBuffer> {
	const bytes = new Uint8Array(FRAME_HEADER_BYTES);
	const view = new DataView(bytes.buffer);
	bytes.set(MAGIC);
	view.setUint8(4, FRAME_VERSION);
	view.setUint8(5, header.lane);
	view.setUint16(6, header.type, true);
	view.setUint32(8, header.sequence, true);
	view.setUint32(12, header.payloadByteLength, true);
	view.setBigUint64(16, header.checksum, true);
	view.setUint32(24, header.modelledByteLength, true);
	view.setUint32(CHECKED_BYTES, Number(hash64(bytes.subarray(0, CHECKED_BYTES)) & LOW_32_BITS), true);
	return bytes;
}

/**
 * Checks as many bytes of the magic as have arrived: a peer of another kind (an HTTP client, say) may never send 32 bytes.
 * @throws {LinkError} `corrupt`.
 */
export function checkMagic(bytes: Uint8Array): void {
	const length = Math.min(bytes.byteLength, MAGIC.length);
	for (let i = 0; i < length; i++)
		if (bytes[i] !== MAGIC[i]) throw new LinkError("corrupt", "the peer sent bytes that are no pageferry frame");
}

/**
 * Reads a header: magic, checksum, version, fields. The payload's length is not judged here: what is allowed depends on
 * the record, the limits that were announced and the window.
 * @param bytes - exactly {@link FRAME_HEADER_BYTES}.
 * @throws {LinkError} `corrupt`, or `unsupported-version` for an intact header of another format version.
 */
export function decodeFrameHeader(bytes: Uint8Array<ArrayBuffer>, hash64: Hash64): FrameHeader {
	checkMagic(bytes);
	const view = new DataView(bytes.buffer, bytes.byteOffset, FRAME_HEADER_BYTES);
	const sum = Number(hash64(bytes.subarray(0, CHECKED_BYTES)) & LOW_32_BITS);
	if (view.getUint32(CHECKED_BYTES, true) !== sum)
		throw new LinkError("corrupt", "a frame header does not match its checksum");
	const version = view.getUint8(4);
	if (version !== FRAME_VERSION)
		throw new LinkError(
			"unsupported-version",
			`the peer writes frame format ${version}, this side reads ${FRAME_VERSION}`,
		);
	const lane = view.getUint8(5);
	if (lane !== 0 && lane !== 1) throw new LinkError("corrupt", `a frame names lane ${lane}, which does not exist`);
	return {
		lane,
		type: view.getUint16(6, true),
		sequence: view.getUint32(8, true),
		payloadByteLength: view.getUint32(12, true),
		checksum: view.getBigUint64(16, true),
		modelledByteLength: view.getUint32(24, true),
	};
}
