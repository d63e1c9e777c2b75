import { suite } from "uvu";
import * as assert from "uvu/assert";
import {
	BATCH_LIMIT_PAGES,
	BatchDecoder,
	BatchEncoder,
	BatchError,
	type BatchErrorCode,
	batchChecksum,
	batchLimitBytes,
	isBatchIntact,
} from "../../bindings/engine/batch.ts";
import { createEngine } from "../../bindings/engine/engine.ts";
import { Lz4 } from "../../bindings/engine/lz4.ts";
import { carry, checksum, pageHash, writeBatch } from "../oracles/batch.ts";
import { lz4Inputs, pseudoRandomBytes } from "../vectors/lz4-inputs.ts";

const test = suite("batches");
const PAGE = 4096;
const engine = createEngine();
const encoder = new BatchEncoder(engine);
const decoder = new BatchDecoder(createEngine());

/** Eight pages: zeros, noise, text-like repetition, … */
function sampleMemory(): Uint8Array {
	const memory = new Uint8Array(8 * PAGE);
	memory.set(pseudoRandomBytes(1, 2 * PAGE), PAGE);
	for (let i = 3 * PAGE; i < 4 * PAGE; i++) memory[i] = i % 17;
	memory[5 * PAGE + 4095] = 1;
	return memory;
}

const memory = sampleMemory();
const all = Uint32Array.from({ length: 8 }, (_, i) => i);
const source = { kind: "memory", bytes: memory } as const;
const page = (pageIndex: number): Uint8Array => memory.subarray(pageIndex * PAGE, (pageIndex + 1) * PAGE);

test("an encoded batch has the documented bytes", () => {
	const batch = encoder.encode({
		pageIndices: Uint32Array.of(0, 1, 5),
		source,
		compress: false,
	});
	assert.equal(batch.bytes, writeBatch([carry(0, page(0)), carry(1, page(1)), carry(5, page(5))]));
	assert.is(batch.byteLength, 16 + 3 * 24 + 2 * PAGE);
	assert.is(batch.checksum, checksum(batch.bytes));
	assert.equal([batch.zeroPages, batch.rawPages, batch.lz4Pages], [1, 2, 0]);
});

test("any flipped bit of a batch is found: by its checksum, by a page's hash, or before that", () => {
	const memory = sampleMemory().subarray(0, 4 * PAGE);
	memory.set(pseudoRandomBytes(9, 64), 2 * PAGE + 100);
	const known = memory.slice();
	const sender = new BatchEncoder(createEngine(), { sentPages: 8 });
	sender.encode({ pageIndices: Uint32Array.of(2), source: { kind: "memory", bytes: known } });
	memory[2 * PAGE + 7]! ^= 1;
	// Zero, raw, a delta, LZ4.
	const pageIndices = Uint32Array.of(0, 1, 2, 3);
	const batch = sender.encode({ pageIndices, source: { kind: "memory", bytes: memory } });
	assert.equal([batch.zeroPages, batch.rawPages, batch.deltaPages, batch.lz4Pages], [1, 1, 1, 1]);
	const options = { pageCount: 8, checksum: batch.checksum, base: new Uint8Array(8 * PAGE) };
	options.base.set(known);
	decoder.decode(batch.bytes, options);
	const bytes = batch.bytes.slice();
	for (let bit = 0; bit < bytes.length * 8; bit++) {
		bytes[bit >> 3]! ^= 1 << (bit & 7);
		try {
			decoder.decode(bytes, options);
			assert.unreachable(`bit ${bit}`);
		} catch (error) {
			if (!(error instanceof BatchError)) throw error;
		}
		assert.is(isBatchIntact(engine, bytes, batch.checksum), false, `bit ${bit}`);
		bytes[bit >> 3]! ^= 1 << (bit & 7);
	}
	assert.ok(isBatchIntact(engine, bytes, batch.checksum));
	assert.is(batchChecksum(engine, bytes), batch.checksum);
});

test("a page is compressed only where that saves a sixteenth", () => {
	const barely = pseudoRandomBytes(3, PAGE).fill(0, PAGE - 200);
	const enough = pseudoRandomBytes(3, PAGE).fill(0, PAGE - 400);
	const source = { kind: "memory", bytes: new Uint8Array([...barely, ...enough]) } as const;
	const batch = encoder.encode({ pageIndices: Uint32Array.of(0, 1), source });
	assert.equal([batch.rawPages, batch.lz4Pages], [1, 1]);
});

