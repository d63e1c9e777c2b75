// What every ByteStream keeps, whatever carries it.
import type { suite } from "uvu";
import * as assert from "uvu/assert";
import type { ByteStream } from "../../../bindings/ports/byte-stream.ts";
import { LinkError } from "../../../bindings/ports/link.ts";
import { failureOf } from "./failures.ts";

/** Two ends of one stream. */
export interface StreamPair {
	readonly near: ByteStream;
	readonly far: ByteStream;
	/** Lets everything happen that can happen while nobody calls the streams. */
	settle(): Promise<void>;
}

/** Connects a pair, runs the body with it, in virtual time where the pair lives there, and releases everything. */
export type WithPair = (body: (pair: StreamPair) => Promise<void>) => Promise<void>;

/** A write larger than what any stream may hold back between its two ends. */
const MORE_THAN_ANY_QUEUE = 64 * 1024 * 1024;

const pattern = (byteLength: number, start = 0) =>
	Uint8Array.from({ length: byteLength }, (_, index) => ((start + index) * 31 + ((start + index) >> 8)) & 255);

async function readExactly(stream: ByteStream, byteLength: number, atOnce = byteLength): Promise<Uint8Array> {
	const bytes = new Uint8Array(byteLength);
	for (let at = 0; at < byteLength; ) {
		const count = await stream.readInto(bytes.subarray(at, Math.min(at + atOnce, byteLength)));
		assert.ok(count > 0, `the stream ended after ${at} of ${byteLength} bytes`);
		at += count;
	}
	return bytes;
}

async function countToEnd(stream: ByteStream): Promise<number> {
	const target = new Uint8Array(256 * 1024);
	let total = 0;
	for (let count = await stream.readInto(target); count > 0; count = await stream.readInto(target)) total += count;
	return total;
}

async function linkErrorOf(call: Promise<unknown>): Promise<LinkError> {
	const error = await failureOf(call);
	assert.instance(error, LinkError);
	return error as LinkError;
}

