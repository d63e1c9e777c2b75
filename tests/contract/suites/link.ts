/** What every link must do. A contract file opens its kind of link and runs this suite. */
import { suite } from "uvu";
import * as assert from "uvu/assert";
import type { LinkOptions } from "../../../bindings/links/link-options.ts";
import { type IncomingFrame, type Link, LinkError } from "../../../bindings/ports/link.ts";
import { OPTIONAL_BIT, RECORD_TYPES } from "../../../bindings/wire/record-types.ts";

/** What a test may ask for; `hash64` comes from the opener. */
export type TestLinkOptions = Omit<LinkOptions, "hash64">;

/** Opens two connected links, runs the test with them, and releases everything. */
export type WithLinks = (
	options: TestLinkOptions,
	body: (source: Link, target: Link) => Promise<void>,
) => Promise<void>;

const KIB = 1024;
const SMALL_WINDOW = { windowBytes: 64 * KIB, urgentWindowBytes: 64 * KIB };
const TYPE = RECORD_TYPES.state;

/** Bytes that differ from one seed to another. */
function payload(byteLength: number, seed: number): Uint8Array<ArrayBuffer> {
	const bytes = new Uint8Array(byteLength);
	for (let i = 0, x = seed + 1; i < byteLength; i++) {
		x = (Math.imul(x, 1103515245) + 12345) >>> 0;
		bytes[i] = x >>> 16;
	}
	return bytes;
}

async function failure(promise: Promise<unknown>): Promise<LinkError> {
	try {
		await promise;
	} catch (error) {
		if (error instanceof LinkError) return error;
		throw error;
	}
	throw new Error("expected a LinkError, but the call succeeded");
}

/** The first byte of each payload, in the order of arrival; releases the frames. */
async function marks(link: Link, count: number): Promise<number[]> {
	const seen: number[] = [];
	for (let i = 0; i < count; i++) {
		const frame = await link.receive();
		seen.push(frame.payload[0]!);
		frame.release();
	}
	return seen;
}

function marked(byteLength: number, mark: number): { type: number; payload: Uint8Array } {
	return { type: TYPE, payload: new Uint8Array(byteLength).fill(mark) };
}

