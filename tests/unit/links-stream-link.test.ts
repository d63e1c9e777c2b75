import { suite } from "uvu";
import * as assert from "uvu/assert";
import { connectSimulated } from "../../bindings/lab/simulated-stream.ts";
import { VirtualClock } from "../../bindings/lab/virtual-clock.ts";
import { createInProcessLinks } from "../../bindings/links/in-process.ts";
import { StreamLink } from "../../bindings/links/stream-link.ts";
import { systemClock } from "../../bindings/platform/system-clock.ts";
import type { IncomingFrame, LinkError } from "../../bindings/ports/link.ts";
import { PROTOCOL_VERSIONS } from "../../bindings/wire/link-records.ts";
import { RECORD_TYPES } from "../../bindings/wire/record-types.ts";
import { testHash64 } from "../contract/suites/hash.ts";
import { MemoryStream } from "../contract/suites/memory-stream.ts";

const test = suite("stream link");

const TYPE = RECORD_TYPES.batch;
const GIGABIT_BYTES_PER_MS = 117_000;

async function simulate(
	options: { latencyMs: number; windowBytes?: number },
	body: (source: StreamLink, target: StreamLink, clock: VirtualClock) => Promise<void>,
): Promise<void> {
	const clock = new VirtualClock(systemClock);
	const { a, b } = connectSimulated(clock, { rateBytesPerMs: GIGABIT_BYTES_PER_MS, latencyMs: options.latencyMs });
	await clock.run(async () => {
		const windowBytes = options.windowBytes ?? 4 << 20;
		const links = [a, b].map((stream) => new StreamLink(stream, { hash64: testHash64, windowBytes }));
		await Promise.all(links.map((link) => link.opened));
		await body(links[0]!, links[1]!, clock);
	});
}

/** Receives until the link has closed. */
async function drain(link: StreamLink, consume: (frame: IncomingFrame) => Promise<void> | void): Promise<void> {
	for (;;) {
		const frame = await link.receive().catch(() => undefined);
		if (frame === undefined) return;
		await consume(frame);
		frame.release();
	}
}

test("both sides learn the version they speak", async () => {
	const links = MemoryStream.pair().map((stream) => new StreamLink(stream, { hash64: testHash64 }));
	for (const link of links) assert.is(await link.opened, PROTOCOL_VERSIONS.max);
});

test("a version that does not fit is said even when the news travels slowly", async () => {
	const clock = new VirtualClock(systemClock);
	const faults = [{ kind: "partition", from: "b", when: { atMs: 0 }, durationMs: 50 }] as const;
	const { a, b } = connectSimulated(clock, { latencyMs: 5, faults });
	await clock.run(async () => {
		const links = [
			new StreamLink(a, { hash64: testHash64, protocol: { min: 1, max: 1 } }),
			new StreamLink(b, { hash64: testHash64, protocol: { min: 2, max: 2 } }),
		];
		const codes = links.map((link) =>
			link.opened.then(
				() => "opened",
				(error: LinkError) => error.code,
			),
		);
		assert.equal(await Promise.all(codes), ["unsupported-version", "unsupported-version"]);
		assert.is(clock.now(), 50);
	});
});

test("impossible limits are a mistake of the caller", () => {
	for (const options of [{ windowBytes: 1000 }, { urgentWindowBytes: 2 ** 30 }, { maximumFrameBytes: 1.5 }])
		assert.throws(
			() => new StreamLink(new MemoryStream(), { hash64: testHash64, ...options }),
			(error: unknown) => error instanceof RangeError && error.message.startsWith(Object.keys(options)[0]!),
		);
});

test("a modelled frame takes the time of what it stands for, and counts as much", async () => {
	await simulate({ latencyMs: 1 }, async (source, target, clock) => {
		const startMs = clock.now();
		const sending = source.send({
			type: TYPE,
			payload: new Uint8Array(100),
			modelledByteLength: 10 * GIGABIT_BYTES_PER_MS,
		});
		const frame = await target.receive();
		assert.ok(Math.abs(clock.now() - startMs - 11) < 0.01, `${clock.now() - startMs} ms`);
		assert.is(frame.payload.byteLength, 100);
		assert.ok(source.traffic.bytesSent >= 10 * GIGABIT_BYTES_PER_MS);
		assert.ok(target.traffic.bytesReceived >= 10 * GIGABIT_BYTES_PER_MS);
		frame.release();
		await sending;
	});
});

