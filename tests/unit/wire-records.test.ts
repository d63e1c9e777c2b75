import { suite } from "uvu";
import * as assert from "uvu/assert";
import type { GuestLayout } from "../../bindings/ports/guest.ts";
import { MAX_CHUNK_BYTES, MAX_CONTROL_BYTES, MAX_FACTS, MAX_STATE_BYTES } from "../../bindings/wire/limits.ts";
import { OPTIONAL_BIT, RECORD_TYPES, type RecordName } from "../../bindings/wire/record-types.ts";
import { decodeRecord, encodeRecord, type HelloRecord, type Record } from "../../bindings/wire/records.ts";
import { WireError, type WireErrorCode } from "../../bindings/wire/wire-error.ts";

const test = suite("wire records");

const HASH = "ab".repeat(32);
const LAYOUT: GuestLayout = {
	kind: "wasm",
	pageBytes: 4096,
	pageCount: 16,
	maximumPageCount: 65536,
	resources: [{ name: "program", hash: HASH, byteLength: 12 }],
	facts: { "program.version": "3.1 — β", features: "simd,bulk" },
};
const HELLO: HelloRecord = {
	type: "hello",
	protocol: { min: 1, max: 2 },
	intent: "move",
	moveId: "move-1",
	technique: "pre-copy",
	verification: "full",
	layout: LAYOUT,
	windowBytes: 4 << 20,
};
const BYTES = new Uint8Array([1, 2, 3, 4]);

const EXAMPLES: { readonly [Name in RecordName]: Extract<Record, { type: Name }> } = {
	hello: HELLO,
	welcome: { type: "welcome", protocol: 1, missing: [HASH], windowBytes: 1 << 20 },
	refuse: { type: "refuse", code: "incompatible", message: "pageBytes: 4096 here, 16384 there" },
	resource: { type: "resource", hash: HASH, offset: 4, total: 12, bytes: BYTES },
	prepared: { type: "prepared", setupMs: 12.5 },
	layout: { type: "layout", pageCount: 0xffff_ffff },
	batch: { type: "batch", batch: { bytes: BYTES, checksum: 77n } },
	state: { type: "state", offset: 0, total: 4, bytes: BYTES },
	digest: { type: "digest", digest: "0123456789abcdef".repeat(2), pageCount: 17, stateByteLength: 900 },
	round: { type: "round", index: 3, toSend: 100, sent: 90, skipped: 10 },
	ready: { type: "ready" },
	reject: { type: "reject", code: "corrupt", message: "page 9 differs", pageIndex: 9 },
	go: { type: "go" },
	running: { type: "running" },
	abort: { type: "abort", code: "cancelled", message: "the user changed their mind" },
	query: { type: "query", moveId: "move-1" },
	answer: { type: "answer", moveId: "move-1", status: "declined" },
	missing: { type: "missing", firstPage: 16, pageCount: 12, bits: new Uint8Array([0b1010_0101, 0b0000_1001]) },
	fault: { type: "fault", pageIndices: Uint32Array.of(7, 0xffff_ffff) },
	taken: { type: "taken", pageIndex: 9, pageCount: 3 },
	complete: {
		type: "complete",
		digest: "0123456789abcdef".repeat(2),
		pageCount: 17,
		report: {
			faults: 5,
			minorFaults: 1,
			blockedMs: 1.25,
			p50Ms: 0.2,
			p90Ms: 0.4,
			maximumMs: 0.5,
			histogram: [0, 0, 5],
			touchedPages: 12,
		},
	},
	accepted: { type: "accepted" },
	hashes: { type: "hashes", firstPage: 3, hashes: new Uint8Array(32).fill(7) },
	corrupt: { type: "corrupt", pageIndices: [3, 4], pageCount: 900 },
	recover: { type: "recover", moveId: "move-1", epoch: 12 },
	epoch: { type: "epoch", epoch: 13, pageCount: 17, stateByteLength: 900 },
	checkpoint: { type: "checkpoint", epoch: 13, digest: "0123456789abcdef".repeat(2) },
	committed: { type: "committed", epoch: 13 },
	alive: { type: "alive" },
	offer: {
		type: "offer",
		protocol: { min: 1, max: 1 },
		technique: "live-save",
		verification: "full",
		layout: LAYOUT,
		label: "before the upgrade — β",
		generation: "ab".repeat(16),
		facts: { "started by": "nobody" },
		windowBytes: 1 << 20,
	},
	kept: { type: "kept", snapshotId: "0123456789abcdef".repeat(2) },
};

