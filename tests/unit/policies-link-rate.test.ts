// What a link carries is measured only while batches wait for it.
import fc from "fast-check";
import { suite } from "uvu";
import * as assert from "uvu/assert";
import { LinkRate } from "../../bindings/policies/link-rate.ts";

const test = suite("rate of a link");

/**
 * A link that takes one batch after another.
 * @param gapsMs - what the sender takes to make each batch
 */
function carry(
	rate: LinkRate,
	linkBytesPerMs: number,
	bytes: number,
	gapsMs: readonly number[],
	underWay: number,
): void {
	const acceptedMs: number[] = [];
	let madeMs = 0;
	let freeMs = 0;
	for (const [i, gapMs] of gapsMs.entries()) {
		// So many may be under way: the next is made when the oldest is gone.
		madeMs = Math.max(madeMs, acceptedMs[i - underWay] ?? 0) + gapMs;
		freeMs = Math.max(freeMs, madeMs) + bytes / linkBytesPerMs;
		acceptedMs.push(freeMs);
		rate.accepted(bytes, madeMs, freeMs);
	}
}

test("nothing is known of a link that never made a batch wait", () => {
	const rate = new LinkRate();
	assert.is(rate.bytesPerMs, undefined);
	carry(rate, 1_000_000, 100_000, Array<number>(50).fill(5), 4);
	assert.is(rate.bytesPerMs, undefined);
});

test("a link that is slower than its sender is measured, whatever the sender does", () => {
	fc.assert(
		fc.property(
			fc.integer({ min: 1000, max: 10_000_000 }),
			fc.integer({ min: 1000, max: 4_000_000 }),
			fc.array(fc.double({ min: 0, max: 0.5, noNaN: true }), { minLength: 8, maxLength: 60 }),
			(linkBytesPerMs, bytes, gaps) => {
				const rate = new LinkRate();
				carry(
					rate,
					linkBytesPerMs,
					bytes,
					gaps.map((gap) => (gap * bytes) / linkBytesPerMs),
					4,
				);
				const measured = rate.bytesPerMs!;
				assert.ok(Math.abs(measured / linkBytesPerMs - 1) < 1e-6, `${measured} of ${linkBytesPerMs}`);
			},
		),
	);
});

test("what a buffer takes at once is soon forgotten", () => {
	const rate = new LinkRate();
	// 4 MB into a socket's buffer within 1 ms, then 117 MB/s.
	carry(rate, 4_000_000, 500_000, Array<number>(8).fill(0), 4);
	let nowMs = 10;
	for (let i = 0; i < 60; i++) {
		nowMs += 500_000 / 117_000;
		rate.accepted(500_000, nowMs - 10, nowMs);
	}
	assert.ok(Math.abs(rate.bytesPerMs! / 117_000 - 1) < 0.2, `${rate.bytesPerMs}`);
});

test.run();