test("the window keeps a simulated line busy when it covers rate times delay, and throttles it when it does not", async () => {
	const rate = async (windowBytes: number): Promise<number> => {
		let elapsedMs = 0;
		await simulate({ latencyMs: 5, windowBytes }, async (source, target, clock) => {
			const startMs = clock.now();
			const receiving = drain(target, () => undefined);
			for (let i = 0; i < 100; i++)
				await source.send({ type: TYPE, payload: new Uint8Array(10), modelledByteLength: 256 * 1024 });
			await source.close();
			await receiving;
			elapsedMs = clock.now() - startMs;
		});
		return (100 * 256 * 1024) / elapsedMs;
	};
	const [wide, narrow] = [await rate(4 << 20), await rate(512 * 1024)];
	assert.ok(wide > 0.9 * GIGABIT_BYTES_PER_MS, `${wide} bytes per ms`);
	assert.ok(narrow < 0.6 * GIGABIT_BYTES_PER_MS, `${narrow} bytes per ms`);
});

test("a fault waits behind what is with the stream already, not behind what is queued", async () => {
	await simulate({ latencyMs: 0.1, windowBytes: 64 << 20 }, async (source, target, clock) => {
		const arrivals: { readonly urgent: boolean; readonly atMs: number }[] = [];
		const receiving = drain(target, (frame) => {
			arrivals.push({ urgent: frame.payload[0] === 1, atMs: clock.now() });
		});
		// 60 MiB, half a second of this line, are queued before the fault.
		const bulk = Array.from({ length: 240 }, () =>
			source.send({ type: TYPE, payload: new Uint8Array(10), modelledByteLength: 256 * 1024 }),
		);
		await clock.sleep(20);
		const startMs = clock.now();
		await source.send({ type: TYPE, payload: new Uint8Array([1]), modelledByteLength: 4096 }, "urgent");
		await Promise.all(bulk);
		await source.close();
		await receiving;
		const fault = arrivals.find(({ urgent }) => urgent)!;
		// One frame on its way, two buffers of 256 KiB that may hold one more each.
		assert.ok(fault.atMs - startMs < 12, `${fault.atMs - startMs} ms`);
	});
});

test("payload buffers are used again, also those that were away", async () => {
	const [a, b] = MemoryStream.pair();
	const [source, target] = [a, b].map((stream) => new StreamLink(stream, { hash64: testHash64 }));
	const seen = new Set<ArrayBuffer>();
	for (let i = 0; i < 10; i++) {
		const sending = source!.send({ type: TYPE, payload: new Uint8Array(100_000), checksum: 1n });
		const frame = await target!.receive();
		if (i >= 5) {
			const elsewhere = structuredClone(frame.payload.buffer, { transfer: [frame.payload.buffer] });
			frame.release();
			frame.release(elsewhere);
			frame.release(elsewhere);
		} else {
			seen.add(frame.payload.buffer);
			frame.release();
		}
		await sending;
	}
	assert.is(seen.size, 1);
	assert.ok(target!.memory.peakBytes < 2 * 131_072, `${target!.memory.peakBytes} bytes`);
	assert.ok(target!.memory.heldBytes >= 100_000);
});

test("a buffer that comes back with the release is used again", async () => {
	const [a, b] = MemoryStream.pair();
	const [source, target] = [a, b].map((stream) => new StreamLink(stream, { hash64: testHash64 }));
	const sending = source!.send({ type: TYPE, payload: new Uint8Array(100_000), checksum: 1n });
	const frame = await target!.receive();
	frame.release(structuredClone(frame.payload.buffer, { transfer: [frame.payload.buffer] }));
	assert.ok(target!.memory.heldBytes >= 100_000);
	await sending;
});