function decode(type: number, payload: Uint8Array<ArrayBuffer>): Record | undefined {
	return decodeRecord({ type, payload, checksum: 77n });
}

function wireFailure(action: () => unknown): WireError {
	try {
		action();
	} catch (error) {
		if (error instanceof WireError) return error;
		throw error;
	}
	throw new Error("expected a WireError, but the call succeeded");
}

function json(value: unknown): Uint8Array<ArrayBuffer> {
	return new TextEncoder().encode(typeof value === "string" ? value : JSON.stringify(value));
}

function refuses(name: RecordName, value: unknown, code: WireErrorCode, field: string): void {
	const error = wireFailure(() => decode(RECORD_TYPES[name], json(value)));
	assert.is(`${error.code} ${error.record} ${error.field}`, `${code} ${name} ${field}`);
}

test("every record comes back as it was sent", () => {
	for (const record of Object.values(EXAMPLES)) {
		const frame = encodeRecord(record);
		assert.is(frame.type, RECORD_TYPES[record.type]);
		assert.equal(decode(frame.type, new Uint8Array(frame.payload)), record, record.type);
	}
	const reject = { type: "reject", code: "corrupt", message: "the state differs" } as const;
	assert.equal(decode(RECORD_TYPES.reject, new Uint8Array(encodeRecord(reject).payload)), reject);
});

test("a batch travels as it is, with its checksum and what a simulation charges for it", () => {
	const frame = encodeRecord({ ...EXAMPLES.batch, modelledByteLength: 9000 });
	assert.is(frame.payload, BYTES);
	assert.is(frame.checksum, 77n);
	assert.is(frame.modelledByteLength, 9000);
});

test("fields of a later version are ignored", () => {
	assert.equal(decode(RECORD_TYPES.go, json({ later: { x: 1 } })), { type: "go" });
	assert.equal(decode(RECORD_TYPES.layout, json({ pageCount: 3, type: "hello", huge: [[[1]]] })), {
		type: "layout",
		pageCount: 3,
	});
});

test("an unknown optional record is ignored, an unknown mandatory one is an error", () => {
	assert.is(decode(200 | OPTIONAL_BIT, json("rubbish")), undefined);
	const error = wireFailure(() => decode(200, json("{}")));
	assert.is(error.code, "unknown-record");
	assert.is(error.record, "type 200");
});

test("a missing field, a wrong type and a value out of range are told apart by name", () => {
	refuses("layout", {}, "missing", "pageCount");
	refuses("layout", { pageCount: null }, "missing", "pageCount");
	refuses("layout", { pageCount: "1" }, "wrong-type", "pageCount");
	refuses("layout", { pageCount: -1 }, "out-of-range", "pageCount");
	refuses("layout", { pageCount: 1.5 }, "out-of-range", "pageCount");
	refuses("layout", { pageCount: 2 ** 32 }, "out-of-range", "pageCount");
	refuses("prepared", '{"setupMs":1e999}', "out-of-range", "setupMs");
	refuses("prepared", { setupMs: -1 }, "out-of-range", "setupMs");
	refuses("digest", { digest: "00", pageCount: 1, stateByteLength: 1 }, "out-of-range", "digest");
	refuses("answer", { moveId: "a", status: "dancing" }, "out-of-range", "status");
	refuses("query", { moveId: "../../etc/passwd" }, "out-of-range", "moveId");
	refuses("query", { moveId: "a".repeat(65) }, "out-of-range", "moveId");
	refuses("query", { moveId: "a\n" }, "out-of-range", "moveId");
	refuses("welcome", { protocol: 1, missing: [1], windowBytes: 65536 }, "wrong-type", "missing");
	refuses("welcome", { protocol: 1, missing: [HASH, HASH], windowBytes: 65536 }, "out-of-range", "missing");
	refuses("welcome", { protocol: 1, missing: [], windowBytes: 1 }, "out-of-range", "windowBytes");
	refuses("abort", { code: "Bad Code", message: "" }, "out-of-range", "code");
	refuses("reject", { code: "corrupt", message: "x", pageIndex: -1 }, "out-of-range", "pageIndex");
});