/** Adds the suite `name` and runs it. */
export function linkContract(name: string, withLinks: WithLinks): void {
	const test = suite(name);
	const check = (sentence: string, options: TestLinkOptions, body: (source: Link, target: Link) => Promise<void>) =>
		test(sentence, () => withLinks(options, body));

	check("frames of every size arrive intact and in order", {}, async (source, target) => {
		const sizes = [0, 1, 31, 32, 33, 4096, 65536, 1024 * KIB + 7, 4 * 1024 * KIB];
		const sending = sizes.map((size, i) => source.send({ type: TYPE, payload: payload(size, i) }));
		for (const [i, size] of sizes.entries()) {
			const frame = await target.receive();
			assert.is(frame.type, TYPE);
			assert.is(frame.optional, false);
			assert.equal(frame.payload, payload(size, i));
			frame.release();
		}
		await Promise.all(sending);
	});

	check("a payload may be reused once send has resolved", {}, async (source, target) => {
		const bytes = payload(300 * KIB, 5);
		await source.send({ type: TYPE, payload: bytes });
		bytes.fill(0);
		const frame = await target.receive();
		assert.equal(frame.payload, payload(300 * KIB, 5));
		frame.release();
	});

	check("the type and the claimed checksum of a batch arrive as they were given", {}, async (source, target) => {
		await source.send({ type: RECORD_TYPES.batch, payload: payload(100, 1), checksum: 0x1234_5678_9abc_def0n });
		await source.send({ type: 100 | OPTIONAL_BIT, payload: payload(1, 1) });
		const batch = await target.receive();
		assert.is(batch.type, RECORD_TYPES.batch);
		assert.is(batch.checksum, 0x1234_5678_9abc_def0n);
		batch.release();
		const unknown = await target.receive();
		assert.is(unknown.type, 100 | OPTIONAL_BIT);
		assert.is(unknown.optional, true);
		unknown.release();
	});

	check("both directions carry frames at once, each lane in order", SMALL_WINDOW, async (source, target) => {
		const count = 300;
		const exchange = async (from: Link, to: Link): Promise<void> => {
			const sending: Promise<void>[] = [];
			for (let i = 0; i < count; i++)
				sending.push(from.send(marked(1 + ((i * 7919) % 9000), i % 256), i % 5 === 0 ? "urgent" : "bulk"));
			const lanes: Record<"bulk" | "urgent", number[]> = { bulk: [], urgent: [] };
			for (const mark of await marks(to, count)) lanes[mark % 5 === 0 ? "urgent" : "bulk"].push(mark);
			const expected = Array.from({ length: count }, (_, i) => i % 256);
			// 256 is no multiple of 5: sort the expected marks into lanes as the received ones were.
			for (const lane of ["bulk", "urgent"] as const)
				assert.equal(
					[...lanes[lane]].sort((a, b) => a - b),
					expected.filter((mark) => (mark % 5 === 0) === (lane === "urgent")).sort((a, b) => a - b),
				);
			await Promise.all(sending);
		};
		await Promise.all([exchange(source, target), exchange(target, source)]);
	});

	check(
		"settle waits until little is out, and says when something has been consumed",
		SMALL_WINDOW,
		async (source, target) => {
			assert.is(source.windowBytes, SMALL_WINDOW.windowBytes);
			assert.is(await source.settle(), true, "nothing was sent");
			const quarter = SMALL_WINDOW.windowBytes / 4;
			const sending = Array.from({ length: 12 }, (_, i) => source.send(marked(quarter - 256, i)));
			let isSettled = false;
			let answers = 0;
			const settling = (async () => {
				while (!(await source.settle())) answers++;
				isSettled = true;
			})();
			for (let i = 0; i < 12; i++) {
				const frame = await target.receive();
				assert.is(isSettled, false, `${i} of 12 consumed`);
				frame.release();
			}
			await Promise.all(sending);
			await settling;
			assert.ok(answers > 0);
			assert.is(await source.settle(), true);
			// More than a quarter that is never consumed: only the end of the link ends the wait.
			void source.send(marked(quarter + 1, 1)).catch(() => undefined);
			const waiting = source.settle();
			source.abort("enough");
			assert.is((await failure(waiting)).code, "aborted");
			assert.is((await failure(source.settle())).code, "aborted");
		},
	);

	check("each lane keeps its order under backpressure", SMALL_WINDOW, async (source, target) => {
		const count = 200;
		const sending = Array.from({ length: count }, (_, i) =>
			source.send(marked(1 + ((i * 7919) % 9000), i), i % 2 === 0 ? "urgent" : "bulk"),
		);
		const seen = await marks(target, count);
		for (const parity of [0, 1])
			assert.equal(
				seen.filter((mark) => mark % 2 === parity),
				Array.from({ length: count / 2 }, (_, i) => 2 * i + parity),
			);
		await Promise.all(sending);
	});

	check(
		"a used-up window stops the bulk lane, urgent frames overtake what waits",
		SMALL_WINDOW,
		async (source, target) => {
			const resolved: number[] = [];
			const sending = [1, 2, 3, 4, 5].map((mark) =>
				source.send(marked(20 * KIB, mark)).then(() => resolved.push(mark)),
			);
			await source.send(marked(10, 99), "urgent");
			// Bytes keep their order: once the urgent frame is here, so is everything that the window let out before it.
			const held: IncomingFrame[] = [];
			while (held.length < 4) held.push(await target.receive());
			const first = held.filter((frame) => frame.payload[0] !== 99);
			assert.equal(
				first.map((frame) => frame.payload[0]),
				[1, 2, 3],
			);
			assert.is(source.traffic.framesSent, 4);
			assert.is(target.traffic.framesReceived, 4);
			assert.is(resolved.includes(4), false, "receiving is not consuming");
			first[0]!.release();
			assert.equal(await marks(target, 1), [4]);
			first[1]!.release();
			first[2]!.release();
			assert.equal(await marks(target, 1), [5]);
			await Promise.all(sending);
		},
	);

	check("a used-up urgent window does not stop the bulk lane", SMALL_WINDOW, async (source, target) => {
		const sending = [1, 2, 3, 4].map((mark) => source.send(marked(20 * KIB, mark), "urgent"));
		await source.send(marked(20 * KIB, 50));
		const held: IncomingFrame[] = [];
		for (let i = 0; i < 4; i++) held.push(await target.receive());
		assert.equal(held.map((frame) => frame.payload[0]).sort(), [1, 2, 3, 50]);
		for (const frame of held) frame.release();
		assert.equal(await marks(target, 1), [4]);
		await Promise.all(sending);
	});

	check("a frame larger than the window passes alone", SMALL_WINDOW, async (source, target) => {
		const sending = [1, 2, 3].map((mark) => source.send(marked(1024 * KIB, mark)));
		assert.equal(await marks(target, 3), [1, 2, 3]);
		await Promise.all(sending);
	});

	check("releasing a frame twice gives its bytes back once", SMALL_WINDOW, async (source, target) => {
		for (let round = 0; round < 20; round++) {
			await source.send(marked(40 * KIB, round));
			const frame = await target.receive();
			frame.release();
			frame.release();
		}
	});

	check(
		"a payload that was transferred away costs no credit, and may come back",
		SMALL_WINDOW,
		async (source, target) => {
			for (let round = 0; round < 20; round++) {
				await source.send(marked(40 * KIB, round));
				const frame = await target.receive();
				const elsewhere = structuredClone(frame.payload, { transfer: [frame.payload.buffer] });
				assert.is(frame.payload.byteLength, 0);
				assert.is(elsewhere[0], round);
				if (round % 2 === 0) frame.release(elsewhere.buffer);
				else frame.release();
			}
		},
	);

	check(
		"an oversized payload is a RangeError and harms nothing",
		{ maximumFrameBytes: 64 * KIB },
		async (source, target) => {
			for (const byteLength of [64 * KIB + 1, 64 * 1024 * KIB]) {
				const error = await source.send(marked(byteLength, 1)).then(
					() => undefined,
					(reason: unknown) => reason,
				);
				assert.instance(error, RangeError);
			}
			const sending = source.send(marked(64 * KIB, 2));
			assert.equal(await marks(target, 1), [2]);
			await sending;
		},
	);

	check("link-internal and impossible types are refused at the caller", {}, async (source) => {
		for (const type of [0, 1, 2, 3, 15, OPTIONAL_BIT | 2, -1, 1.5, 65536]) {
			const error = await source.send({ type, payload: new Uint8Array(1) }).then(
				() => undefined,
				(reason: unknown) => reason,
			);
			assert.instance(error, RangeError, `type ${type}`);
		}
	});

	check("two receives at once are a mistake of the caller", {}, async (source, target) => {
		const first = target.receive();
		const error = await target.receive().then(
			() => undefined,
			(reason: unknown) => reason,
		);
		assert.instance(error, TypeError);
		await source.send(marked(1, 7));
		assert.is((await first).payload[0], 7);
	});

	check(
		"close delivers everything that was sent, then ends both sides in order",
		SMALL_WINDOW,
		async (source, target) => {
			const sending = Array.from({ length: 40 }, (_, i) =>
				source.send(marked(10 * KIB, i), i % 4 === 0 ? "urgent" : "bulk"),
			);
			const closing = source.close();
			assert.is((await failure(source.send(marked(1, 1)))).code, "closed");
			const seen = await marks(target, 40);
			assert.equal(
				[...seen].sort((a, b) => a - b),
				Array.from({ length: 40 }, (_, i) => i),
			);
			assert.is((await failure(target.receive())).code, "closed");
			await Promise.all(sending);
			await closing;
			for (const link of [source, target]) {
				assert.is(link.ended.aborted, true);
				assert.is((link.ended.reason as LinkError).code, "closed");
				assert.is((await failure(link.send(marked(1, 1)))).code, "closed");
				assert.is((await failure(link.receive())).code, "closed");
				await link.close();
			}
		},
	);

	check("what arrived before an orderly end is delivered before the end is told", {}, async (source, target) => {
		await source.send(marked(1, 42));
		await source.close();
		assert.is(target.ended.aborted, false);
		assert.equal(await marks(target, 1), [42]);
		assert.is((await failure(target.receive())).code, "closed");
		assert.is(target.ended.aborted, true);
	});

	check(
		"closing does not wait for ever for a peer that itself waits for credit",
		SMALL_WINDOW,
		async (source, target) => {
			const sending = [1, 2, 3, 4].map((mark) => source.send(marked(30 * KIB, mark)));
			const closing = source.close();
			// What the closing side no longer wants still gets its credit: only then does the peer come to receive.
			for (const mark of [5, 6, 7, 8]) await target.send(marked(30 * KIB, mark));
			assert.equal(await marks(target, 4), [1, 2, 3, 4]);
			await Promise.all([...sending, closing]);
		},
	);

	check("abort drops what has arrived and was not received", {}, async (source, target) => {
		await source.send(marked(10, 1), "urgent");
		await source.send(marked(10, 2), "urgent");
		(await target.receive()).release();
		target.abort(new Error("enough"));
		assert.is((await failure(target.receive())).code, "aborted");
	});

	check("both sides may close at once", {}, async (source, target) => {
		await Promise.all([source.close(), target.close()]);
		assert.is((source.ended.reason as LinkError).code, "closed");
		assert.is((target.ended.reason as LinkError).code, "closed");
	});

	check(
		"abort rejects pending and later calls with its reason, the peer loses the link",
		SMALL_WINDOW,
		async (source, target) => {
			const reason = new Error("the plan has changed");
			const receiving = failure(source.receive());
			const sending = [1, 2, 3, 4].map((mark) => source.send(marked(30 * KIB, mark)).catch((error: unknown) => error));
			assert.is((await target.receive()).payload[0], 1);
			source.abort(reason);
			source.abort(new Error("too late to matter"));
			const errors = [await receiving, await failure(source.send(marked(1, 1))), await failure(source.receive())];
			errors.push((await sending[3]) as LinkError);
			for (const error of errors) {
				assert.is(error.code, "aborted");
				assert.is(error.cause, reason);
			}
			assert.is((source.ended.reason as LinkError).code, "aborted");
			let error = await drainUntilFailure(target);
			assert.is(error.code, "lost");
			assert.is((target.ended.reason as LinkError).code, "lost");
			error = await failure(target.send(marked(1, 1)));
			assert.is(error.code, "lost");
			await source.close();
		},
	);

	check(
		"a peer that drops the link while this side closes makes the close fail",
		SMALL_WINDOW,
		async (source, target) => {
			const sending = [1, 2, 3, 4].map((mark) => source.send(marked(30 * KIB, mark)).catch(() => undefined));
			const closing = failure(source.close());
			target.abort(new Error("gone"));
			assert.is((await closing).code, "lost");
			await Promise.all(sending);
		},
	);

	check("ended fires once, whatever comes after", {}, async (source, target) => {
		let fired = 0;
		for (const link of [source, target]) link.ended.addEventListener("abort", () => fired++);
		source.abort(new Error("first"));
		await drainUntilFailure(target);
		target.abort(new Error("second"));
		await Promise.all([source.close(), target.close()]);
		assert.is(fired, 2);
		assert.is((source.ended.reason as LinkError).code, "aborted");
		assert.is((target.ended.reason as LinkError).code, "lost");
	});

	check("traffic counts frames, and bytes with their headers", {}, async (source, target) => {
		const before = { sent: source.traffic.bytesSent, received: target.traffic.bytesReceived };
		const sending = [
			source.send(marked(1000, 1)),
			source.send({ ...marked(10, 2), modelledByteLength: 4096 }, "urgent"),
		];
		await marks(target, 2);
		await Promise.all(sending);
		assert.is(source.traffic.framesSent, 2);
		assert.is(target.traffic.framesReceived, 2);
		assert.is(target.traffic.framesSent, 0);
		// A modelled length counts instead of the payload's; links add records of their own.
		assert.ok(source.traffic.bytesSent - before.sent >= 1000 + 4096 + 64);
		assert.ok(target.traffic.bytesReceived >= 1000 + 4096 + 64);
	});

	test.run();
}

async function drainUntilFailure(link: Link): Promise<LinkError> {
	for (;;) {
		try {
			(await link.receive()).release();
		} catch (error) {
			if (error instanceof LinkError) return error;
			throw error;
		}
	}
}
