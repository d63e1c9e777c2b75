import { suite } from "uvu";
import * as assert from "uvu/assert";
import { StreamLink } from "../../bindings/links/stream-link.ts";
import type { LinkError } from "../../bindings/ports/link.ts";
import { MAX_FRAME_PAYLOAD_BYTES, MIN_WINDOW_BYTES } from "../../bindings/wire/limits.ts";
import { encodeCredit } from "../../bindings/wire/link-records.ts";
import { LINK_TYPES, OPTIONAL_BIT, RECORD_TYPES } from "../../bindings/wire/record-types.ts";
import { testHash64 } from "../contract/suites/hash.ts";
import { concat, MemoryStream } from "../contract/suites/memory-stream.ts";
import { frameBytes, judge, openRaw, prefaceBytes } from "../contract/suites/raw-peer.ts";

const test = suite("hostile frames");

const TYPE = RECORD_TYPES.go;
const TEXT = new TextEncoder();
const EMPTY = new Uint8Array(0);

/** Verdict on these frames after an honest preface. */
async function verdict(...parts: Uint8Array[]): Promise<string> {
	const { error } = await judge(concat([prefaceBytes(), ...parts]));
	return error.code;
}

test("an honest conversation passes and an end without an end record is a loss", async () => {
	const { frames, error } = await judge(concat([prefaceBytes(), frameBytes(0, TYPE, 0, TEXT.encode("{}"))]));
	assert.is(frames.length, 1);
	assert.is(error.code, "lost");
	assert.is(await verdict(frameBytes(1, LINK_TYPES.end, 1, EMPTY)), "closed");
});

test("a peer of another kind is told apart by its first bytes", async () => {
	for (const greeting of [
		"GET / HTTP/1.1\r\n\r\n",
		"G",
		"\x16\x03\x01\x02\x00\x01",
		"SSH-2.0-x\r\n",
		"PGFX",
		"\0".repeat(64),
	]) {
		const { error, memory } = await judge(TEXT.encode(greeting));
		assert.is(error.code, "corrupt", JSON.stringify(greeting));
		assert.is(memory.peakBytes, 0);
	}
});

test("a wrong peer is found out without waiting for a whole header", async () => {
	const { link, raw } = openRaw();
	await raw.write([TEXT.encode("HELO")]);
	const error: LinkError = await link.receive().then(
		() => assert.unreachable(),
		(reason) => reason,
	);
	assert.is(error.code, "corrupt");
	assert.is(await link.opened.catch((reason) => reason), error);
});

test("a version that only one side speaks fails on both sides, at once", async () => {
	for (const [mine, theirs] of [
		[1, 2],
		[5, 3],
	] as const) {
		const [a, b] = MemoryStream.pair();
		const links = [
			new StreamLink(a, { hash64: testHash64, protocol: { min: mine, max: mine } }),
			new StreamLink(b, { hash64: testHash64, protocol: { min: theirs, max: theirs } }),
		];
		for (const link of links) {
			const error: LinkError = await link.opened.then(
				() => assert.unreachable(),
				(reason) => reason,
			);
			assert.is(error.code, "unsupported-version");
			assert.is(link.ended.reason, error);
		}
	}
});

test("the highest common version is agreed on", async () => {
	const [a, b] = MemoryStream.pair();
	const links = [
		new StreamLink(a, { hash64: testHash64, protocol: { min: 1, max: 4 } }),
		new StreamLink(b, { hash64: testHash64, protocol: { min: 2, max: 3 } }),
	];
	for (const link of links) assert.is(await link.opened, 3);
});

test("an intact header of another format version is named as such, a damaged one is not believed", async () => {
	const bytes = prefaceBytes();
	bytes[4] = 2;
	assert.is((await judge(bytes)).error.code, "corrupt");
	new DataView(bytes.buffer).setUint32(28, Number(testHash64(bytes.subarray(0, 28)) & 0xffff_ffffn), true);
	assert.is((await judge(bytes)).error.code, "unsupported-version");
});

