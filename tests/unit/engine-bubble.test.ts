import { suite } from "uvu";
import * as assert from "uvu/assert";
import { Bitmap } from "../../bindings/engine/bitmap.ts";
import { type BubblingOptions, BubblingQueue } from "../../bindings/engine/bubble.ts";
import { createEngine } from "../../bindings/engine/engine.ts";
import { PageList } from "../../bindings/engine/page-list.ts";

const test = suite("engine bubbling");
const engine = createEngine();
const list = new PageList(engine, 4096);

const identity = (count: number) => Uint32Array.from({ length: count }, (_, i) => i);
const queueOf = (count: number, options: BubblingOptions = {}) =>
	new BubblingQueue(engine, count, identity(count), options);
function pushed(queue: BubblingQueue, count: number): number[] {
	queue.push(list, count);
	return [...list.view()];
}

test("a single pivot bubbles out to both sides, as the paper's figure 2 does", () => {
	const queue = queueOf(12, { pivots: 1 });
	assert.is(queue.fault(4), "send");
	assert.equal(pushed(queue, 20), [3, 5, 2, 6, 1, 7, 0, 8, 9, 10, 11]);
});

test("a pivot in the upper half still reaches page 0: the paper's bound is one short", () => {
	const queue = queueOf(5, { pivots: 1, sweep: false });
	queue.fault(3);
	assert.equal(pushed(queue, 20), [2, 4, 1, 0]);
});

test("without the sweep the paper's replacement rule stalls; with it nothing is left behind", () => {
	const stalling = queueOf(20, { pivots: 1, sweep: false });
	stalling.fault(10);
	assert.equal(pushed(stalling, 2), [9, 11]);
	stalling.fault(5);
	assert.equal(pushed(stalling, 100), [4, 6, 3, 7, 2, 8, 1, 0]);
	assert.is(stalling.remaining, 8, "12 … 19 are never reached");

	const sweeping = queueOf(20, { pivots: 1 });
	sweeping.fault(10);
	pushed(sweeping, 2);
	sweeping.fault(5);
	assert.equal(pushed(sweeping, 100), [4, 6, 3, 7, 2, 8, 1, 0, 12, 13, 14, 15, 16, 17, 18, 19]);
	assert.is(sweeping.swept, 8);
	assert.is(sweeping.remaining, 0);
});

test("most dual runs with 7 pivots stall when the sweep is taken out", () => {
	let stalled = 0;
	let seed = 1;
	const random = (below: number) => {
		seed = (Math.imul(seed, 1664525) + 1013904223) >>> 0;
		return Math.floor((seed / 2 ** 32) * below);
	};
	for (let run = 0; run < 100; run++) {
		const queue = queueOf(2000, { sweep: false });
		for (let fault = 0; fault < 60; fault++) {
			queue.fault(random(2000));
			queue.push(list, random(16));
		}
		while (queue.push(list) > 0);
		if (queue.remaining > 0) stalled++;
	}
	assert.ok(stalled > 50, `${stalled} of 100 stalled`);
});

test("several pivots take turns edge by edge, and the oldest gives way", () => {
	const queue = queueOf(1000, { pivots: 2 });
	queue.fault(100);
	queue.fault(500);
	assert.equal(pushed(queue, 8), [99, 101, 499, 501, 98, 102, 498, 502]);
	queue.fault(800);
	assert.equal(pushed(queue, 4), [497, 503, 799, 801], "100's edges are gone");
});

test("forward bubbles only grow forward, backward ones only backward", () => {
	const forward = queueOf(10, { pivots: 1, direction: "forward" });
	forward.fault(6);
	assert.equal(pushed(forward, 10), [7, 8, 9, 0, 1, 2, 3, 4, 5]);
	const backward = queueOf(10, { pivots: 1, direction: "backward" });
	assert.equal(pushed(backward, 2), [9, 8]);
	backward.fault(4);
	assert.equal(pushed(backward, 10), [3, 2, 1, 0, 5, 6, 7]);
});

test("positions map to pages through the order, and pages outside it are not owed", () => {
	const queue = new BubblingQueue(engine, 100, Uint32Array.of(70, 10, 40, 90, 20), { pivots: 1 });
	assert.is(queue.owed, 5);
	assert.is(queue.fault(11), "not-owed");
	assert.is(queue.fault(40), "send");
	assert.is(queue.fault(40), "in-flight");
	assert.equal(pushed(queue, 10), [10, 90, 70, 20]);
	const owed = new Bitmap(engine, 100);
	for (const page of [5, 50, 95]) owed.set(page);
	assert.equal(pushed(new BubblingQueue(engine, 100, owed), 10), [5, 50, 95]);
});

test("turns: a pivot follows the guest once a fault on a page in flight shows where it goes", () => {
	const queue = queueOf(1000, { pushOrder: "turns", pivots: 1 });
	queue.fault(500);
	assert.equal(pushed(queue, 4), [499, 501, 498, 502]);
	assert.is(queue.fault(501), "in-flight");
	const ahead = Array.from({ length: 16 }, (_, i) => 503 + i);
	assert.equal(pushed(queue, 18), [...ahead, 497, 519]);
});

test("turns: a fault just ahead of an edge inherits its direction", () => {
	const queue = queueOf(1000, { pushOrder: "turns", pivots: 1 });
	queue.fault(500);
	pushed(queue, 4);
	assert.is(queue.fault(490), "send");
	assert.equal(
		pushed(queue, 17),
		[...Array.from({ length: 16 }, (_, i) => 489 - i), 491],
		"490 lies 7 ahead of the left edge at 497",
	);
});

test("turns: far faults tell no direction, and a pivot with one side left uses that side", () => {
	const queue = queueOf(1000, { pushOrder: "turns", pivots: 1 });
	queue.fault(500);
	pushed(queue, 4);
	queue.fault(540);
	assert.equal(pushed(queue, 4), [539, 541, 538, 542]);
	const edge = queueOf(10, { pushOrder: "turns", pivots: 1 });
	edge.fault(9);
	assert.equal(pushed(edge, 3), [8, 7, 6]);
});

test("wrong options, orders and pages are refused by name", () => {
	assert.throws(() => queueOf(10, { pivots: 0 }), /options.pivots/);
	assert.throws(() => queueOf(10, { pivots: 65 }), /options.pivots/);
	assert.throws(() => new BubblingQueue(engine, 4, Uint32Array.of(1, 2, 1)), /order\[2\] is 1: twice/);
	assert.throws(() => new BubblingQueue(engine, 4, Uint32Array.of(1, 4)), /order\[1\] is 4/);
	assert.throws(() => new BubblingQueue(engine, 2, Uint32Array.of(0, 1, 2)), /order.length/);
	assert.throws(() => queueOf(10).fault(-1), /page/);
	assert.throws(() => queueOf(10).push(list, 4097), /count/);
	const nothing = new BubblingQueue(engine, 4, new Uint32Array(0));
	assert.is(nothing.push(list), 0);
	assert.is(nothing.fault(0), "not-owed");
});

test.run();