test("a hello's layout is checked to the last field", () => {
	const withLayout = (layout: object) => ({ ...HELLO, layout: { ...LAYOUT, ...layout } });
	refuses("hello", { ...HELLO, layout: [] }, "wrong-type", "layout");
	refuses("hello", { ...HELLO, protocol: { min: 2, max: 1 } }, "out-of-range", "protocol.max");
	refuses("hello", { ...HELLO, intent: "conquer" }, "out-of-range", "intent");
	refuses("hello", { ...HELLO, verification: "none" }, "out-of-range", "verification");
	refuses("hello", withLayout({ pageBytes: 5000 }), "out-of-range", "layout.pageBytes");
	refuses("hello", withLayout({ maximumPageCount: 15 }), "out-of-range", "layout.maximumPageCount");
	refuses(
		"hello",
		withLayout({ resources: [{ name: "x", hash: "zz", byteLength: 1 }] }),
		"out-of-range",
		"layout.resources[0].hash",
	);
	refuses(
		"hello",
		withLayout({ resources: [LAYOUT.resources[0], LAYOUT.resources[0]] }),
		"out-of-range",
		"layout.resources",
	);
	refuses("hello", withLayout({ facts: { a: 1 } }), "wrong-type", "layout.facts.a");
	const many = Object.fromEntries(Array.from({ length: MAX_FACTS + 1 }, (_, i) => [`f${i}`, ""]));
	refuses("hello", withLayout({ facts: many }), "out-of-range", "layout.facts");
});

test("a set of missing pages travels in its smaller form, and only a well-formed one is read", () => {
	const bits = new Uint8Array(4096);
	bits.fill(0xff, 100, 200);
	const record = { type: "missing", firstPage: 0, pageCount: bits.byteLength * 8, bits } as const;
	const runs = new Uint8Array(encodeRecord(record).payload);
	assert.is(runs.byteLength, 12 + 8);
	assert.equal(decode(RECORD_TYPES.missing, runs), record);
	const scattered = { ...record, bits: new Uint8Array(4096).fill(0x55) };
	assert.is(encodeRecord(scattered).payload.byteLength, 12 + 4096);
	const words = (...values: number[]) => new Uint8Array(Uint32Array.from(values).buffer);
	const refused = (payload: Uint8Array<ArrayBuffer>, field: string): void =>
		assert.is(wireFailure(() => decode(RECORD_TYPES.missing, payload)).field, field);
	refused(words(0, 16), "");
	refused(words(4, 16, 1, 0, 3), "firstPage");
	refused(words(0, 0, 1), "pageCount");
	refused(words(0, 0xffff_ffff, 1), "pageCount");
	refused(words(0, 16, 2, 0, 3), "form");
	refused(words(0, 16, 1, 0), "runs");
	refused(words(0, 16, 1, 0, 17), "runs");
	refused(words(0, 16, 1, 0, 0), "runs");
	refused(words(0, 16, 1, 4, 2, 6, 1), "runs"); // they touch: one run
	refused(words(0, 16, 1, 4, 2, 0, 1), "runs");
	refused(words(0, 16, 0), "bits");
	refused(new Uint8Array([...words(0, 9, 0), 0, 2]), "bits");
	assert.is(wireFailure(() => encodeRecord({ ...record, pageCount: 9, bits: new Uint8Array([0, 2]) })).field, "bits");
});

test("faults name pages, hashes come whole", () => {
	assert.is(wireFailure(() => decode(RECORD_TYPES.fault, new Uint8Array(0))).field, "pageIndices");
	assert.is(wireFailure(() => decode(RECORD_TYPES.fault, new Uint8Array(3))).code, "malformed");
	assert.is(wireFailure(() => decode(RECORD_TYPES.fault, new Uint8Array(4100))).code, "too-large");
	assert.is(wireFailure(() => decode(RECORD_TYPES.taken, new Uint8Array(4))).code, "malformed");
	assert.is(wireFailure(() => decode(RECORD_TYPES.hashes, new Uint8Array(4))).field, "hashes");
	assert.is(wireFailure(() => decode(RECORD_TYPES.hashes, new Uint8Array(21))).field, "hashes");
	refuses("corrupt", { pageIndices: [-1], pageCount: 1 }, "out-of-range", "pageIndices");
	refuses("hello", { ...HELLO, faulting: "yes" }, "wrong-type", "faulting");
	refuses("kept", { snapshotId: "0".repeat(31) }, "out-of-range", "snapshotId");
	refuses("offer", { ...EXAMPLES.offer, label: "x".repeat(257) }, "out-of-range", "label");
	refuses("offer", { ...EXAMPLES.offer, facts: { a: 1 } }, "wrong-type", "facts.a");
});