test("of what has arrived the urgent lane is received first", async () => {
	const [a, b] = MemoryStream.pair();
	const streamLinks = [a, b].map((stream) => new StreamLink(stream, { hash64: testHash64 }));
	for (const [source, target] of [streamLinks, createInProcessLinks({ hash64: testHash64 })]) {
		await source!.send({ type: TYPE, payload: new Uint8Array([1]) });
		await source!.send({ type: TYPE, payload: new Uint8Array([2]), checksum: 1n }, "urgent");
		while (target!.traffic.framesReceived < 2) await Promise.resolve();
		assert.is((await target!.receive()).payload[0], 2);
		assert.is((await target!.receive()).payload[0], 1);
	}
});

test("abort drops what has arrived and gives its memory back", async () => {
	const [a, b] = MemoryStream.pair();
	const [source, target] = [a, b].map((stream) => new StreamLink(stream, { hash64: testHash64 }));
	await source!.send({ type: TYPE, payload: new Uint8Array(1000), checksum: 1n });
	while (target!.traffic.framesReceived < 1) await Promise.resolve();
	target!.abort(new Error("enough"));
	assert.is(await target!.receive().catch((error: LinkError) => error.code), "aborted");
});

test("a lost buffer is made up for by a new one", async () => {
	const [a, b] = MemoryStream.pair();
	const [source, target] = [a, b].map((stream) => new StreamLink(stream, { hash64: testHash64 }));
	for (let i = 0; i < 3; i++) {
		const sending = source!.send({ type: TYPE, payload: new Uint8Array(100_000), checksum: 1n });
		const frame = await target!.receive();
		structuredClone(frame.payload.buffer, { transfer: [frame.payload.buffer] });
		frame.release();
		await sending;
		assert.ok(target!.memory.heldBytes < 1000, `${target!.memory.heldBytes} bytes`);
	}
});

test("abort ends a close whose last word cannot leave", async () => {
	const clock = new VirtualClock(systemClock);
	const connection = connectSimulated(clock, { latencyMs: 1 });
	const source = new StreamLink(connection.a, { hash64: testHash64 });
	const target = new StreamLink(connection.b, { hash64: testHash64 });
	await clock.run(async () => {
		await Promise.all([source.opened, target.opened]);
		// The source's end record arrives, the target's does too, and then nothing of the source leaves any more.
		const closing = source.close();
		await clock.sleep(1.5);
		connection.inject({ kind: "partition", from: "a", when: { atMs: 0 }, durationMs: Number.POSITIVE_INFINITY });
		await clock.sleep(1000);
		assert.is(source.ended.aborted, false);
		source.abort(new Error("deadline"));
		await closing; // the peer has said that it has everything
		assert.is((source.ended.reason as LinkError).code, "closed");
	});
});

test("abort ends a close that waits for news of a version to leave", async () => {
	const clock = new VirtualClock(systemClock);
	const faults = [{ kind: "partition", from: "b", when: { atMs: 0 }, durationMs: Number.POSITIVE_INFINITY }] as const;
	const { a, b } = connectSimulated(clock, { latencyMs: 5, faults });
	await clock.run(async () => {
		new StreamLink(a, { hash64: testHash64, protocol: { min: 1, max: 1 } }).opened.catch(() => undefined);
		const target = new StreamLink(b, { hash64: testHash64, protocol: { min: 2, max: 2 } });
		const code = await target.opened.catch((error: LinkError) => error.code);
		assert.is(code, "unsupported-version");
		const closing = target.close();
		await clock.sleep(1000);
		target.abort(new Error("deadline"));
		await closing;
	});
});

test("frames that wait while the peer is silent go out once its preface is here", async () => {
	const [a, b] = MemoryStream.pair();
	b.corked = true;
	const [source, target] = [a, b].map((stream) => new StreamLink(stream, { hash64: testHash64 }));
	const sending = source!.send({ type: TYPE, payload: new Uint8Array(5), checksum: 1n });
	for (let i = 0; i < 100; i++) await Promise.resolve();
	assert.is(source!.traffic.framesSent, 0);
	b.uncork();
	(await target!.receive()).release();
	await sending;
	assert.is(source!.traffic.framesSent, 1);
});

test.run();