/** Adds the contract's tests to `test`. */
export function byteStreamContract(test: ReturnType<typeof suite>, withPair: WithPair): void {
	const check = (name: string, body: (pair: StreamPair) => Promise<void>) => test(name, () => withPair(body));

	check("bytes arrive in order, however writes and reads cut them", async ({ near, far }) => {
		const bytes = pattern(300_000);
		const writing = (async () => {
			for (let at = 0, step = 1; at < bytes.byteLength; at += step, step = (step * 7) % 9973) {
				await near.write([bytes.subarray(at, at + step)]);
			}
		})();
		assert.equal(await readExactly(far, bytes.byteLength, 777), bytes);
		await writing;
	});

	check("both directions carry at once", async ({ near, far }) => {
		const there = pattern(500_000, 3);
		const back = pattern(400_000, 9);
		const [arrivedThere, arrivedBack] = await Promise.all([
			readExactly(far, there.byteLength),
			readExactly(near, back.byteLength),
			near.write([there]),
			far.write([back]),
		]);
		assert.equal(arrivedThere, there);
		assert.equal(arrivedBack, back);
	});

	check("the parts of a write arrive as one run of bytes, empty parts and large parts among them", async (pair) => {
		const parts = [pattern(24), new Uint8Array(0), pattern(200_000, 5), pattern(1, 9), pattern(70_000, 2)];
		const expected = new Uint8Array(await new Blob(parts).arrayBuffer());
		const writing = pair.near.write(parts);
		assert.equal(await readExactly(pair.far, expected.byteLength), expected);
		await writing;
		await pair.near.write([]);
		await pair.near.write([new Uint8Array(0)]);
		await pair.near.write([pattern(1, 200)]);
		assert.equal(await readExactly(pair.far, 1), pattern(1, 200));
	});

	check("writes that overlap arrive in the order of the calls", async ({ near, far }) => {
		const writes = Array.from({ length: 200 }, (_, index) =>
			near.write([new Uint8Array([index]), new Uint8Array(index * 37).fill(index)]),
		);
		for (let index = 0; index < writes.length; index++) {
			const bytes = await readExactly(far, 1 + index * 37);
			assert.ok(
				bytes.every((byte) => byte === index),
				`write ${index} arrived out of order`,
			);
		}
		await Promise.all(writes);
	});

	check("a buffer may be reused as soon as its write has resolved", async ({ near, far }) => {
		const buffer = new Uint8Array(100_000);
		const reading = readExactly(far, 20 * buffer.byteLength);
		for (let round = 0; round < 20; round++) {
			await near.write([buffer.fill(round)]);
			buffer.fill(255);
		}
		const arrived = await reading;
		for (let at = 0; at < arrived.byteLength; at += 9999) assert.is(arrived[at], Math.floor(at / buffer.byteLength));
	});

	check("a reader that stalls stops the writer, and loses nothing", async ({ near, far, settle }) => {
		const chunk = pattern(64 * 1024);
		let writtenBytes = 0;
		const writing = (async () => {
			for (; writtenBytes < MORE_THAN_ANY_QUEUE; writtenBytes += chunk.byteLength) await near.write([chunk]);
			await near.close();
		})();
		// One byte is read, so that the far side has begun to take bytes in.
		await readExactly(far, 1);
		await settle();
		assert.ok(writtenBytes < MORE_THAN_ANY_QUEUE / 2, `${writtenBytes} bytes went nowhere`);
		assert.is(1 + (await countToEnd(far)), MORE_THAN_ANY_QUEUE);
		await far.close();
		await writing;
	});

	check("a close delivers what was written, and then the end, again and again", async ({ near, far }) => {
		const bytes = pattern(150_000);
		const closing = near.write([bytes]).then(() => near.close());
		assert.equal(await readExactly(far, bytes.byteLength, 10_000), bytes);
		assert.is(await far.readInto(new Uint8Array(8)), 0);
		assert.is(await far.readInto(new Uint8Array(8)), 0);
		await far.close();
		await closing;
	});

	check("a close delivers what was written although this side leaves bytes unread", async ({ near, far }) => {
		const bytes = pattern(900_000);
		await far.write([pattern(50_000)]);
		const closing = Promise.all([near.write([bytes]), near.close()]);
		assert.is(await countToEnd(far), bytes.byteLength);
		await far.close();
		await closing;
	});

	check("the same to a peer that reads only after the close", async ({ near, far, settle }) => {
		const unread = far.write([pattern(3_000_000)]).catch((error: unknown) => error);
		await readExactly(near, 1);
		await settle();
		// Enough that some of it waits in the system on this side when the close has resolved.
		const byteLength = 32 * 1024 * 1024;
		let isTaken = false;
		const writing = near.write([new Uint8Array(byteLength)]).then(() => {
			isTaken = true;
		});
		const closing = near.close();
		let total = 0;
		for (const target = new Uint8Array(64 * 1024); !isTaken; ) total += await far.readInto(target);
		await writing;
		await closing;
		assert.is(total + (await countToEnd(far)), byteLength);
		await far.close();
		await unread;
	});

	for (const first of ["near", "far"] as const)
		check(`a side can still write after the ${first} one has closed its own end`, async (pair) => {
			const [closes, writes] = first === "near" ? [pair.near, pair.far] : [pair.far, pair.near];
			const closing = closes.close();
			assert.is(await writes.readInto(new Uint8Array(8)), 0);
			await writes.write([pattern(10)]);
			await writes.close();
			await closing;
		});

	check("after its own close every call says so", async ({ near, far }) => {
		const reading = linkErrorOf(near.readInto(new Uint8Array(8)));
		const closing = near.close();
		assert.is((await linkErrorOf(near.write([pattern(1)]))).code, "closed");
		assert.is(await far.readInto(new Uint8Array(8)), 0);
		await far.close();
		await closing;
		assert.is((await reading).code, "closed");
		assert.is((await linkErrorOf(near.readInto(new Uint8Array(8)))).code, "closed");
		await near.close();
	});

	check("a close resolves although the peer neither reads nor closes", async ({ near }) => {
		await near.write([pattern(100)]);
		await near.close();
	});

	check("both sides may close at once", async ({ near, far }) => {
		await Promise.all([near.close(), far.close()]);
	});

	check("an abort ends a pending read with its reason, and every later call", async ({ near, far }) => {
		const reason = new RangeError("the move was cancelled");
		const reading = linkErrorOf(near.readInto(new Uint8Array(8)));
		near.abort(reason);
		for (const call of [
			reading,
			linkErrorOf(near.write([pattern(1)])),
			linkErrorOf(near.readInto(new Uint8Array(1))),
		]) {
			assert.is((await call).code, "aborted");
			assert.is((await call).cause, reason);
		}
		near.abort(new RangeError("a second reason counts for nothing"));
		assert.is((await linkErrorOf(near.readInto(new Uint8Array(1)))).cause, reason);
		await near.close();
		// The peer sees an end of some kind: a reset where the platform can send one.
		const seen = await far.readInto(new Uint8Array(8)).catch((error: unknown) => error);
		assert.ok(seen === 0 || (seen instanceof LinkError && seen.code === "lost"), String(seen));
	});

	check("an abort ends a write that the peer does not take, and a close that waits for it", async (pair) => {
		const { near, settle } = pair;
		const megabyte = new Uint8Array(1024 * 1024);
		const writes = Array.from({ length: MORE_THAN_ANY_QUEUE / megabyte.byteLength }, () => near.write([megabyte]));
		const outcomes = Promise.allSettled(writes);
		const closing = near.close();
		await settle();
		near.abort("enough");
		const last = (await outcomes).at(-1);
		assert.ok(last?.status === "rejected" && last.reason instanceof LinkError);
		assert.is(last.reason.code, "aborted");
		assert.is(last.reason.cause, "enough");
		await closing;
	});

	for (const later of ["in the same turn", "a few steps later"] as const)
		check(`an abort after a close, ${later}, lets go of the connection at once`, async ({ near, far }) => {
			const closing = near.close();
			if (later === "a few steps later") for (let i = 0; i < 3; i++) await Promise.resolve();
			near.abort("enough");
			await closing;
			const seen = await far.readInto(new Uint8Array(8)).catch((error: unknown) => error);
			assert.ok(seen === 0 || (seen instanceof LinkError && seen.code === "lost"), String(seen));
		});

	check("bytes that arrived before an abort are not delivered after it", async ({ near, far, settle }) => {
		await far.write([pattern(1000)]);
		await readExactly(near, 10);
		await settle();
		near.abort("stop");
		assert.is((await linkErrorOf(near.readInto(new Uint8Array(10)))).code, "aborted");
	});

	check("writing to a peer that has gone ends in lost, not in silence", async ({ near, far }) => {
		far.abort("gone");
		const writing = (async () => {
			for (;;) await near.write([pattern(100_000)]);
		})();
		assert.is((await linkErrorOf(writing)).code, "lost");
		const seen = await countToEnd(near).catch((error: unknown) => error);
		assert.ok(seen === 0 || (seen instanceof LinkError && seen.code === "lost"), String(seen));
	});

	check("wrong calls are refused by name", async ({ near, far }) => {
		assert.match(String(await failureOf(near.readInto(new Uint8Array(0)))), /RangeError: target/);
		const reading = near.readInto(new Uint8Array(4));
		const second = await failureOf(near.readInto(new Uint8Array(4)));
		assert.instance(second, TypeError);
		await far.write([pattern(4)]);
		assert.is(await reading, 4);
	});
}
