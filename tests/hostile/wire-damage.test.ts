// One conversation, recorded from real links, and then damaged in every way at every place. Whatever happens, the receiver
// gets a true beginning of what was sent and then an error: never a wrong frame, never an orderly end, never a hang.
import { suite } from "uvu";
import * as assert from "uvu/assert";
import { BatchDecoder, BatchEncoder, BatchError } from "../../bindings/engine/batch.ts";
import { createEngine } from "../../bindings/engine/engine.ts";
import { StreamLink } from "../../bindings/links/stream-link.ts";
import { BATCH_TYPE, RECORD_TYPES } from "../../bindings/wire/record-types.ts";
import { encodeRecord } from "../../bindings/wire/records.ts";
import { testHash64 } from "../contract/suites/hash.ts";
import { concat, MemoryStream } from "../contract/suites/memory-stream.ts";
import { judge, type Verdict } from "../contract/suites/raw-peer.ts";

const test = suite("damaged conversations");

/** A zero page and one that compresses to few bytes: every place of the conversation is damaged in turn. */
const BATCH = new BatchEncoder(createEngine()).encode({
	pageIndices: Uint32Array.of(3, 4),
	source: { kind: "memory", bytes: new Uint8Array(8 * 4096).fill(7, 4 * 4096 + 9) },
});
const decoder = new BatchDecoder(createEngine());

/** As a target does, beside the memory. */
function isWhole({ payload, checksum }: { readonly payload: Uint8Array; readonly checksum: bigint }): boolean {
	try {
		return decoder.decode(payload, { pageCount: 8, checksum }).pages === 2;
	} catch (error) {
		if (error instanceof BatchError) return false;
		throw error;
	}
}

async function record(): Promise<Uint8Array<ArrayBuffer>> {
	const [a, b] = MemoryStream.pair();
	const [sender, receiver] = [a, b].map((stream) => new StreamLink(stream, { hash64: testHash64 }));
	const draining = (async () => {
		for (;;) (await receiver!.receive()).release();
	})().catch(() => undefined);
	await sender!.send(encodeRecord({ type: "query", moveId: "move-1" }), "urgent");
	await sender!.send(encodeRecord({ type: "layout", pageCount: 77 }));
	await sender!.send(
		encodeRecord({ type: "batch", batch: { bytes: new Uint8Array(BATCH.bytes), checksum: BATCH.checksum } }),
	);
	await sender!.send(encodeRecord({ type: "go" }), "urgent");
	await sender!.close();
	await draining;
	return concat(a.written);
}

const conversation = await record();
const truth = await judge(conversation);

/** The frames are the first ones of what was really sent, in their lanes. */
function assertTrueBeginning(verdict: Verdict, damage: string): void {
	for (const frame of verdict.frames) {
		if (frame.type === BATCH_TYPE && !isWhole(frame)) continue;
		const original = truth.frames.find(({ type }) => type === frame.type);
		assert.ok(original !== undefined, damage);
		assert.equal(frame.payload, original.payload, damage);
	}
}

function noticed(verdict: Verdict): boolean {
	const batch = verdict.frames.find(({ type }) => type === RECORD_TYPES.batch);
	return verdict.error.code !== "closed" || batch === undefined || !isWhole(batch);
}

test("undamaged, it arrives whole", () => {
	assert.is(truth.error.code, "closed");
	assert.is(truth.frames.length, 4);
});

test("one flipped bit anywhere is noticed", async () => {
	for (let bit = 0; bit < conversation.byteLength * 8; bit++) {
		const bytes = conversation.slice();
		bytes[bit >> 3]! ^= 1 << (bit & 7);
		const verdict = await judge(bytes);
		assert.ok(noticed(verdict), `bit ${bit}`);
		assertTrueBeginning(verdict, `bit ${bit}`);
	}
});

test("cut off anywhere, it is a loss", async () => {
	for (let length = 0; length < conversation.byteLength; length++) {
		const verdict = await judge(conversation.slice(0, length));
		assert.is(verdict.error.code, "lost", `after ${length} bytes`);
		assertTrueBeginning(verdict, `after ${length} bytes`);
	}
});

test("garbage anywhere in it is noticed", async () => {
	for (let at = 0; at < conversation.byteLength; at++) {
		const garbage = new Uint8Array(1 + (at % 40)).fill(0x5a + at);
		const verdict = await judge(concat([conversation.subarray(0, at), garbage, conversation.subarray(at)]));
		assert.ok(noticed(verdict), `garbage at ${at}`);
		assertTrueBeginning(verdict, `garbage at ${at}`);
	}
});

test("missing, repeated and exchanged bytes anywhere in it are noticed", async () => {
	for (let at = 0; at + 20 < conversation.byteLength; at++) {
		const [head, one, two, tail] = [
			conversation.subarray(0, at),
			conversation.subarray(at, at + 10),
			conversation.subarray(at + 10, at + 20),
			conversation.subarray(at + 20),
		];
		const same = one.every((byte, i) => byte === two[i]);
		for (const parts of [
			[head, two, tail],
			[head, one, one, two, tail],
			[head, two, one, tail],
		]) {
			if (same && parts.length === 4 && parts[1] === two) continue;
			const verdict = await judge(concat(parts));
			assert.ok(noticed(verdict), `at ${at}`);
			assertTrueBeginning(verdict, `at ${at}`);
		}
	}
});

test.run();
