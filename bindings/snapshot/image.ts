/**
 * Objects of the image format: runs of frames, written from front to back and never changed. `docs/image-format.md` is
 * normative.
 *
 *   ┌───────────────┬─────────┬─────┬─────────┬────────────────┐
 *   │ image (first) │ frame 1 │  …  │ frame n │ trailer (last) │     every frame: 32 bytes of header (wire/frame.ts), payload
 *   └───────────────┴─────────┴─────┴─────────┴────────────────┘
 *
 *   image     what the object is: format version, role, and whose it is (its name says the same)
 *   trailer   number of frames, length of the frame before it, XXH3-128 of all headers before it
 *
 * Every header holds the XXH3-64 of its payload, so the trailer's digest covers every byte without any payload being hashed
 * twice. The sequence number of a frame is its place in the object.
 */
import { isBatchIntact } from "../engine/batch.ts";
import type { Engine } from "../engine/engine.ts";
import { Hasher128, hash64, hash128 } from "../engine/hash.ts";
import { LinkError } from "../ports/link.ts";
import { toHex } from "../wire/digest.ts";
import {
	decodeFrameHeader,
	encodeFrameHeader,
	FRAME_HEADER_BYTES,
	type FrameHeader,
	type Hash64,
} from "../wire/frame.ts";
import { MAX_BATCH_BYTES, MAX_CHUNK_BYTES, MAX_CONTROL_BYTES } from "../wire/limits.ts";
import { IMAGE_TYPES, isOptional, RECORD_TYPES } from "../wire/record-types.ts";
import { type Place, SnapshotError } from "./image-error.ts";
import {
	IMAGE_VERSION,
	INDEX_ENTRY_BYTES,
	MAX_PACK_ENTRIES,
	MAX_TABLE_RECORD_BYTES,
	MIN_IMAGE_VERSION,
	SEGMENT_BYTES,
} from "./image-limits.ts";

/** What an object is for. The numbers are those of the image record. */
export const ROLES = { pack: 1, manifest: 2, resource: 3, image: 4, list: 5 } as const;
export type Role = keyof typeof ROLES;

/** Whose object it is: the id of the writer that made it, 32 hex digits, and its number among that writer's objects. */
export interface Identity {
	readonly role: Role;
	readonly creator: string;
	readonly number: number;
}

/** Bytes of the payloads of an image record and of a trailer, and of a whole trailer. */
const IMAGE_RECORD_BYTES = 32;
const TRAILER_RECORD_BYTES = 24;
/** Bytes of the first frame of every object. */
export const IMAGE_FRAME_BYTES: number = FRAME_HEADER_BYTES + IMAGE_RECORD_BYTES;
export const TRAILER_BYTES: number = FRAME_HEADER_BYTES + TRAILER_RECORD_BYTES;

const NAMES: ReadonlyMap<number, string> = new Map([
	...Object.entries(IMAGE_TYPES).map(([name, type]): [number, string] => [type, name]),
	...(["batch", "state", "resource"] as const).map((name): [number, string] => [RECORD_TYPES[name], name]),
]);

/** Largest payload by record type, in bytes. */
const LIMITS: ReadonlyMap<number, number> = new Map([
	[IMAGE_TYPES.image, IMAGE_RECORD_BYTES],
	[IMAGE_TYPES.description, MAX_CONTROL_BYTES],
	[IMAGE_TYPES.index, MAX_PACK_ENTRIES * INDEX_ENTRY_BYTES],
	[IMAGE_TYPES.packs, MAX_TABLE_RECORD_BYTES],
	[IMAGE_TYPES.table, MAX_TABLE_RECORD_BYTES],
	[IMAGE_TYPES.condemned, MAX_TABLE_RECORD_BYTES],
	[IMAGE_TYPES.trailer, TRAILER_RECORD_BYTES],
	[IMAGE_TYPES.signature, MAX_CONTROL_BYTES],
	[IMAGE_TYPES.sealed, MAX_CONTROL_BYTES],
	[IMAGE_TYPES.segment, SEGMENT_BYTES + 16],
	[RECORD_TYPES.batch, MAX_BATCH_BYTES],
	[RECORD_TYPES.state, MAX_CHUNK_BYTES + 8],
	[RECORD_TYPES.resource, MAX_CHUNK_BYTES + 40],
]);

/** One frame of an object. */
export interface ImageFrame {
	readonly type: number;
	/** `batch 3`: the record's name and the frame's place in the object. */
	readonly record: string;
	/** A view. */
	readonly payload: Uint8Array<ArrayBuffer>;
	/** XXH3-64 of the payload. */
	readonly checksum: bigint;
	/** Where its header begins in the object. */
	readonly offset: number;
}

