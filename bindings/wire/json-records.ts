/** The records whose payload is one JSON object: bytes in, checked record out, and back. */
import { Fields } from "./fields.ts";
import { HASH_DIGITS, readFacts, readLayout } from "./layout-fields.ts";
import {
	MAX_CHECKPOINT_INTERVAL_MS,
	MAX_CORRUPT_PAGES,
	MAX_HISTOGRAM_BUCKETS,
	MAX_MESSAGE_CHARACTERS,
	MAX_MOVE_ID_CHARACTERS,
	MAX_PAGE_COUNT,
	MAX_RESOURCES,
	MAX_SNAPSHOT_LABEL_CHARACTERS,
	MAX_STATE_BYTES,
	MAX_WINDOW_BYTES,
	MIN_WINDOW_BYTES,
} from "./limits.ts";
import type { VersionRange } from "./link-records.ts";
import type { CheckpointInterval, HelloRecord, JsonRecord, PagingReport } from "./record-shapes.ts";
import { WireError } from "./wire-error.ts";

/** Hexadecimal digits of an XXH3-128. */
const DIGEST_DIGITS = 32;
/** Hexadecimal digits of a snapshot's id. */
const SNAPSHOT_ID_DIGITS = 32;
const MAX_VERSION = 0xffff;
const MAX_U32 = 0xffff_ffff;

const ENCODER = new TextEncoder();

type Reader<Type extends JsonRecord["type"]> = (fields: Fields) => Extract<JsonRecord, { type: Type }>;

const READERS: { readonly [Type in JsonRecord["type"]]: Reader<Type> } = {
	hello: readHello,
	welcome: (fields) => ({
		type: "welcome",
		protocol: fields.integer("protocol", 0, MAX_VERSION),
		missing: readMissing(fields),
		windowBytes: readWindow(fields),
	}),
	refuse: (fields) => ({ type: "refuse", ...readFailure(fields) }),
	prepared: (fields) => ({ type: "prepared", setupMs: fields.duration("setupMs") }),
	layout: (fields) => ({ type: "layout", pageCount: fields.integer("pageCount", 0, MAX_PAGE_COUNT) }),
	digest: (fields) => ({
		type: "digest",
		digest: fields.hex("digest", DIGEST_DIGITS),
		pageCount: fields.integer("pageCount", 0, MAX_PAGE_COUNT),
		stateByteLength: fields.integer("stateByteLength", 0, MAX_STATE_BYTES),
	}),
	round: (fields) => ({
		type: "round",
		index: fields.integer("index", 0, MAX_U32),
		toSend: fields.integer("toSend", 0, MAX_U32),
		sent: fields.integer("sent", 0, MAX_U32),
		skipped: fields.integer("skipped", 0, MAX_U32),
	}),
	ready: () => ({ type: "ready" }),
	reject: (fields) => ({
		type: "reject",
		...readFailure(fields),
		...(fields.has("pageIndex") ? { pageIndex: fields.integer("pageIndex", 0, MAX_U32) } : {}),
	}),
	go: () => ({ type: "go" }),
	running: () => ({ type: "running" }),
	abort: (fields) => ({ type: "abort", ...readFailure(fields) }),
	query: (fields) => ({ type: "query", moveId: readMoveId(fields) }),
	answer: (fields) => ({
		type: "answer",
		moveId: readMoveId(fields),
		status: fields.oneOf("status", ["running", "declined", "ready", "receiving", "unknown"]),
	}),
	complete: (fields) => ({
		type: "complete",
		digest: fields.hex("digest", DIGEST_DIGITS),
		pageCount: fields.integer("pageCount", 0, MAX_PAGE_COUNT),
		report: readReport(fields.object("report")),
	}),
	accepted: () => ({ type: "accepted" }),
	corrupt: (fields) => ({
		type: "corrupt",
		pageIndices: fields.integers("pageIndices", MAX_CORRUPT_PAGES, 0, MAX_U32),
		pageCount: fields.integer("pageCount", 0, MAX_PAGE_COUNT),
	}),
	alive: () => ({ type: "alive" }),
	recover: (fields) => ({
		type: "recover",
		moveId: readMoveId(fields),
		...(fields.has("epoch") ? { epoch: fields.integer("epoch", 0, MAX_U32) } : {}),
	}),
	epoch: (fields) => ({
		type: "epoch",
		epoch: fields.integer("epoch", 1, MAX_U32),
		pageCount: fields.integer("pageCount", 0, MAX_PAGE_COUNT),
		stateByteLength: fields.integer("stateByteLength", 0, MAX_STATE_BYTES),
	}),
	checkpoint: (fields) => ({
		type: "checkpoint",
		epoch: fields.integer("epoch", 1, MAX_U32),
		digest: fields.hex("digest", DIGEST_DIGITS),
	}),
	committed: (fields) => ({ type: "committed", epoch: fields.integer("epoch", 1, MAX_U32) }),
	offer: (fields) => ({
		type: "offer",
		protocol: readVersions(fields.object("protocol")),
		technique: fields.name("technique"),
		verification: fields.oneOf("verification", ["transport", "full"]),
		layout: readLayout(fields.object("layout")),
		...(fields.has("label") ? { label: fields.text("label", MAX_SNAPSHOT_LABEL_CHARACTERS) } : {}),
		...(fields.has("generation") ? { generation: fields.text("generation", MAX_SNAPSHOT_LABEL_CHARACTERS) } : {}),
		facts: readFacts(fields),
		windowBytes: readWindow(fields),
	}),
	kept: (fields) => ({ type: "kept", snapshotId: fields.hex("snapshotId", SNAPSHOT_ID_DIGITS) }),
};

