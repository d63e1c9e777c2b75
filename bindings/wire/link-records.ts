/**
 * Payloads of the link-internal records, little-endian. Later versions may append fields; readers ignore what follows.
 *
 *   preface   u16 lowest protocol · u16 highest protocol · u32 bulk window · u32 urgent window · u32 largest payload
 *   credit    u64 bulk bytes · u64 urgent bytes
 *   end       nothing
 *
 * The preface is the first frame in each direction and never changes: it is how two versions find out about each other.
 */
import { LinkError } from "../ports/link.ts";
import { MAX_CONTROL_BYTES, MAX_WINDOW_BYTES, MIN_WINDOW_BYTES } from "./limits.ts";

/** Protocol versions, both ends included. */
export interface VersionRange {
	readonly min: number;
	readonly max: number;
}

/** What this code speaks. */
export const PROTOCOL_VERSIONS: VersionRange = { min: 1, max: 1 };

/** What a side says before anything else. */
export interface Preface {
	readonly protocol: VersionRange;
	/** Bytes of the bulk lane that this side takes before it gives credit. */
	readonly windowBytes: number;
	/** The same for the urgent lane. */
	readonly urgentWindowBytes: number;
	/** Largest payload this side takes, in bytes. */
	readonly maximumFrameBytes: number;
}

/** Bytes given back to the sender's windows. */
export interface Credit {
	readonly bulkBytes: number;
	readonly urgentBytes: number;
}

const PREFACE_BYTES = 16;
const CREDIT_BYTES = 16;

/** The preface's payload. */
export function encodePreface(preface: Preface): Uint8Array<ArrayBuffer> {
	const bytes = new Uint8Array(PREFACE_BYTES);
	const view = new DataView(bytes.buffer);
	view.setUint16(0, preface.protocol.min, true);
	view.setUint16(2, preface.protocol.max, true);
	view.setUint32(4, preface.windowBytes, true);
	view.setUint32(8, preface.urgentWindowBytes, true);
	view.setUint32(12, preface.maximumFrameBytes, true);
	return bytes;
}

/**
 * Reads the peer's preface. Versions are compared first: what follows them may be different in another version.
 * @param own - what this side speaks.
 * @throws {LinkError} `unsupported-version`, `corrupt`.
 */
export function decodePreface(
	payload: Uint8Array<ArrayBuffer>,
	own: VersionRange,
): Preface & { readonly version: number } {
	if (payload.byteLength < PREFACE_BYTES) throw new LinkError("corrupt", "the peer's preface is too short");
	const view = new DataView(payload.buffer, payload.byteOffset, payload.byteLength);
	const preface = {
		protocol: { min: view.getUint16(0, true), max: view.getUint16(2, true) },
		windowBytes: view.getUint32(4, true),
		urgentWindowBytes: view.getUint32(8, true),
		maximumFrameBytes: view.getUint32(12, true),
	};
	if (preface.protocol.min > preface.protocol.max)
		throw new LinkError("corrupt", "the peer's preface names no version");
	const version = agreeOnVersion(own, preface.protocol);
	for (const bytes of [preface.windowBytes, preface.urgentWindowBytes])
		if (bytes < MIN_WINDOW_BYTES || bytes > MAX_WINDOW_BYTES)
			throw new LinkError("corrupt", `the peer announces a window of ${bytes} bytes`);
	if (preface.maximumFrameBytes < MAX_CONTROL_BYTES)
		throw new LinkError("corrupt", `the peer takes only ${preface.maximumFrameBytes} bytes in a frame`);
	return { ...preface, version };
}

/**
 * The highest version that both sides speak. Both compute it from the same two prefaces, so both fail or none.
 * @throws {LinkError} `unsupported-version`.
 */
function agreeOnVersion(own: VersionRange, peer: VersionRange): number {
	const version = Math.min(own.max, peer.max);
	if (version < own.min || version < peer.min)
		throw new LinkError(
			"unsupported-version",
			`the peer speaks protocol ${peer.min} to ${peer.max}, this side ${own.min} to ${own.max}`,
		);
	return version;
}

/** The credit's payload. */
export function encodeCredit(credit: Credit): Uint8Array<ArrayBuffer> {
	const bytes = new Uint8Array(CREDIT_BYTES);
	const view = new DataView(bytes.buffer);
	view.setBigUint64(0, BigInt(credit.bulkBytes), true);
	view.setBigUint64(8, BigInt(credit.urgentBytes), true);
	return bytes;
}

/** @throws {LinkError} `corrupt`. Whether so much was owed is judged by the window. */
export function decodeCredit(payload: Uint8Array<ArrayBuffer>): Credit {
	if (payload.byteLength < CREDIT_BYTES) throw new LinkError("corrupt", "a credit record is too short");
	const view = new DataView(payload.buffer, payload.byteOffset, payload.byteLength);
	return { bulkBytes: Number(view.getBigUint64(0, true)), urgentBytes: Number(view.getBigUint64(8, true)) };
}
