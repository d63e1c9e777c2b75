import { suite } from "uvu";
import * as assert from "uvu/assert";
import {
	BatchDecoder,
	BatchEncoder,
	type BatchEncoderOptions,
	BatchError,
	type BatchRequest,
} from "../../bindings/engine/batch.ts";
import { createEngine } from "../../bindings/engine/engine.ts";
import { expand, pageHash, readBatch, writeBatch } from "../oracles/batch.ts";
import { pseudoRandomBytes } from "../vectors/lz4-inputs.ts";

const test = suite("batches with deltas");
const PAGE = 4096;
const PAGES = 64;
const SLOW = 1000;
const FAST = 10_000_000;

/** A source and a target that are the same to begin with, and a coder between them. */
function pair(options: BatchEncoderOptions = { sentPages: PAGES }) {
	const memory = pseudoRandomBytes(99, PAGES * PAGE);
	const target = new Uint8Array(PAGES * PAGE);
	const encoder = new BatchEncoder(createEngine(), options);
	const decoder = new BatchDecoder(createEngine());
	const encode = (list: readonly number[], more: Partial<BatchRequest> = {}) =>
		encoder.encode({ pageIndices: Uint32Array.from(list), source: { kind: "memory", bytes: memory }, ...more });
	const apply = (bytes: Uint8Array) => {
		const decoded = decoder.decode(bytes, { pageCount: PAGES, base: target });
		decoded.install(target);
		return decoded;
	};
	const send = (list: readonly number[], more: Partial<BatchRequest> = {}) => {
		const batch = encode(list, more);
		apply(batch.bytes);
		for (const pageIndex of list) assert.equal(pageOf(target, pageIndex), pageOf(memory, pageIndex));
		return batch;
	};
	const kinds = (list: readonly number[], more: Partial<BatchRequest> = {}) =>
		readBatch(send(list, more).bytes).map(({ kind }) => kind);
	return { memory, target, encoder, decoder, encode, apply, send, kinds };
}

const pageOf = (bytes: Uint8Array, pageIndex: number) => bytes.slice(pageIndex * PAGE, (pageIndex + 1) * PAGE);
const code = (expected: string) => (error: Error) => error instanceof BatchError && error.code === expected;
const named = (start: string) => (error: Error) => error instanceof RangeError && error.message.startsWith(start);

test("a page that has not changed since it was sent costs its table entry", () => {
	const { send } = pair();
	send([3, 4]);
	const again = send([3, 4]);
	assert.equal([again.unchangedPages, again.byteLength], [2, 16 + 2 * 24]);
});

test("a page that has changed a little is sent as a delta: XBZRLE on a slow link, a word mask on a fast one", () => {
	const { memory, kinds } = pair();
	assert.equal(kinds([1, 2]), [1, 1]);
	memory[PAGE + 100]! ^= 1;
	memory[2 * PAGE]! ^= 1;
	assert.equal(kinds([1], { linkBytesPerMs: SLOW }), [4]);
	assert.equal(kinds([2], { linkBytesPerMs: FAST }), [5]);
	memory[PAGE + 100]! ^= 1;
	assert.equal(kinds([1, 2]), [4, 3]);
});

test("a delta carries what it should", () => {
	const { memory, target, send, encode, apply } = pair();
	send([5, 6]);
	const before = pageOf(memory, 6);
	for (let at = 6 * PAGE + 10; at < 7 * PAGE; at += 400) memory[at]! ^= 0x3c;
	for (const linkBytesPerMs of [SLOW, FAST]) {
		const [carried] = readBatch(encode([6], { linkBytesPerMs }).bytes);
		// Encoding twice means that the second is against the first.
		assert.equal(expand(carried!, linkBytesPerMs === SLOW ? before : pageOf(memory, 6)), pageOf(memory, 6));
		if (linkBytesPerMs === SLOW) apply(encode([]).bytes);
	}
	assert.equal(pageOf(target, 6), before);
});

test("zero, raw, LZ4, unchanged and delta pages go in one batch", () => {
	const { memory, kinds } = pair();
	memory.fill(0, 0, PAGE);
	for (let i = 40 * PAGE; i < 41 * PAGE; i++) memory[i] = i % 31;
	kinds([3, 4, 5]);
	memory[4 * PAGE + 7]! ^= 1;
	memory.set(pseudoRandomBytes(5, PAGE), 5 * PAGE);
	assert.equal(kinds([0, 1, 3, 4, 5, 40]), [0, 1, 3, 4, 1, 2]);
});

test("deltas are refused without what they are against", () => {
	const { memory, decoder, encode, send } = pair();
	send([3]);
	memory[3 * PAGE]! ^= 1;
	const { bytes } = encode([3]);
	assert.throws(() => decoder.decode(bytes, { pageCount: PAGES }), code("no-base"));
	assert.throws(() => decoder.decode(bytes, { pageCount: PAGES, base: new Uint8Array(3 * PAGE) }), named("base"));
});

