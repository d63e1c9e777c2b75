import fc from "fast-check";
import { suite } from "uvu";
import * as assert from "uvu/assert";
import { SeededRandom } from "../../bindings/lab/seeded-random.ts";
import { connectSimulated, type SimulatedStreamOptions } from "../../bindings/lab/simulated-stream.ts";
import { type ByteFault, ByteFaults, drawFault, joinBytes } from "../../bindings/lab/stream-faults.ts";
import { VirtualClock } from "../../bindings/lab/virtual-clock.ts";
import { systemClock } from "../../bindings/platform/system-clock.ts";
import type { ByteStream } from "../../bindings/ports/byte-stream.ts";
import { LinkError } from "../../bindings/ports/link.ts";

const test = suite("simulated stream");

type Body = (a: ByteStream, b: ByteStream, clock: VirtualClock) => Promise<void>;

async function simulate(options: SimulatedStreamOptions, body: Body): Promise<void> {
	const clock = new VirtualClock(systemClock);
	const { a, b } = connectSimulated(clock, options);
	await clock.run(() => body(a, b, clock));
}

function bytes(...values: number[]): Uint8Array<ArrayBuffer> {
	return Uint8Array.from(values);
}

/** Everything that arrives until the end of the stream. */
async function readAll(stream: ByteStream): Promise<number[]> {
	const all: number[] = [];
	const target = new Uint8Array(7);
	for (;;) {
		const count = await stream.readInto(target);
		if (count === 0) return all;
		all.push(...target.subarray(0, count));
	}
}

async function code(promise: Promise<unknown>): Promise<string> {
	return promise.then(
		() => "no error",
		(error: unknown) => (error instanceof LinkError ? error.code : String(error)),
	);
}

test("bytes take their modelled length divided by the rate, plus the latency", async () => {
	await simulate({ rateBytesPerMs: 100, latencyMs: 5 }, async (a, b, clock) => {
		await a.write([bytes(1, 2), bytes(3)], 1000);
		await a.write([bytes(4)], 200);
		const target = new Uint8Array(10);
		assert.is(await b.readInto(target), 3);
		assert.is(clock.now(), 15);
		assert.is(await b.readInto(target), 1);
		assert.is(clock.now(), 17);
	});
});

test("a write may be reused once it has resolved, and an end arrives behind everything", async () => {
	await simulate({ rateBytesPerMs: 1, latencyMs: 1 }, async (a, b) => {
		const content = bytes(1, 2, 3);
		await a.write([content]);
		content.fill(9);
		const closing = a.close();
		assert.equal(await readAll(b), [1, 2, 3]);
		await closing;
		assert.is(await code(a.write([content])), "closed");
		assert.is(await code(a.readInto(content)), "closed");
	});
});

test("a reader that does not read stops the writer at both buffers", async () => {
	await simulate({ rateBytesPerMs: 10, bufferBytes: 100 }, async (a, b, clock) => {
		let written = 0;
		const writing = (async () => {
			for (let i = 0; i < 20; i++) {
				await a.write([new Uint8Array(50)]);
				written++;
			}
			await a.close();
		})();
		await clock.sleep(10_000);
		assert.ok(written < 8, `${written} writes`);
		assert.is((await readAll(b)).length, 1000);
		await writing;
	});
});

test("a cut tells both ends, and what had arrived can still be read", async () => {
	await simulate({ latencyMs: 1, faults: [{ kind: "cut", when: { atMs: 5 } }] }, async (a, b, clock) => {
		await a.write([bytes(1)]);
		await clock.sleep(4.5);
		await a.write([bytes(2)]);
		await clock.sleep(10);
		const target = new Uint8Array(4);
		assert.is(await b.readInto(target), 1);
		assert.is(await code(b.readInto(target)), "lost");
		assert.is(await code(a.write([bytes(3)])), "lost");
		assert.is(clock.pending, 0);
	});
});

test("a stall passes, and nothing is lost", async () => {
	const faults = [{ kind: "stall", when: { atMs: 0.5 }, durationMs: 100 }] as const;
	await simulate({ latencyMs: 1, faults }, async (a, b, clock) => {
		await a.write([bytes(1)]);
		assert.is(await b.readInto(new Uint8Array(1)), 1);
		assert.is(clock.now(), 100.5);
	});
});

test("a partition holds one direction up, not the other one", async () => {
	const faults = [{ kind: "partition", from: "a", when: { atMs: 0 }, durationMs: 50 }] as const;
	await simulate({ latencyMs: 1, faults }, async (a, b, clock) => {
		await clock.sleep(1);
		await Promise.all([a.write([bytes(1)]), b.write([bytes(2)])]);
		await a.readInto(new Uint8Array(1));
		assert.is(clock.now(), 2);
		await b.readInto(new Uint8Array(1));
		assert.is(clock.now(), 51);
	});
});

test("a frozen end neither reads nor writes, and then goes on", async () => {
	const faults = [{ kind: "freeze", end: "b", when: { from: "a", afterBytes: 2 }, durationMs: 50 }] as const;
	await simulate({ latencyMs: 1, faults }, async (a, b, clock) => {
		const target = new Uint8Array(1);
		await a.write([bytes(1)]);
		await b.readInto(target);
		assert.is(clock.now(), 1);
		await a.write([bytes(2)]);
		const answer = b.write([bytes(3)]);
		await b.readInto(target);
		assert.is(clock.now(), 51);
		await answer;
		await a.readInto(target);
		assert.is(clock.now(), 52);
	});
});

