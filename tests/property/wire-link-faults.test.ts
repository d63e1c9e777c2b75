// Two links over a simulated stream, any traffic, any fault: what arrives is a true beginning of what was sent, lane by
// lane; an undisturbed conversation is complete; every call settles by the deadline; memory stays within the limits.
import fc from "fast-check";
import { suite } from "uvu";
import * as assert from "uvu/assert";
import { SeededRandom } from "../../bindings/lab/seeded-random.ts";
import { connectSimulated } from "../../bindings/lab/simulated-stream.ts";
import { drawFault, type StreamFault } from "../../bindings/lab/stream-faults.ts";
import { VirtualClock } from "../../bindings/lab/virtual-clock.ts";
import { StreamLink } from "../../bindings/links/stream-link.ts";
import { systemClock } from "../../bindings/platform/system-clock.ts";
import { type Lane, type Link, LinkError } from "../../bindings/ports/link.ts";
import { RECORD_TYPES } from "../../bindings/wire/record-types.ts";
import { testHash64 } from "../contract/suites/hash.ts";

const test = suite("links under any fault");

const WINDOW_BYTES = 64 * 1024;
const LARGEST_FRAME_BYTES = 80_000;
const DEADLINE_MS = 60_000;

interface Outcome {
	readonly sent: { readonly [lane in Lane]: number[] };
	readonly received: { readonly [lane in Lane]: number[] };
	readonly errors: LinkError[];
	readonly peakBytes: number;
	readonly closed: boolean;
}

/** A payload that says its lane and number, and whose every byte follows from them. */
function content(lane: Lane, number: number, byteLength: number): Uint8Array<ArrayBuffer> {
	const bytes = new Uint8Array(byteLength).fill(number * 7 + (lane === "urgent" ? 3 : 0));
	new DataView(bytes.buffer).setUint32(0, number * 2 + (lane === "urgent" ? 1 : 0), true);
	return bytes;
}

async function converse(seed: number, faults: readonly StreamFault[]): Promise<Outcome> {
	const random = new SeededRandom(seed);
	const below = (limit: number) => Math.floor((random.nextU32() / 2 ** 32) * limit);
	const clock = new VirtualClock(systemClock);
	const connection = connectSimulated(clock, {
		rateBytesPerMs: 1000,
		latencyMs: below(5),
		bufferBytes: 20_000,
		faults,
	});
	const options = { hash64: testHash64, windowBytes: WINDOW_BYTES, urgentWindowBytes: WINDOW_BYTES };
	const links = [new StreamLink(connection.a, options), new StreamLink(connection.b, options)] as const;
	const sent = { bulk: [] as number[], urgent: [] as number[] };
	const received = { bulk: [] as number[], urgent: [] as number[] };
	const errors: LinkError[] = [];
	const keep = (error: unknown) => {
		if (!(error instanceof LinkError)) throw error;
		errors.push(error);
	};
	const produce = async (link: Link) => {
		for (let number = 0; number < 40; number++) {
			const lane: Lane = below(3) === 0 ? "urgent" : "bulk";
			const byteLength = 4 + below(below(4) === 0 ? LARGEST_FRAME_BYTES - 4 : 3000);
			const sending = link.send({ type: RECORD_TYPES.state, payload: content(lane, number, byteLength) }, lane);
			sent[lane].push(number);
			if (below(2) === 0) await sending;
			else sending.catch(keep);
			await clock.sleep(below(20));
		}
		await link.close();
	};
	const consume = async (link: Link) => {
		for (;;) {
			const frame = await link.receive();
			const mark = new DataView(frame.payload.buffer).getUint32(0, true);
			const lane: Lane = mark % 2 === 1 ? "urgent" : "bulk";
			assert.equal(frame.payload, content(lane, mark >> 1, frame.payload.byteLength));
			received[lane].push(mark >> 1);
			await clock.sleep(below(10));
			frame.release();
		}
	};
	await clock.run(async () => {
		const work = Promise.all([produce(links[0]).catch(keep), consume(links[1]).catch(keep)]);
		const over = new AbortController();
		const deadline = clock.sleep(DEADLINE_MS, over.signal).then(
			() => {
				for (const link of links) link.abort(new Error("deadline"));
			},
			() => undefined,
		);
		await work;
		over.abort();
		await deadline;
		for (const link of links) if (!link.ended.aborted) link.abort(new Error("over"));
	});
	for (const link of links) assert.is(link.ended.aborted, true);
	const codes = links.map((link) => (link.ended.reason as LinkError).code);
	return {
		sent,
		received,
		errors,
		peakBytes: Math.max(...links.map((link) => link.memory.peakBytes)),
		closed: codes.every((code) => code === "closed"),
	};
}

const SMALLEST_BOUND = 1.25 * 2 * (WINDOW_BYTES / 4 + LARGEST_FRAME_BYTES) + 2048;

function assertBounded(outcome: Outcome): void {
	// What the pool may keep for use is bounded by windows and largest frame.
	assert.ok(outcome.peakBytes <= Math.max(SMALLEST_BOUND, 2 * WINDOW_BYTES + (5 << 20)), `${outcome.peakBytes} bytes`);
}

function assertTrueBeginning(outcome: Outcome): void {
	for (const lane of ["bulk", "urgent"] as const)
		assert.equal(outcome.received[lane], outcome.sent[lane].slice(0, outcome.received[lane].length), lane);
}

test("without a fault everything arrives, in the order of its lane", async () => {
	await fc.assert(
		fc.asyncProperty(fc.nat(0xffff_ffff), async (seed) => {
			const outcome = await converse(seed, []);
			assert.equal(outcome.received, outcome.sent);
			assert.is(outcome.closed, true);
			assert.equal(
				outcome.errors.map((error) => error.code),
				["closed"],
			);
			assertBounded(outcome);
		}),
		{ numRuns: 30, includeErrorInReport: true },
	);
});

test("with any fault what arrives is true, every call settles, and memory stays bounded", async () => {
	const seen = new Map<string, number>();
	await fc.assert(
		fc.asyncProperty(fc.nat(0xffff_ffff), fc.integer({ min: 1, max: 3 }), async (seed, count) => {
			const random = new SeededRandom((seed ^ 0x5bd1_e995) >>> 0);
			const space = { durationMs: 800, byteLength: 300_000 };
			const faults = Array.from({ length: count }, () => drawFault(random, space));
			const outcome = await converse(seed, faults);
			assertTrueBeginning(outcome);
			assertBounded(outcome);
			if (outcome.closed) assert.equal(outcome.received, outcome.sent);
			for (const fault of faults) seen.set(fault.kind, (seen.get(fault.kind) ?? 0) + 1);
		}),
		{ numRuns: 150, includeErrorInReport: true },
	);
	assert.is(seen.size, 9, `every kind of fault was tried: ${[...seen].join(" ")}`);
});

test("conversations that once did not end do", async () => {
	// The last word of a closing side could not leave, and abort did not end the wait for it.
	const faults: readonly StreamFault[] = [
		{ kind: "freeze", when: { atMs: 676.1 }, end: "b", durationMs: 353.4 },
		{ kind: "partition", when: { atMs: 728.4 }, from: "a", durationMs: Number.POSITIVE_INFINITY },
	];
	assertTrueBeginning(await converse(1_636_826_309, faults));
});

test("the same seed gives the same conversation", async () => {
	const faults = [drawFault(new SeededRandom(7), { durationMs: 500, byteLength: 100_000 })];
	assert.equal(await converse(11, faults), await converse(11, faults));
});

test.run();