/**
 * The payload of a record, without its `type`: the frame's number says it.
 * @throws {WireError} naming the field that the peer would not accept.
 */
export function encodeJson(record: JsonRecord): Uint8Array<ArrayBuffer> {
	const { type, ...fields } = "message" in record ? { ...record, message: fitMessage(record.message) } : record;
	READERS[type](new Fields(type, fields));
	return ENCODER.encode(JSON.stringify(fields));
}

/**
 * Reads and checks a payload whose size has been checked.
 * @throws {WireError}
 */
export function decodeJson(type: JsonRecord["type"], payload: Uint8Array): JsonRecord {
	let value: unknown;
	try {
		value = JSON.parse(new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(payload));
	} catch {
		throw new WireError("malformed", type, "", "is not a JSON text in UTF-8");
	}
	return READERS[type](new Fields(type, value));
}

function readHello(fields: Fields): HelloRecord {
	return {
		type: "hello",
		protocol: readVersions(fields.object("protocol")),
		intent: fields.oneOf("intent", ["move", "check"]),
		moveId: readMoveId(fields),
		technique: fields.name("technique"),
		verification: fields.oneOf("verification", ["transport", "full"]),
		layout: readLayout(fields.object("layout")),
		...(fields.has("faulting") ? { faulting: fields.flag("faulting") } : {}),
		...(fields.has("checkpoints") ? { checkpoints: readInterval(fields.object("checkpoints")) } : {}),
		windowBytes: readWindow(fields),
	};
}

function readInterval(fields: Fields): CheckpointInterval {
	const minMs = fields.integer("minMs", 0, MAX_CHECKPOINT_INTERVAL_MS);
	return { minMs, maxMs: fields.integer("maxMs", minMs, MAX_CHECKPOINT_INTERVAL_MS) };
}

function readReport(fields: Fields): PagingReport {
	return {
		faults: fields.integer("faults", 0, Number.MAX_SAFE_INTEGER),
		minorFaults: fields.integer("minorFaults", 0, Number.MAX_SAFE_INTEGER),
		blockedMs: fields.duration("blockedMs"),
		p50Ms: fields.duration("p50Ms"),
		p90Ms: fields.duration("p90Ms"),
		maximumMs: fields.duration("maximumMs"),
		histogram: fields.integers("histogram", MAX_HISTOGRAM_BUCKETS, 0, Number.MAX_SAFE_INTEGER),
		...(fields.has("touchedPages") ? { touchedPages: fields.integer("touchedPages", 0, MAX_PAGE_COUNT) } : {}),
	};
}

function readVersions(fields: Fields): VersionRange {
	const min = fields.integer("min", 0, MAX_VERSION);
	return { min, max: fields.integer("max", min, MAX_VERSION) };
}

function readMissing(fields: Fields): readonly string[] {
	const hashes = fields.list("missing", MAX_RESOURCES).map((hash) => {
		if (typeof hash !== "string") fields.fail("wrong-type", "missing", "must hold strings");
		if (hash.length !== HASH_DIGITS || !/^[0-9a-f]+$/.test(hash))
			fields.fail("out-of-range", "missing", `must hold hashes of ${HASH_DIGITS} hexadecimal digits`);
		return hash;
	});
	if (new Set(hashes).size !== hashes.length) fields.fail("out-of-range", "missing", "names a hash twice");
	return hashes;
}

function readFailure(fields: Fields): { readonly code: string; readonly message: string } {
	return { code: fields.name("code"), message: fields.message("message") };
}

function readMoveId(fields: Fields): string {
	return fields.name("moveId", MAX_MOVE_ID_CHARACTERS);
}

function readWindow(fields: Fields): number {
	return fields.integer("windowBytes", MIN_WINDOW_BYTES, MAX_WINDOW_BYTES);
}

/** Cuts a message: one that is too long must not keep the peer from hearing of a failure. */
function fitMessage(message: string): string {
	return message.length <= MAX_MESSAGE_CHARACTERS ? message : `${message.slice(0, MAX_MESSAGE_CHARACTERS - 1)}…`;
}