/** The name of an object in the store. */
export const objectName = ({ role, creator, number }: Identity): string => `snapshots/${role}s/${creator}-${number}`;

const OBJECT_NAME = /^snapshots\/(pack|manifest|resource|list)s\/([0-9a-f]{32})-(0|[1-9][0-9]{0,9})$/;

/** The identity in a name; `undefined` for a name that is no object's. */
export function identityOf(name: string): Identity | undefined {
	const [, role, creator, number] = OBJECT_NAME.exec(name) ?? [];
	const known = isRole(role) ? role : undefined;
	if (known === undefined || creator === undefined || Number(number) > 0xffff_ffff) return undefined;
	return { role: known, creator, number: Number(number) };
}

function isRole(role: string | undefined): role is Role {
	return role !== undefined && Object.hasOwn(ROLES, role);
}

/** Hashes in one engine, in the form in which the wire's functions take it. */
export const hashIn =
	(engine: Engine): Hash64 =>
	(bytes) =>
		hash64(engine, bytes);

/** Bytes of hex digits. */
export function fromHex(hex: string): Uint8Array<ArrayBuffer> {
	return Uint8Array.from({ length: hex.length / 2 }, (_, i) => Number.parseInt(hex.slice(2 * i, 2 * i + 2), 16));
}

/** The payload of an image record:
 *
 *   0             2          4           8                  24           28          32
 *   ┌─────────────┬──────────┬───────────┬──────────────────┬────────────┬───────────┐
 *   │ version u16 │ role u16 │ 0 u32     │ creator 16 bytes │ number u32 │ 0 u32     │
 *   └─────────────┴──────────┴───────────┴──────────────────┴────────────┴───────────┘
 */
export function encodeImageRecord(identity: Identity): Uint8Array<ArrayBuffer> {
	const payload = new Uint8Array(IMAGE_RECORD_BYTES);
	const view = new DataView(payload.buffer);
	view.setUint16(0, IMAGE_VERSION, true);
	view.setUint16(2, ROLES[identity.role], true);
	payload.set(fromHex(identity.creator), 8);
	view.setUint32(24, identity.number, true);
	return payload;
}

/**
 * Checks an image record: its version before anything else of it.
 * @param expected - what the object's name says it is; of an image from elsewhere only the role is known.
 */
export function checkImageRecord(
	frame: ImageFrame,
	expected: Identity | { readonly role: "image" },
	place: Place,
): void {
	const at = { ...place, record: frame.record };
	if (frame.type !== IMAGE_TYPES.image) throw new SnapshotError("foreign", "an object begins with an image record", at);
	const { payload } = frame;
	const view = new DataView(payload.buffer, payload.byteOffset, payload.byteLength);
	const version = payload.byteLength < 2 ? 0 : view.getUint16(0, true);
	if (version < MIN_IMAGE_VERSION || version > IMAGE_VERSION) {
		const window = `${MIN_IMAGE_VERSION} to ${IMAGE_VERSION}`;
		throw new SnapshotError("unsupported-version", `format version ${version}, this side reads ${window}`, at);
	}
	if (payload.byteLength !== IMAGE_RECORD_BYTES) throw new SnapshotError("corrupt", "has another length", at);
	if (view.getUint16(2, true) !== ROLES[expected.role])
		throw new SnapshotError("foreign", `is no ${expected.role}`, at);
	if (view.getUint32(4, true) !== 0 || view.getUint32(28, true) !== 0)
		throw new SnapshotError("corrupt", "reserved bytes are not zero", at);
	if (!("creator" in expected)) return;
	if (toHex(payload.subarray(8, 24)) !== expected.creator || view.getUint32(24, true) !== expected.number)
		throw new SnapshotError("foreign", "is another object than its name says", at);
}

/** Where frames are read from, for messages, and what numbers they must have. */
export interface FramePlace {
	readonly object?: string;
	/** The frame's place in its object; left out where a frame is read by its offset alone. */
	readonly sequence?: number;
	readonly offset: number;
}

/**
 * Reads and checks a header of an image, and the limit of its record.
 * @param bytes - {@link FRAME_HEADER_BYTES} of them.
 */
