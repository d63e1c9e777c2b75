/**
 * The records that two sides exchange above a link, and their bytes. `docs/protocol.md` says who sends which and when.
 *
 *   JSON     hello welcome refuse prepared layout digest round ready reject go running abort query answer
 *            complete accepted corrupt recover epoch checkpoint committed offer kept alive
 *            one UTF-8 object; unknown fields are ignored, known ones are checked for type, range and length
 *   binary   resource   32 bytes SHA-256 · u32 offset · u32 total · bytes
 *            state      u32 offset · u32 total · bytes
 *            batch      the engine's encoding as it is
 *            missing fault taken hashes   paging-records.ts
 *
 * The bytes of binary records are views of the frame's payload: they are valid until the frame is released.
 */
import type { IncomingFrame, OutgoingFrame } from "../ports/link.ts";
import { decodeJson, encodeJson } from "./json-records.ts";
import { MAX_BATCH_BYTES, MAX_CHUNK_BYTES, MAX_CONTROL_BYTES, MAX_RESOURCE_BYTES, MAX_STATE_BYTES } from "./limits.ts";
import { decodePaging, encodePaging, maximumPagingBytes } from "./paging-records.ts";
import type {
	BatchRecord,
	CheckpointRecord,
	EpochRecord,
	Record,
	ResourceRecord,
	StateRecord,
} from "./record-shapes.ts";
import { isOptional, RECORD_TYPES, type RecordName, recordName } from "./record-types.ts";
import { WireError } from "./wire-error.ts";

export type * from "./record-shapes.ts";

/** What a checkpoint travels in, in this order. */
export type CheckpointPart = EpochRecord | BatchRecord | StateRecord | CheckpointRecord;

const CHECKPOINT_PARTS: ReadonlySet<Record["type"]> = new Set(["epoch", "batch", "state", "checkpoint"]);

/** Whether a record may be part of a checkpoint. */
export function isCheckpointPart(record: Record): record is CheckpointPart {
	return CHECKPOINT_PARTS.has(record.type);
}

/** Bytes of SHA-256, and of the whole prefix of a resource record. */
const HASH_BYTES = 32;
const RESOURCE_PREFIX_BYTES = HASH_BYTES + 8;
const STATE_PREFIX_BYTES = 8;

/** Largest payload of a record, in bytes. */
function maximumPayloadBytes(name: RecordName): number {
	if (name === "batch") return MAX_BATCH_BYTES;
	if (name === "resource") return RESOURCE_PREFIX_BYTES + MAX_CHUNK_BYTES;
	if (name === "state") return STATE_PREFIX_BYTES + MAX_CHUNK_BYTES;
	return maximumPagingBytes(name) ?? MAX_CONTROL_BYTES;
}

/**
 * A record as a frame to send. It checks what the peer would check, so a mistake shows on this side.
 * @throws {WireError} naming the field that the peer would not accept.
 */
export function encodeRecord(record: Record): OutgoingFrame {
	const type = RECORD_TYPES[record.type];
	switch (record.type) {
		case "batch": {
			checkPayload("batch", record.batch.bytes.byteLength);
			const frame = { type, payload: record.batch.bytes, checksum: record.batch.checksum };
			const { modelledByteLength } = record;
			return modelledByteLength === undefined ? frame : { ...frame, modelledByteLength };
		}
		case "resource":
			return { type, payload: encodeChunk(record, MAX_RESOURCE_BYTES, parseHash(record.hash)) };
		case "state":
			return { type, payload: encodeChunk(record, MAX_STATE_BYTES, new Uint8Array(0)) };
		case "missing":
		case "fault":
		case "taken":
		case "hashes": {
			const payload = encodePaging(record);
			checkPayload(record.type, payload.byteLength);
			return { type, payload };
		}
		default: {
			const payload = encodeJson(record);
			checkPayload(record.type, payload.byteLength);
			return { type, payload };
		}
	}
}