test("a compressed page is the block that the LZ4 handle makes", () => {
	const words = lz4Inputs().get("page of words")!;
	const batch = encoder.encode({ pageIndices: Uint32Array.of(0), source: { kind: "memory", bytes: words } });
	assert.equal(batch.bytes.subarray(40), new Lz4(createEngine()).encode(words));
});

test("an empty batch is its header", () => {
	const batch = encoder.encode({ pageIndices: new Uint32Array(0), source });
	assert.equal(batch.bytes, new Uint8Array(16));
	const decoded = decoder.decode(batch.bytes, { pageCount: 0 });
	assert.is(decoded.pages, 0);
	decoded.install(new Uint8Array(0));
	decoded.recordHashes(new Uint32Array(0));
});

test("all sources give the same bytes", () => {
	const pageIndices = Uint32Array.of(1, 2, 3, 6);
	const expected = encoder.encode({ pageIndices, source }).bytes;
	const region = engine.allocate(memory.length - PAGE);
	engine.view(region).set(memory.subarray(PAGE));
	assert.equal(encoder.encode({ pageIndices, source: { kind: "region", region, firstPage: 1 } }).bytes, expected);
	const staging = encoder.staging(4);
	for (const [position, pageIndex] of pageIndices.entries()) staging.set(page(pageIndex), position * PAGE);
	assert.equal(encoder.encode({ pageIndices, source: { kind: "staged" } }).bytes, expected);
});

test("bytes go where the caller wants them", () => {
	const request = { pageIndices: Uint32Array.of(1), source } as const;
	const fresh = encoder.encode(request);
	const into = new Uint8Array(batchLimitBytes(1) + 5);
	const copied = encoder.encode({ ...request, into });
	assert.is(copied.bytes.buffer, into.buffer);
	assert.equal(copied.bytes, fresh.bytes);
	const viewed = encoder.encode({ ...request, into: "view" });
	assert.is(viewed.bytes.buffer, engine.bytes.buffer);
	assert.equal(viewed.bytes, fresh.bytes);
});

test("an encoder's first batch may be a view of memory that has yet to grow", () => {
	const other = createEngine();
	const viewed = new BatchEncoder(other).encode({ pageIndices: all, source, into: "view" });
	assert.is(viewed.bytes.buffer, other.bytes.buffer);
	assert.equal(viewed.bytes, encoder.encode({ pageIndices: all, source }).bytes);
});

// uvu calls the second argument of `throws` as a predicate: a class would always pass.
const isTypeError = (error: Error): boolean => error instanceof TypeError;
const isBatchError = (error: Error): boolean => error instanceof BatchError;
const rangeError = (start: string) => (error: Error) => error instanceof RangeError && error.message.startsWith(start);

test("a wrong request is refused, naming the argument, before anything is encoded", () => {
	const region = engine.allocate(2 * PAGE);
	const encode =
		(pageIndices: Uint32Array, more: object = {}) =>
		() =>
			encoder.encode({ pageIndices, source, ...more });
	assert.throws(encode(Uint32Array.of(2, 1)), rangeError("pageIndices[1] = 1 does not ascend"));
	assert.throws(encode(Uint32Array.of(2, 2)), rangeError("pageIndices[1] = 2 does not ascend"));
	assert.throws(encode(Uint32Array.of(1, 8)), rangeError("pageIndices[1] = 8 lies outside the source"));
	const inRegion = (firstPage: number, held = region) => ({ source: { kind: "region", region: held, firstPage } });
	assert.throws(encode(Uint32Array.of(2), inRegion(3)), rangeError("pageIndices[0] = 2 lies outside"));
	assert.throws(encode(Uint32Array.of(3, 5), inRegion(3)), rangeError("pageIndices[1] = 5 lies outside"));
	assert.throws(
		encode(Uint32Array.of(3), inRegion(3, { offset: 1 << 30, byteLength: PAGE })),
		rangeError("source.region"),
	);
	assert.throws(encode(Uint32Array.of(3), inRegion(-1)), rangeError("source.firstPage"));
	assert.throws(encode(new Uint32Array(BATCH_LIMIT_PAGES + 1)), rangeError("pageIndices.length"));
	assert.throws(encode(Uint32Array.of(1), { into: new Uint8Array(PAGE) }), rangeError("into.byteLength"));
	assert.throws(encode(Uint32Array.of(1), { source: { kind: "other" } }), isTypeError);
	assert.throws(encode([1] as unknown as Uint32Array), isTypeError);
	assert.throws(() => encoder.staging(BATCH_LIMIT_PAGES + 1), rangeError("pages"));
	assert.throws(() => new BatchEncoder(engine, { maxPages: 1025 }), rangeError("maxPages"));
	assert.throws(() => new BatchDecoder(engine, { maxPages: 0 }), rangeError("maxPages"));
});

