import fc from "fast-check";
import { suite } from "uvu";
import * as assert from "uvu/assert";
import { decodeFrameHeader, encodeFrameHeader } from "../../bindings/wire/frame.ts";
import { RECORD_TYPES } from "../../bindings/wire/record-types.ts";
import { decodeRecord, encodeRecord, type Record } from "../../bindings/wire/records.ts";
import { WireError } from "../../bindings/wire/wire-error.ts";
import { testHash64 } from "../contract/suites/hash.ts";

const test = suite("wire records, any values");

const u32 = fc.integer({ min: 0, max: 0xffff_ffff });
const u16 = fc.integer({ min: 0, max: 0xffff });
const hex = (digits: number) =>
	fc
		.array(fc.constantFrom(..."0123456789abcdef"), { minLength: digits, maxLength: digits })
		.map((list) => list.join(""));
const name = (maxLength: number) =>
	fc
		.array(fc.constantFrom(..."abcxyz0189-"), { minLength: 0, maxLength: maxLength - 1 })
		.map((list) => `m${list.join("")}`);
const windowBytes = fc.integer({ min: 65536, max: 64 << 20 });
const versions = fc.tuple(u16, u16).map(([x, y]) => ({ min: Math.min(x, y), max: Math.max(x, y) }));
const failure = {
	code: name(128),
	message: fc.string({ unit: "grapheme", maxLength: 200 }).map((text) => text.replace(/\p{Cc}/gu, "")),
};
const bytes = fc.uint8Array({ minLength: 1, maxLength: 500 }).map((array) => new Uint8Array(array));
const piece = fc
	.tuple(bytes, fc.nat(1 << 20), fc.nat(1 << 20))
	.map(([content, before, after]) => ({ offset: before, total: before + content.byteLength + after, bytes: content }));

const layout = fc
	.tuple(
		u32,
		u32,
		fc.uniqueArray(hex(64), { maxLength: 8 }),
		fc.dictionary(fc.string({ minLength: 1, maxLength: 40 }), fc.string({ maxLength: 100 }), {
			maxKeys: 20,
			noNullPrototype: true,
		}),
	)
	.map(([x, y, hashes, facts]) => {
		return {
			kind: "wasm",
			pageBytes: 4096,
			pageCount: Math.min(x, y),
			maximumPageCount: Math.max(x, y),
			resources: hashes.map((hash, i) => ({ name: `r${i}`, hash, byteLength: i })),
			facts: Object.fromEntries(Object.entries(facts).filter(([fact]) => fact !== "__proto__")),
		};
	});