export function readHeader(
	hash: Hash64,
	bytes: Uint8Array<ArrayBuffer>,
	place: FramePlace,
): FrameHeader & { readonly record: string } {
	const at = framePlace(place);
	let header: FrameHeader;
	try {
		header = decodeFrameHeader(bytes, hash);
	} catch (error) {
		throw asSnapshotError(error, place.sequence, at);
	}
	const record = `${NAMES.get(header.type) ?? `type ${header.type}`} ${header.sequence}`;
	const known = { ...at, record };
	if (place.sequence !== undefined && header.sequence !== place.sequence)
		throw new SnapshotError("corrupt", `its header has the number ${header.sequence}`, known);
	if (header.lane !== 0 || header.modelledByteLength !== 0)
		throw new SnapshotError("corrupt", "fields of links are set in its header", known);
	const limit = LIMITS.get(header.type);
	if (limit === undefined && !isOptional(header.type))
		throw new SnapshotError("corrupt", "this version does not know the record", known);
	if (header.payloadByteLength > (limit ?? MAX_CONTROL_BYTES))
		throw new SnapshotError("too-large", `${header.payloadByteLength} bytes, at most ${limit} are allowed`, known);
	return { ...header, record };
}

const framePlace = ({ object, sequence, offset }: FramePlace): Place => ({
	...(object === undefined ? {} : { object }),
	record: sequence === undefined ? `frame at ${offset}` : `frame ${sequence}`,
});

function asSnapshotError(error: unknown, sequence: number | undefined, at: Place): unknown {
	if (!(error instanceof LinkError)) return error;
	if (error.code === "unsupported-version") {
		const message = "its header has another version than this side reads";
		return new SnapshotError("unsupported-version", message, at, error);
	}
	const isForeign = sequence === 0 && /no pageferry frame/.test(error.message);
	const message = isForeign ? "these bytes are no image" : "its header is damaged";
	return new SnapshotError(isForeign ? "foreign" : "corrupt", message, at, error);
}

/** The frame at `offset` of some bytes of an object, its payload checked against the header. */
export function readFrame(
	engine: Engine,
	bytes: Uint8Array<ArrayBuffer>,
	at: number,
	place: FramePlace,
	options: { readonly trustPayload?: boolean } = {},
): ImageFrame {
	const where = framePlace(place);
	if (at + FRAME_HEADER_BYTES > bytes.byteLength)
		throw new SnapshotError("corrupt", "the object ends before it", where);
	const header = readHeader(hashIn(engine), bytes.subarray(at, at + FRAME_HEADER_BYTES), place);
	const from = at + FRAME_HEADER_BYTES;
	const known = { ...where, record: header.record };
	if (from + header.payloadByteLength > bytes.byteLength)
		throw new SnapshotError("corrupt", "the object ends within it", known);
	const payload = bytes.subarray(from, from + header.payloadByteLength);
	if (options.trustPayload !== true && !isPayloadIntact(engine, header, payload))
		throw new SnapshotError("corrupt", "its payload is damaged", known);
	return { type: header.type, record: header.record, payload, checksum: header.checksum, offset: place.offset };
}

/** A batch's checksum leaves raw pages to their hashes: here both are compared. */
function isPayloadIntact(
	engine: Engine,
	{ type, checksum }: { type: number; checksum: bigint },
	payload: Uint8Array,
): boolean {
	return type === RECORD_TYPES.batch ? isBatchIntact(engine, payload, checksum) : hash64(engine, payload) === checksum;
}

/** What a trailer says. */
export interface Trailer {
	readonly frames: number;
	/** Of the frame before it, header included. */
	readonly lastFrameBytes: number;
	/** XXH3-128 of all headers before it, 32 hex digits. */
	readonly digest: string;
}

/** @throws {SnapshotError} `corrupt` if the frame is no trailer. */
export function decodeTrailer(frame: ImageFrame, place: Place): Trailer {
	const { payload } = frame;
	if (frame.type !== IMAGE_TYPES.trailer || payload.byteLength !== TRAILER_RECORD_BYTES)
		throw new SnapshotError("corrupt", "is not the trailer that must be here", { ...place, record: frame.record });
	const view = new DataView(payload.buffer, payload.byteOffset, payload.byteLength);
	return {
		frames: view.getUint32(0, true),
		lastFrameBytes: view.getUint32(4, true),
		digest: toHex(payload.subarray(8, 24)),
	};
}

/** The payload of a trailer. */
export function encodeTrailer(engine: Engine, headers: Uint8Array, lastFrameBytes: number): Uint8Array<ArrayBuffer> {
	return trailerOf(headers.byteLength / FRAME_HEADER_BYTES, lastFrameBytes, hash128(engine, headers));
}