test("a decoded batch installs its pages and nothing else", () => {
	const pageIndices = Uint32Array.of(0, 1, 2, 3, 5);
	const { bytes } = encoder.encode({ pageIndices, source });
	const target = new Uint8Array(8 * PAGE).fill(9);
	const decoded = decoder.decode(bytes, { pageCount: 8 });
	assert.equal([decoded.pages, decoded.zeroPages, decoded.rawPages, decoded.lz4Pages], [5, 1, 2, 2]);
	assert.equal(decoded.pageIndices(), pageIndices);
	decoded.install(target);
	const expected = memory
		.slice()
		.fill(9, 4 * PAGE, 5 * PAGE)
		.fill(9, 6 * PAGE);
	assert.equal(target, expected);
});

test("a decoded batch gives the hash of each page", () => {
	const { bytes } = encoder.encode({ pageIndices: Uint32Array.of(0, 3), source });
	const table = new Uint32Array(8 * 4);
	decoder.decode(bytes, { pageCount: 8 }).recordHashes(table);
	const hashes = new Uint8Array(table.buffer);
	assert.equal(hashes.slice(0, 16), pageHash(page(0)));
	assert.equal(hashes.slice(48, 64), pageHash(page(3)));
	assert.ok(hashes.slice(16, 48).every((byte) => byte === 0));
});

test("a batch can be read straight into the decoder's memory", () => {
	const { bytes } = encoder.encode({ pageIndices: all, source });
	const inbox = decoder.inbox(bytes.length);
	inbox.set(bytes);
	const target = new Uint8Array(8 * PAGE);
	decoder.decode(inbox, { pageCount: 8 }).install(target);
	assert.equal(target, memory);
	assert.throws(() => decoder.inbox(batchLimitBytes(BATCH_LIMIT_PAGES) + 1), rangeError("byteLength"));
});

test("a target or table that is too small is refused before anything is written", () => {
	const { bytes } = encoder.encode({ pageIndices: Uint32Array.of(1, 5), source });
	const decoded = decoder.decode(bytes, { pageCount: 8 });
	const target = new Uint8Array(6 * PAGE - 1);
	assert.throws(() => decoded.install(target), rangeError("target.byteLength"));
	assert.ok(target.every((byte) => byte === 0));
	assert.throws(() => decoded.recordHashes(new Uint32Array(23)), rangeError("table.length"));
});

test("a decoded batch is gone once its decoder has decoded another", () => {
	const { bytes } = encoder.encode({ pageIndices: all, source });
	const first = decoder.decode(bytes, { pageCount: 8 });
	decoder.decode(bytes, { pageCount: 8 });
	assert.throws(() => first.install(new Uint8Array(8 * PAGE)), isTypeError);
	const second = decoder.decode(bytes, { pageCount: 8 });
	assert.throws(() => decoder.decode(new Uint8Array(3), { pageCount: 8 }), isBatchError);
	assert.throws(() => second.pageIndices(), isTypeError);
});

/** A batch of pages 1, 3 and 4 (raw, LZ4, zero), changed by `change`. */
function changed(change: (view: DataView) => void, byteLength?: number): Uint8Array {
	const pageIndices = Uint32Array.of(1, 3, 4);
	const { bytes } = encoder.encode({ pageIndices, source });
	change(new DataView(bytes.buffer));
	const resized = new Uint8Array(byteLength ?? bytes.length);
	resized.set(bytes.subarray(0, resized.length));
	return resized;
}

const unchanged = (): void => undefined;
const ENTRY = [16, 40, 64] as const;
const PAYLOADS = 16 + 3 * 24;