test("the first frame must be a preface, and there is only one", async () => {
	assert.is((await judge(frameBytes(0, TYPE, 0, TEXT.encode("{}")))).error.code, "corrupt");
	assert.is((await judge(frameBytes(1, LINK_TYPES.end, 0, EMPTY))).error.code, "corrupt");
	const second = prefaceBytes();
	const [, payload] = [second.subarray(0, 32), second.slice(32)];
	assert.is(await verdict(frameBytes(1, LINK_TYPES.preface, 1, payload)), "corrupt");
});

test("a preface with impossible limits is refused", async () => {
	for (const overrides of [
		{ windowBytes: 0 },
		{ windowBytes: 0xffff_ffff },
		{ urgentWindowBytes: MIN_WINDOW_BYTES - 1 },
		{ maximumFrameBytes: 10 },
		{ protocol: { min: 3, max: 1 } },
	])
		assert.is((await judge(prefaceBytes(overrides))).error.code, "corrupt", JSON.stringify(overrides));
	assert.is((await judge(frameBytes(1, LINK_TYPES.preface, 0, new Uint8Array(15)))).error.code, "corrupt");
});

test("a later version's longer preface is read as far as it is known", async () => {
	const longer = concat([prefaceBytes().slice(32), new Uint8Array(100)]);
	const { error } = await judge(
		concat([frameBytes(1, LINK_TYPES.preface, 0, longer), frameBytes(1, LINK_TYPES.end, 1, EMPTY)]),
	);
	assert.is(error.code, "closed");
});

test("giant lengths are refused before anything is allocated", async () => {
	for (const payloadByteLength of [MAX_FRAME_PAYLOAD_BYTES + 1, 0x7fff_ffff, 0xffff_ffff]) {
		const bytes = concat([prefaceBytes(), frameBytes(0, RECORD_TYPES.batch, 0, EMPTY, { payloadByteLength })]);
		const { error, memory } = await judge(bytes);
		assert.is(error.code, "corrupt");
		assert.ok(memory.peakBytes <= 1024, `${memory.peakBytes} bytes`);
	}
	assert.is(await verdict(frameBytes(1, LINK_TYPES.credit, 1, EMPTY, { payloadByteLength: 1025 })), "corrupt");
});

test("lost, repeated and reordered frames are found by their numbers", async () => {
	const [first, second, third] = [0, 1, 2].map((i) => frameBytes(0, TYPE, i, TEXT.encode(`{"i":${i}}`)));
	for (const parts of [
		[first, third],
		[first, first],
		[second],
		[first, third, second],
		[frameBytes(0, TYPE, 0xffff_ffff, EMPTY)],
	])
		assert.is(await verdict(...(parts as Uint8Array[])), "corrupt");
	assert.is(await verdict(first!, second!, third!), "lost");
});

test("lanes are numbered separately, and there are only two", async () => {
	assert.is(await verdict(frameBytes(1, TYPE, 1, EMPTY), frameBytes(0, TYPE, 0, EMPTY)), "lost");
	assert.is(await verdict(frameBytes(1, TYPE, 0, EMPTY)), "corrupt");
	const { error } = await judge(concat([prefaceBytes(), frameBytes(0, TYPE, 0, EMPTY, { lane: 2 as 0 })]));
	assert.is(error.code, "corrupt");
	assert.match(error.message, /lane 2/);
});

test("a payload that does not match its checksum is refused, but for batches, which are checked where they are decoded", async () => {
	const payload = TEXT.encode('{"pageCount":1}');
	assert.is(await verdict(frameBytes(0, RECORD_TYPES.layout, 0, payload, { checksum: 1n })), "corrupt");
	const { frames, error } = await judge(
		concat([prefaceBytes(), frameBytes(0, RECORD_TYPES.batch, 0, payload, { checksum: 1n })]),
	);
	assert.is(error.code, "lost");
	assert.is(frames[0]?.checksum, 1n);
});