const records: fc.Arbitrary<Record> = fc.oneof(
	fc.record({
		type: fc.constant("hello" as const),
		protocol: versions,
		intent: fc.constant("move" as const),
		moveId: name(64),
		technique: name(128),
		verification: fc.constantFrom("transport" as const, "full" as const),
		layout,
		windowBytes,
	}),
	fc.record({
		type: fc.constant("welcome" as const),
		protocol: u16,
		missing: fc.uniqueArray(hex(64), { maxLength: 20 }),
		windowBytes,
	}),
	fc.record({ type: fc.constantFrom("refuse" as const, "abort" as const), ...failure }),
	fc.record({ type: fc.constant("reject" as const), ...failure, pageIndex: u32 }),
	fc.record({
		type: fc.constant("prepared" as const),
		setupMs: fc.double({ min: 0, max: 1e12, noNaN: true }).map((ms) => ms + 0),
	}),
	fc.record({ type: fc.constant("layout" as const), pageCount: u32 }),
	fc.record({
		type: fc.constant("digest" as const),
		digest: hex(32),
		pageCount: u32,
		stateByteLength: fc.nat(64 << 20),
	}),
	fc.tuple(fc.nat(1 << 20), fc.array(fc.boolean(), { minLength: 1, maxLength: 200 })).map(([first, pages]) => {
		const bits = new Uint8Array(Math.ceil(pages.length / 8));
		for (const [i, missing] of pages.entries()) if (missing) bits[i >>> 3]! |= 1 << (i & 7);
		return { type: "missing" as const, firstPage: first * 8, pageCount: pages.length, bits };
	}),
	fc
		.array(u32, { minLength: 1, maxLength: 1024 })
		.map((pages) => ({ type: "fault" as const, pageIndices: Uint32Array.from(pages) })),
	fc.record({ type: fc.constant("taken" as const), pageIndex: u32, pageCount: u32 }),
	fc.record({
		type: fc.constant("complete" as const),
		digest: hex(32),
		pageCount: u32,
		report: fc.record(
			{
				faults: u32,
				minorFaults: u32,
				blockedMs: fc.nat(),
				p50Ms: fc.nat(),
				p90Ms: fc.nat(),
				maximumMs: fc.nat(),
				histogram: fc.array(u32, { maxLength: 32 }),
				touchedPages: u32,
			},
			{
				requiredKeys: ["faults", "minorFaults", "blockedMs", "p50Ms", "p90Ms", "maximumMs", "histogram"],
				noNullPrototype: true,
			},
		),
	}),
	fc.record({ type: fc.constant("hashes" as const), firstPage: u32, hashes: fc.constant(new Uint8Array(48).fill(9)) }),
	fc.record({
		type: fc.constant("corrupt" as const),
		pageIndices: fc.array(u32, { maxLength: 256 }),
		pageCount: u32,
	}),
	fc.record({ type: fc.constant("recover" as const), moveId: name(64) }),
	fc.record({ type: fc.constant("recover" as const), moveId: name(64), epoch: u32 }),
	fc.record({ type: fc.constant("committed" as const), epoch: fc.integer({ min: 1, max: 0xffff_ffff }) }),
	fc.record({ type: fc.constant("kept" as const), snapshotId: hex(32) }),
	fc.record({
		type: fc.constant("offer" as const),
		protocol: fc.tuple(u16, u16).map(([a, b]) => ({ min: Math.min(a, b), max: Math.max(a, b) })),
		technique: name(128),
		verification: fc.constantFrom("transport" as const, "full" as const),
		layout,
		label: fc.string({ maxLength: 64 }),
		generation: hex(32),
		facts: fc.dictionary(name(20), fc.string({ maxLength: 40 }), { maxKeys: 5, noNullPrototype: true }),
		windowBytes,
	}),
	fc.record({ type: fc.constant("round" as const), index: u32, toSend: u32, sent: u32, skipped: u32 }),
	fc.record({
		type: fc.constant("answer" as const),
		moveId: name(64),
		status: fc.constantFrom("running" as const, "declined" as const, "unknown" as const),
	}),
	fc.tuple(hex(64), piece).map(([hash, content]) => ({ type: "resource" as const, hash, ...content })),
	piece.map((content) => ({ type: "state" as const, ...content })),
	fc
		.tuple(bytes, fc.bigInt({ min: 0n, max: 2n ** 64n - 1n }))
		.map(([content, checksum]) => ({ type: "batch" as const, batch: { bytes: content, checksum } })),
);

test("every record that can be sent comes back equal", () => {
	fc.assert(
		fc.property(records, (record) => {
			const frame = encodeRecord(record);
			const decoded = decodeRecord({
				type: frame.type,
				payload: new Uint8Array(frame.payload),
				checksum: frame.checksum ?? 0n,
			});
			// fast-check makes some objects without a prototype, which compare as different: the clone has one.
			assert.equal(decoded, structuredClone(record));
		}),
		{ numRuns: 500 },
	);
});

test("any bytes in any record give a record or a WireError", () => {
	const types = Object.values(RECORD_TYPES);
	const payloads = fc.oneof(
		fc.uint8Array({ maxLength: 300 }),
		fc.json({ maxDepth: 4 }).map((text) => new TextEncoder().encode(text)),
	);
	fc.assert(
		fc.property(fc.constantFrom(...types), payloads, (type, payload) => {
			try {
				decodeRecord({ type, payload: new Uint8Array(payload), checksum: 0n });
			} catch (error) {
				assert.instance(error, WireError);
			}
		}),
		{ numRuns: 2000 },
	);
});

test("one changed byte in a record gives a record or a WireError", () => {
	fc.assert(
		fc.property(records, fc.nat(), fc.integer({ min: 1, max: 255 }), (record, place, change) => {
			const frame = encodeRecord(record);
			const payload = new Uint8Array(frame.payload);
			if (payload.byteLength > 0) payload[place % payload.byteLength]! ^= change;
			try {
				decodeRecord({ type: frame.type, payload, checksum: 0n });
			} catch (error) {
				assert.instance(error, WireError);
			}
		}),
		{ numRuns: 1000 },
	);
});

test("every header comes back equal", () => {
	const headers = fc.record({
		lane: fc.constantFrom(0 as const, 1 as const),
		type: u16,
		sequence: u32,
		payloadByteLength: u32,
		checksum: fc.bigInt({ min: 0n, max: 2n ** 64n - 1n }),
		modelledByteLength: u32,
	});
	fc.assert(
		fc.property(headers, (header) => {
			assert.equal(decodeFrameHeader(encodeFrameHeader(header, testHash64), testHash64), { ...header });
		}),
	);
});

test.run();