const refusals: readonly [string, Uint8Array, BatchErrorCode, number | undefined][] = [
	["nothing at all", new Uint8Array(0), "truncated", undefined],
	["half a header", changed(unchanged, 15), "truncated", undefined],
	["half a table", changed(unchanged, 50), "truncated", undefined],
	["half a payload", changed(unchanged, 3000), "truncated", undefined],
	["reserved bits", changed((view) => view.setUint32(4, 1, true)), "bad-header", undefined],
	["another table length", changed((view) => view.setUint32(8, 48, true)), "bad-header", undefined],
	["too many pages", changed((view) => view.setUint32(0, 1025, true)), "bad-header", undefined],
	["2^32 - 1 pages", changed((view) => view.setUint32(0, 0xffff_ffff, true)), "bad-header", undefined],
	["payloads that never end", changed((view) => view.setUint32(12, 0xffff_ffff, true)), "truncated", undefined],
	["bytes behind its end", changed(unchanged, 9000), "bad-length", undefined],
	["more than a batch can have", new Uint8Array(batchLimitBytes(1024) + 1), "bad-length", undefined],
	[
		"a raw page of 4095 bytes",
		changed((view) => view.setUint32(ENTRY[0] + 4, (1 << 24) | 4095, true)),
		"bad-length",
		0,
	],
	[
		"an LZ4 page of 4096 bytes",
		changed((view) => view.setUint32(ENTRY[1] + 4, (2 << 24) | 4096, true)),
		"bad-length",
		1,
	],
	["an LZ4 page of no bytes", changed((view) => view.setUint32(ENTRY[1] + 4, 2 << 24, true)), "bad-length", 1],
	["a zero page with bytes", changed((view) => view.setUint32(ENTRY[2] + 4, 1, true)), "bad-length", 2],
	[
		"lengths that do not add up",
		changed((view) => view.setUint32(ENTRY[1] + 4, (2 << 24) | 7, true)),
		"bad-length",
		undefined,
	],
	["an unknown kind", changed((view) => view.setUint32(ENTRY[1] + 4, (200 << 24) | 7, true)), "bad-kind", 1],
	["a page beyond the memory", changed((view) => view.setUint32(ENTRY[2], 8, true)), "bad-index", 2],
	["a page named twice", changed((view) => view.setUint32(ENTRY[1], 1, true)), "bad-order", 1],
	["pages that descend", changed((view) => view.setUint32(ENTRY[1], 0, true)), "bad-order", 1],
	["a block that is none", changed((view) => view.setUint8(PAYLOADS + PAGE, 0)), "bad-payload", 1],
	["a wrong hash", changed((view) => view.setUint8(ENTRY[0] + 8, view.getUint8(ENTRY[0] + 8) ^ 1)), "corrupt-page", 0],
	[
		"a wrong hash, upper half",
		changed((view) => view.setUint8(ENTRY[1] + 23, view.getUint8(ENTRY[1] + 23) ^ 128)),
		"corrupt-page",
		1,
	],
	["a wrong hash of zeros", changed((view) => view.setUint8(ENTRY[2] + 8, 0)), "corrupt-page", 2],
	[
		"a wrong byte",
		changed((view) => view.setUint8(PAYLOADS + 77, view.getUint8(PAYLOADS + 77) ^ 4)),
		"corrupt-page",
		0,
	],
];

test("a batch that is not one is refused with its reason and its page", () => {
	for (const [name, bytes, code, position] of refusals) {
		try {
			decoder.decode(bytes, { pageCount: 8 });
		} catch (error) {
			assert.instance(error, BatchError, name);
			const refusal = error as BatchError;
			assert.is(refusal.code, code, name);
			assert.is(refusal.position, position, name);
			assert.is(refusal.pageIndex === undefined, position === undefined, name);
			continue;
		}
		assert.unreachable(`${name} was accepted`);
	}
});

test("a block of less than a page is refused, even where the page would be right", () => {
	const short = new Lz4(createEngine()).encode(page(3).subarray(0, 4000));
	const bytes = writeBatch([{ pageIndex: 3, kind: 2, payload: short, hash: pageHash(page(3)) }]);
	// The page was decoded before, so that its last bytes still lie in the staging.
	decoder.decode(encoder.encode({ pageIndices: Uint32Array.of(3), source }).bytes, { pageCount: 8 });
	assert.throws(
		() => decoder.decode(bytes, { pageCount: 8 }),
		(error: BatchError) => error.code === "bad-payload",
	);
});

test("a refusal names the page", () => {
	try {
		decoder.decode(
			changed((view) => view.setUint8(PAYLOADS, 1)),
			{ pageCount: 8 },
		);
		assert.unreachable();
	} catch (error) {
		assert.is((error as BatchError).message, "batch refused, nothing installed: corrupt-page at position 0, page 1");
	}
});

test("the limit of pages is the decoder's", () => {
	const { bytes } = encoder.encode({ pageIndices: all, source });
	assert.is(new BatchDecoder(createEngine(), { maxPages: 8 }).decode(bytes, { pageCount: 8 }).pages, 8);
	try {
		new BatchDecoder(createEngine(), { maxPages: 7 }).decode(bytes, { pageCount: 8 });
		assert.unreachable();
	} catch (error) {
		assert.is((error as BatchError).code, "bad-header");
	}
});

test.run();