/**
 * Reads a record. Bytes of batches, resources and state are views, valid until the frame is released.
 * @returns undefined for an optional record that this version does not know: ignore it.
 * @throws {WireError} nothing of the frame may be used then.
 */
export function decodeRecord(frame: Pick<IncomingFrame, "type" | "payload" | "checksum">): Record | undefined {
	const name = recordName(frame.type);
	if (name === undefined) {
		if (isOptional(frame.type)) return undefined;
		throw new WireError("unknown-record", `type ${frame.type}`, "", "this version does not know the record");
	}
	checkPayload(name, frame.payload.byteLength);
	switch (name) {
		case "batch":
			return { type: "batch", batch: { bytes: frame.payload, checksum: frame.checksum } };
		case "resource": {
			const chunk = decodeChunk(name, frame.payload, HASH_BYTES, MAX_RESOURCE_BYTES);
			return { type: "resource", hash: toHex(frame.payload.subarray(0, HASH_BYTES)), ...chunk };
		}
		case "state":
			return { type: "state", ...decodeChunk(name, frame.payload, 0, MAX_STATE_BYTES) };
		case "missing":
		case "fault":
		case "taken":
		case "hashes":
			return decodePaging(name, frame.payload);
		default:
			return decodeJson(name, frame.payload);
	}
}

function checkPayload(name: RecordName, byteLength: number): void {
	const limit = maximumPayloadBytes(name);
	if (byteLength > limit)
		throw new WireError("too-large", name, "", `has ${byteLength} bytes, at most ${limit} are allowed`);
}

function encodeChunk(
	record: ResourceRecord | StateRecord,
	maximumTotal: number,
	head: Uint8Array<ArrayBuffer>,
): Uint8Array<ArrayBuffer> {
	const { type, offset, total, bytes } = record;
	const payload = new Uint8Array(head.byteLength + 8 + bytes.byteLength);
	checkPayload(type, payload.byteLength);
	checkChunk(type, offset, total, bytes.byteLength, maximumTotal);
	const view = new DataView(payload.buffer);
	payload.set(head);
	view.setUint32(head.byteLength, offset, true);
	view.setUint32(head.byteLength + 4, total, true);
	payload.set(bytes, head.byteLength + 8);
	return payload;
}

function decodeChunk(
	name: "resource" | "state",
	payload: Uint8Array<ArrayBuffer>,
	start: number,
	maximumTotal: number,
): { readonly offset: number; readonly total: number; readonly bytes: Uint8Array<ArrayBuffer> } {
	if (payload.byteLength < start + 8) throw new WireError("malformed", name, "", "is shorter than its prefix");
	const view = new DataView(payload.buffer, payload.byteOffset, payload.byteLength);
	const offset = view.getUint32(start, true);
	const total = view.getUint32(start + 4, true);
	const bytes = payload.subarray(start + 8);
	checkChunk(name, offset, total, bytes.byteLength, maximumTotal);
	return { offset, total, bytes };
}

function checkChunk(name: "resource" | "state", offset: number, total: number, length: number, maximum: number): void {
	if (!Number.isInteger(total) || total < 0 || total > maximum)
		throw new WireError("out-of-range", name, "total", `must be an integer from 0 to ${maximum}`);
	if (!Number.isInteger(offset) || offset < 0 || offset + length > total)
		throw new WireError("out-of-range", name, "offset", `the piece lies outside the ${total} bytes it belongs to`);
	// An empty piece of something that is not empty says nothing and could come for ever.
	if (length === 0 && total > 0) throw new WireError("out-of-range", name, "bytes", "the piece is empty");
}

function parseHash(hash: string): Uint8Array<ArrayBuffer> {
	if (!/^[0-9a-f]{64}$/.test(hash))
		throw new WireError("out-of-range", "resource", "hash", "must be 64 hexadecimal digits");
	return Uint8Array.from({ length: HASH_BYTES }, (_, i) => Number.parseInt(hash.slice(2 * i, 2 * i + 2), 16));
}

function toHex(bytes: Uint8Array): string {
	return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
}