test("a delta or an unchanged page against something else is found, and names the page", () => {
	for (const change of [0, 1]) {
		const { memory, target, apply, encode, send } = pair();
		send([3, 9]);
		memory[9 * PAGE + 50]! ^= change;
		target[9 * PAGE + 2000]! ^= 1;
		const before = target.slice();
		try {
			apply(encode([3, 9]).bytes);
			assert.unreachable();
		} catch (error) {
			assert.instance(error, BatchError);
			assert.equal([(error as BatchError).code, (error as BatchError).pageIndex], ["corrupt-page", 9]);
		}
		assert.equal(target, before);
	}
});

test("a delta that is none is refused as a payload, whatever the page looks like then", () => {
	const { memory, target, decoder, send } = pair();
	send([2]);
	const hash = pageHash(pageOf(memory, 2));
	for (const [kind, payload] of [
		[4, [3, 0]],
		[5, [1, 0, 0, 0, 0, 0, 0, 0, 0]],
	] as const) {
		const bytes = writeBatch([{ pageIndex: 2, kind, payload: Uint8Array.from(payload), hash }]);
		assert.throws(() => decoder.decode(bytes, { pageCount: PAGES, base: target }), code("bad-payload"));
	}
});

test("what did not reach the receiver is forgotten on demand", () => {
	const { memory, encoder, encode, kinds, send } = pair();
	send([1, 2, 3]);
	for (const pageIndex of [1, 2, 3]) memory[pageIndex * PAGE]! ^= 1;
	encode([1, 2, 3]); // lost
	encoder.forgetSent(Uint32Array.of(1, 2));
	encoder.forgetSent(Uint32Array.of(3));
	assert.equal(kinds([1, 2, 3]), [1, 1, 1]);
	memory[PAGE]! ^= 1;
	encode([1]);
	encoder.forgetSent();
	assert.equal(kinds([1, 2]), [1, 1]);
	pair({}).encoder.forgetSent();
});

test("forgetting a page leaves the page alone that shares its slot", () => {
	const { encoder, kinds } = pair({ sentPages: 4 });
	kinds([1]);
	encoder.forgetSent(Uint32Array.of(5, 9));
	assert.equal(kinds([1]), [3]);
});

test("a round that is not to be remembered leaves nothing that is out of date", () => {
	const { memory, kinds } = pair();
	kinds([1]);
	memory[PAGE]! ^= 1;
	assert.equal(kinds([1], { remember: false }), [4]);
	assert.equal(kinds([1, 2], { remember: false }), [1, 1]);
	assert.equal(kinds([2]), [1]);
	assert.equal(kinds([2]), [3]);
});

test("a page that became zero is no base", () => {
	const { memory, kinds } = pair();
	kinds([1]);
	const page = pageOf(memory, 1);
	memory.fill(0, PAGE, 2 * PAGE);
	assert.equal(kinds([1]), [0]);
	memory.set(page, PAGE);
	assert.equal(kinds([1]), [1]);
});

test("a page defends its slot for two generations", () => {
	const { kinds } = pair({ sentPages: 1 });
	assert.equal(kinds([1], { generation: 7 }), [1]);
	assert.equal(kinds([2], { generation: 8 }), [1]);
	assert.equal(kinds([1], { generation: 8 }), [3]); // refreshed
	assert.equal(kinds([2], { generation: 9 }), [1]);
	assert.equal(kinds([2], { generation: 10 }), [1]); // takes the slot
	assert.equal(kinds([2], { generation: 10 }), [3]);
	assert.equal(kinds([1], { generation: 10 }), [1]);
});

test("a page whose deltas do not pay is not tried for a while, and then again", () => {
	const { memory, kinds } = pair();
	let seed = 1;
	// Odd seeds: the generator makes an even one odd.
	const rewrite = () => {
		seed += 2;
		memory.set(pseudoRandomBytes(seed, PAGE), PAGE);
	};
	/** Rewrites the page until a delta fails, then sends it unchanged until that is noticed. @returns sends in between */
	const skippedAfterFailure = () => {
		rewrite();
		kinds([1]);
		let sends = 0;
		while (kinds([1])[0] === 1) sends++;
		return sends;
	};
	kinds([1]);
	// The page is held by the send before the one that finds it unchanged.
	assert.is(skippedAfterFailure(), 1);
	assert.is(skippedAfterFailure(), 1); // being unchanged was a success
	memory[PAGE]! ^= 1;
	assert.equal(kinds([1]), [4]); // so was a delta
	assert.is(skippedAfterFailure(), 1);
	// Failing again and again: 1, 3, 7, 15 and then always 31 sends are spared.
	for (let i = 0; i < 1 + 2 + 4 + 8 + 16 + 32 + 32; i++) {
		rewrite();
		assert.equal(kinds([1]), [1]);
	}
	let spared = 0;
	while (kinds([1])[0] === 1) spared++;
	assert.is(spared, 31);
});