test("nothing in a payload reaches a prototype", () => {
	const text = JSON.stringify(HELLO).replace('"features"', '"__proto__"');
	assert.is(wireFailure(() => decode(RECORD_TYPES.hello, json(text))).field, "layout.facts");
	refuses("layout", '{"__proto__":{"pageCount":1}}', "missing", "pageCount");
	refuses("layout", '{"constructor":{"pageCount":1}}', "missing", "pageCount");
	const named = JSON.stringify(HELLO).replace('"features"', '"constructor"');
	const record = decode(RECORD_TYPES.hello, json(named)) as HelloRecord;
	assert.is(Object.getPrototypeOf(record.layout.facts), Object.prototype);
	assert.is(record.layout.facts.constructor, "simd,bulk");
});

test("a payload that is no JSON object in UTF-8 is malformed", () => {
	for (const payload of ["", "{", "[]", "1", "null", '"x"', "{} {}", "\ufeff{}"])
		assert.is(wireFailure(() => decode(RECORD_TYPES.go, json(payload))).code, "malformed", payload);
	const notUtf8 = json('{"moveId":"a","later":"?"}').map((byte) => (byte === 0x3f ? 0xff : byte));
	assert.is(wireFailure(() => decode(RECORD_TYPES.query, notUtf8)).code, "malformed");
});

test("a payload over its record's limit is refused before it is read", () => {
	const over = new Uint8Array(MAX_CONTROL_BYTES + 1).fill(0x20);
	assert.is(wireFailure(() => decode(RECORD_TYPES.go, over)).code, "too-large");
	const chunk = new Uint8Array(MAX_CHUNK_BYTES + 9);
	assert.is(wireFailure(() => decode(RECORD_TYPES.state, chunk)).code, "too-large");
});

test("a piece must lie inside what it belongs to", () => {
	const piece = (offset: number, total: number, byteLength: number): Uint8Array<ArrayBuffer> => {
		const payload = new Uint8Array(8 + byteLength);
		new DataView(payload.buffer).setUint32(0, offset, true);
		new DataView(payload.buffer).setUint32(4, total, true);
		return payload;
	};
	assert.ok(decode(RECORD_TYPES.state, piece(0, 0, 0)));
	for (const [offset, total, byteLength, field] of [
		[0, MAX_STATE_BYTES + 1, 4, "total"],
		[8, 10, 4, "offset"],
		[0xffff_ffff, 10, 4, "offset"],
		[0, 10, 0, "bytes"],
	] as const)
		assert.is(wireFailure(() => decode(RECORD_TYPES.state, piece(offset, total, byteLength))).field, field);
	assert.is(wireFailure(() => decode(RECORD_TYPES.state, new Uint8Array(7))).code, "malformed");
	assert.is(wireFailure(() => decode(RECORD_TYPES.resource, new Uint8Array(39))).code, "malformed");
});

test("what the peer would not accept is refused before it is sent", () => {
	assert.is(wireFailure(() => encodeRecord({ type: "query", moveId: "A B" })).field, "moveId");
	assert.is(wireFailure(() => encodeRecord({ ...EXAMPLES.state, offset: 1 })).field, "offset");
	assert.is(wireFailure(() => encodeRecord({ ...EXAMPLES.resource, hash: "AB".repeat(32) })).field, "hash");
	const facts = Object.fromEntries(Array.from({ length: 20 }, (_, i) => [`f${i}`, "x".repeat(4096)]));
	assert.is(wireFailure(() => encodeRecord({ ...HELLO, layout: { ...LAYOUT, facts } })).code, "too-large");
});

test("a message for people is cut to its limit, and cannot steer a terminal", () => {
	const long = encodeRecord({ type: "abort", code: "x", message: "é".repeat(5000) });
	const cut = decode(RECORD_TYPES.abort, new Uint8Array(long.payload)) as { message: string };
	assert.is(cut.message.length, 2048);
	const steering = encodeRecord({ type: "refuse", code: "x", message: "a\u001b[2Jb\nc\u009bd" });
	const shown = decode(RECORD_TYPES.refuse, new Uint8Array(steering.payload)) as { message: string };
	assert.is(shown.message, "a\ufffd[2Jb\nc\ufffdd");
});

test.run();