test("an unknown link record is ignored if it is optional, an error if not", async () => {
	const end = (sequence: number) => frameBytes(1, LINK_TYPES.end, sequence, EMPTY);
	assert.is(await verdict(frameBytes(1, 9 | OPTIONAL_BIT, 1, new Uint8Array(500)), end(2)), "closed");
	assert.is(await verdict(frameBytes(1, 9, 1, EMPTY), end(2)), "corrupt");
	assert.is(await verdict(frameBytes(1, 0, 1, EMPTY), end(2)), "corrupt");
});

test("credit that was never owed is refused", async () => {
	for (const credit of [
		{ bulkBytes: 1, urgentBytes: 0 },
		{ bulkBytes: 0, urgentBytes: 1 },
		{ bulkBytes: 2 ** 53, urgentBytes: 0 },
	])
		assert.is(await verdict(frameBytes(1, LINK_TYPES.credit, 1, encodeCredit(credit))), "corrupt");
	const huge = new Uint8Array(16).fill(0xff);
	assert.is(await verdict(frameBytes(1, LINK_TYPES.credit, 1, huge)), "corrupt");
	assert.is(await verdict(frameBytes(1, LINK_TYPES.credit, 1, new Uint8Array(3))), "corrupt");
});

test("a peer that ignores the window is stopped, and costs no more than the window", async () => {
	const windowBytes = 128 * 1024;
	for (const byteLength of [0, 100, 5000, 30_000]) {
		const payload = new Uint8Array(byteLength);
		const flood = Array.from({ length: 2000 }, (_, i) => frameBytes(0, TYPE, i, payload));
		const { frames, error, memory } = await judge(concat([prefaceBytes(), ...flood]), { windowBytes }, () => undefined);
		assert.is(error.code, "corrupt");
		assert.ok(frames.length <= windowBytes / (byteLength + 256), `${frames.length} frames of ${byteLength} bytes`);
		assert.ok(memory.peakBytes <= windowBytes * 1.25, `${memory.peakBytes} bytes`);
	}
});

test("a modelled length counts in the window and allocates nothing", async () => {
	const frame = (sequence: number) => frameBytes(0, TYPE, sequence, EMPTY, { modelledByteLength: 0xffff_ffff });
	const { frames, error, memory } = await judge(concat([prefaceBytes(), frame(0), frame(1)]), {}, () => undefined);
	assert.is(frames.length, 1);
	assert.is(error.code, "corrupt");
	assert.ok(memory.peakBytes <= 1024);
});

test("a consumer that has stalled costs no more than the windows, and stops the sender", async () => {
	const [a, b] = MemoryStream.pair();
	const options = { hash64: testHash64, windowBytes: 128 * 1024, urgentWindowBytes: 64 * 1024 };
	const [sender, receiver] = [new StreamLink(a, options), new StreamLink(b, options)];
	let sent = 0;
	const sending = Array.from({ length: 300 }, (_, i) =>
		sender.send({ type: TYPE, payload: new Uint8Array(10_000) }, i % 2 === 0 ? "bulk" : "urgent").then(
			() => sent++,
			(error: LinkError) => error.code,
		),
	);
	await receiver.opened;
	for (let i = 0; i < 1000; i++) await Promise.resolve();
	assert.ok(sent <= 19, `${sent} frames went out`);
	assert.ok(receiver.memory.peakBytes <= 192 * 1024 * 1.25);
	sender.abort(new Error("enough"));
	await Promise.all(sending);
});

test("what follows the end record is not read", async () => {
	const { frames, error } = await judge(
		concat([prefaceBytes(), frameBytes(1, LINK_TYPES.end, 1, EMPTY), TEXT.encode("garbage"), new Uint8Array(1000)]),
	);
	assert.is(frames.length, 0);
	assert.is(error.code, "closed");
});

test.run();