/** Words of a small alphabet: LZ4 makes 1000 to 2500 bytes of it. */
const babble = (seed: number) => pseudoRandomBytes(seed, PAGE).map((byte, i) => (i % 3 === 0 ? byte & 15 : 7));

test("of a large delta and LZ4 the smaller is sent", () => {
	const { memory, send, kinds } = pair();
	const text = Uint8Array.from({ length: PAGE }, (_, i) => i % 31);
	memory.set(text, PAGE);
	memory.set(babble(1), 2 * PAGE);
	kinds([1, 2]);
	memory.subarray(PAGE, PAGE + 2000).reverse();
	for (let i = 2 * PAGE; i < 2 * PAGE + 1200; i++) memory[i]! ^= 0x11;
	const [first, second] = readBatch(send([1, 2], { linkBytesPerMs: SLOW }).bytes);
	assert.equal([first!.kind, second!.kind], [2, 4]);
	assert.ok(first!.payload.length < 200 && second!.payload.length > 1024);
});

test("LZ4 is spared where it keeps failing, and not elsewhere", () => {
	const { memory, kinds } = pair({});
	const text = (pageIndex: number) => {
		for (let i = pageIndex * PAGE; i < (pageIndex + 1) * PAGE; i++) memory[i] = i % 31;
	};
	kinds(Array.from({ length: 30 }, (_, i) => i));
	text(30);
	text(40);
	assert.equal(kinds([30, 40]), [1, 2]);
	let spared = 0;
	while (kinds([30])[0] === 1) spared++;
	assert.ok(spared < 4, `${spared}`); // soon noticed
	assert.equal(kinds([30]), [2]);
});

test("the slower the link, the fewer attempts are spared", () => {
	const sparedAt = (linkBytesPerMs: number) => {
		const { memory, kinds } = pair({});
		for (let round = 0; round < 40; round++) kinds([0, 1, 2, 3, 4], { linkBytesPerMs });
		for (let i = 0; i < PAGE; i++) memory[i] = i % 31;
		let spared = 0;
		while (spared < 70 && kinds([0], { linkBytesPerMs })[0] === 1) spared++;
		return spared;
	};
	assert.is(sparedAt(SLOW), 0);
	assert.ok(sparedAt(117_000) <= 1);
	assert.ok(sparedAt(500_000) <= 7);
});

test("a link that is faster than LZ4 saves gets no LZ4", () => {
	const { memory, kinds } = pair({});
	for (let i = 0; i < PAGE; i++) memory[i] = i % 31;
	assert.equal(kinds([0], { linkBytesPerMs: SLOW }), [2]);
	assert.equal(kinds([0], { linkBytesPerMs: FAST }), [1]);
	assert.equal(kinds([0], { linkBytesPerMs: SLOW, compress: false }), [1]);
	assert.equal(kinds([0]), [2]);
});

test("what LZ4 saves is learnt: it is given up where it saves little, and taken up again", () => {
	const rate = 400_000; // it has to save 1600 bytes a page here
	const { memory, kinds } = pair({});
	const much = () => Uint8Array.from({ length: PAGE }, (_, i) => i % 31);
	const little = () => pseudoRandomBytes(3, PAGE).fill(0, PAGE - 400);
	const untilKind = (wanted: number, page: Uint8Array) => {
		memory.set(page);
		for (let batches = 0; batches < 100; batches++)
			if (kinds([0], { linkBytesPerMs: rate })[0] === wanted) return batches;
		return 100;
	};
	assert.is(untilKind(2, much()), 0);
	for (let i = 0; i < 30; i++) kinds([0], { linkBytesPerMs: rate });
	assert.is(untilKind(2, much()), 0);
	const given = untilKind(1, little());
	assert.ok(given > 0 && given < 20, `${given}`);
	// Only samples, of every 32nd batch, can tell now.
	const taken = untilKind(2, much());
	assert.ok(taken > 0 && taken < 100, `${taken}`);
});

test("what LZ4 costs is measured where there is a clock", () => {
	const kindWith = (msPerCall: number) => {
		let now = 0;
		const { memory, kinds } = pair({ now: () => (now += msPerCall) });
		for (let i = 0; i < PAGE; i++) memory[i] = i % 31;
		return kinds([0], { linkBytesPerMs: 100_000 });
	};
	assert.equal([kindWith(0.002), kindWith(2)], [[2], [1]]);
});

test("wrong options are refused, naming them", () => {
	const engine = createEngine();
	assert.throws(() => new BatchEncoder(engine, { sentPages: -1 }), named("sentPages"));
	assert.throws(() => new BatchEncoder(engine, { sentPages: 2 ** 18 + 1 }), named("sentPages"));
	const { encode } = pair({});
	assert.throws(() => encode([1], { generation: -1 }), named("generation"));
	assert.throws(() => encode([1], { linkBytesPerMs: 0 }), named("linkBytesPerMs"));
	assert.throws(() => encode([1], { linkBytesPerMs: Number.NaN }), named("linkBytesPerMs"));
});

test.run();