function trailerOf(frames: number, lastFrameBytes: number, digest: Uint8Array): Uint8Array<ArrayBuffer> {
	const payload = new Uint8Array(TRAILER_RECORD_BYTES);
	const view = new DataView(payload.buffer);
	view.setUint32(0, frames, true);
	view.setUint32(4, lastFrameBytes, true);
	payload.set(digest, 8);
	return payload;
}

/** What a trailer will say of frames as they pass: any number of them takes no memory. */
export class FrameCount {
	readonly #hasher: Hasher128;
	#lastFrameBytes = 0;
	/** Frames so far: the number of the next one. */
	frames = 0;

	constructor(engine: Engine) {
		this.#hasher = new Hasher128(engine);
	}

	add(header: Uint8Array, payloadByteLength: number): void {
		this.#hasher.update(header);
		this.#lastFrameBytes = FRAME_HEADER_BYTES + payloadByteLength;
		this.frames++;
	}

	/** The trailer's payload. */
	trailer(): Uint8Array<ArrayBuffer> {
		return trailerOf(this.frames, this.#lastFrameBytes, this.#hasher.digest());
	}
}

/** A frame's header for this payload. */
export function imageHeader(
	hash: Hash64,
	frame: {
		readonly type: number;
		readonly sequence: number;
		readonly payloadByteLength: number;
		readonly checksum: bigint;
	},
): Uint8Array<ArrayBuffer> {
	return encodeFrameHeader({ lane: 0, modelledByteLength: 0, ...frame }, hash);
}

/** All frames of an object, checked as a whole: what a manifest, a resource and a list of names are read with. */
export interface WholeObject {
	/** Between the image record and the trailer. */
	readonly frames: readonly ImageFrame[];
	readonly trailer: Trailer;
	/** Frames behind the trailer: a manifest's signature. */
	readonly behind: readonly ImageFrame[];
	/** Bytes up to the end of the trailer. */
	readonly signedByteLength: number;
}

/**
 * Reads all frames of an object.
 * @param expected - what its name says, and its digest where a reference to it names one.
 * @throws {SnapshotError} `corrupt`, `foreign`, `unsupported-version`, `too-large`, naming object and record.
 */
export function readObject(
	engine: Engine,
	bytes: Uint8Array<ArrayBuffer>,
	expected: Identity & { readonly digest?: string },
): WholeObject {
	const object = objectName(expected);
	const frames: ImageFrame[] = [];
	let trailer: Trailer | undefined;
	let trailerAt = 0;
	let signedByteLength = 0;
	for (let at = 0; at < bytes.byteLength || trailer === undefined; ) {
		const frame = readFrame(engine, bytes, at, { object, sequence: frames.length, offset: at });
		if (frames.length === 0) checkImageRecord(frame, expected, { object });
		at = frame.offset + FRAME_HEADER_BYTES + frame.payload.byteLength;
		if (frame.type === IMAGE_TYPES.trailer && trailer === undefined) {
			trailer = decodeTrailer(frame, { object });
			trailerAt = frames.length;
			signedByteLength = at;
			checkTrailer(engine, bytes, frames, trailer, { object, record: frame.record });
		} else if (trailer !== undefined && frame.type !== IMAGE_TYPES.signature)
			throw new SnapshotError("corrupt", "comes behind the trailer", { object, record: frame.record });
		frames.push(frame);
	}
	if (expected.digest !== undefined && trailer.digest !== expected.digest)
		throw new SnapshotError("corrupt", "is not the object that was referred to: its digest differs", { object });
	const isKnown = ({ type }: ImageFrame) => !isOptional(type);
	return {
		frames: frames.slice(1, trailerAt).filter(isKnown),
		trailer,
		behind: frames.slice(trailerAt + 1).filter(isKnown),
		signedByteLength,
	};
}

function checkTrailer(
	engine: Engine,
	bytes: Uint8Array,
	frames: readonly ImageFrame[],
	trailer: Trailer,
	place: Place,
): void {
	const headers = new Uint8Array(frames.length * FRAME_HEADER_BYTES);
	for (const [i, { offset }] of frames.entries())
		headers.set(bytes.subarray(offset, offset + FRAME_HEADER_BYTES), i * FRAME_HEADER_BYTES);
	const last = frames.at(-1);
	const isWhole =
		trailer.frames === frames.length &&
		last !== undefined &&
		trailer.lastFrameBytes === FRAME_HEADER_BYTES + last.payload.byteLength &&
		trailer.digest === toHex(hash128(engine, headers));
	if (!isWhole) throw new SnapshotError("corrupt", "does not fit the frames before it", place);
}