test("a frozen end does not hear of a loss before it thaws, but can be dropped by its owner", async () => {
	const forever = Number.POSITIVE_INFINITY;
	const faults = [
		{ kind: "freeze", end: "b", when: { atMs: 0 }, durationMs: forever },
		{ kind: "cut", when: { atMs: 5 } },
	] as const;
	await simulate({ faults }, async (_a, b, clock) => {
		await clock.sleep(1);
		let settled = false;
		const pending = [b.readInto(new Uint8Array(1)), b.write([bytes(1)])].map((call) =>
			code(call).finally(() => {
				settled = true;
			}),
		);
		await clock.sleep(10);
		assert.is(settled, false);
		b.abort(new Error("enough"));
		for (const outcome of await Promise.all(pending)) assert.is(outcome, "aborted");
		await b.close();
	});
});

test("an abort tells the peer after the latency, and drops what was under way", async () => {
	await simulate({ latencyMs: 2 }, async (a, b, clock) => {
		await a.write([bytes(1)]);
		await clock.sleep(3);
		await a.write([bytes(2)]);
		const reason = new Error("enough");
		const pending = code(a.readInto(new Uint8Array(1)));
		a.abort(reason);
		a.abort(new Error("again"));
		assert.is(await pending, "aborted");
		const target = new Uint8Array(1);
		assert.is(await b.readInto(target), 1);
		assert.is(await code(b.readInto(target)), "lost");
		assert.is(clock.now(), 5);
		assert.is(await code(a.write([bytes(1)])), "aborted");
		assert.is(await code(b.write([bytes(1)])), "lost");
	});
});

test("both ends released, nothing stays scheduled", async () => {
	await simulate({ latencyMs: 2, faults: [{ kind: "cut", when: { atMs: 1e6 } }] }, async (a, b, clock) => {
		await a.write([bytes(1)]);
		await Promise.all([a.close(), b.close()]);
		await clock.sleep(10);
		assert.is(clock.pending, 0);
	});
});

test("bytes are flipped, dropped, doubled, exchanged and cut off where the plan says", async () => {
	const outcome = async (fault: ByteFault, pieces: number[][]) => {
		let arrived: number[] = [];
		await simulate({ faults: [fault] }, async (a, b) => {
			for (const piece of pieces) await a.write([bytes(...piece)]);
			if (fault.kind !== "truncate") await a.close();
			arrived = await readAll(b);
		});
		return arrived;
	};
	for (const pieces of [[[0, 1, 2, 3, 4, 5]], [[0, 1], [2], [3, 4, 5]], [[0], [1], [2], [3], [4], [5]]]) {
		assert.equal(await outcome({ kind: "flip", from: "a", offset: 2, bit: 7 }, pieces), [0, 1, 130, 3, 4, 5]);
		assert.equal(await outcome({ kind: "drop", from: "a", offset: 1, byteLength: 3 }, pieces), [0, 4, 5]);
		assert.equal(
			await outcome({ kind: "duplicate", from: "a", offset: 1, byteLength: 2 }, pieces),
			[0, 1, 2, 1, 2, 3, 4, 5],
		);
		assert.equal(await outcome({ kind: "reorder", from: "a", offset: 1, byteLength: 2 }, pieces), [0, 3, 4, 1, 2, 5]);
		assert.equal(await outcome({ kind: "truncate", from: "a", offset: 3 }, pieces), [0, 1, 2]);
		assert.equal(await outcome({ kind: "flip", from: "b", offset: 2, bit: 7 }, pieces), [0, 1, 2, 3, 4, 5]);
	}
});

test("faults do the same whatever the pieces in which bytes come", () => {
	const faults = fc.array(
		fc.integer({ min: 0, max: 0xffff_ffff }).map((seed) =>
			drawFault(new SeededRandom(seed), {
				durationMs: 1,
				byteLength: 400,
				kinds: ["flip", "drop", "duplicate", "reorder", "truncate"],
			}),
		),
		{ maxLength: 5 },
	) as fc.Arbitrary<ByteFault[]>;
	const small = faults.map((list) =>
		list.map((fault) => ("byteLength" in fault ? { ...fault, byteLength: 1 + (fault.byteLength % 50) } : fault)),
	);
	fc.assert(
		fc.property(small, fc.array(fc.nat(60), { maxLength: 20 }), (list, lengths) => {
			const content = new Uint8Array(lengths.reduce((sum, length) => sum + length, 0)).map((_, i) => i);
			const whole = new ByteFaults(list);
			const expected = joinBytes([whole.pass(content.slice()), whole.ended ? bytes() : whole.flush()]);
			const pieces = new ByteFaults(list);
			const arrived: Uint8Array[] = [];
			let at = 0;
			for (const length of lengths) {
				arrived.push(pieces.pass(content.slice(at, at + length)));
				at += length;
			}
			if (!pieces.ended) arrived.push(pieces.flush());
			assert.equal(joinBytes(arrived), expected);
		}),
		{ numRuns: 1000, includeErrorInReport: true },
	);
});

test("the same seed draws the same fault", () => {
	const draw = (seed: number) => drawFault(new SeededRandom(seed), { durationMs: 100, byteLength: 1000 });
	assert.equal(draw(5), draw(5));
	const kinds = new Set(Array.from({ length: 200 }, (_, seed) => draw(seed).kind));
	assert.is(kinds.size, 9);
});

test.run();
