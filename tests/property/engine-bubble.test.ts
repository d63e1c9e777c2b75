// Bubbling under random faults: completeness, at most once, no stall; and the paper's order against a naive model.
import fc from "fast-check";
import { suite } from "uvu";
import * as assert from "uvu/assert";
import { BubblingQueue } from "../../bindings/engine/bubble.ts";
import { createEngine } from "../../bindings/engine/engine.ts";
import { PageList } from "../../bindings/engine/page-list.ts";
import { NaiveBubbling } from "../oracles/bubbling.ts";

const test = suite("engine bubbling properties");

const options = fc.record({
	pivots: fc.oneof(fc.integer({ min: 1, max: 8 }), fc.constant(64)),
	direction: fc.constantFrom("dual" as const, "forward" as const, "backward" as const),
	pushOrder: fc.constantFrom("edges" as const, "turns" as const),
});

/** A page order: a shuffled subset of the guest's pages. */
const orders = fc
	.integer({ min: 1, max: 300 })
	.chain((pageCount) =>
		fc.tuple(fc.constant(pageCount), fc.shuffledSubarray(Array.from({ length: pageCount }, (_, i) => i))),
	);

/** Faults (any page of the guest, as a fraction: near the last one or anywhere) and pushes of some pages. */
const events = fc.array(
	fc.oneof(
		fc.record({ kind: fc.constant("fault" as const), at: fc.double({ min: 0, max: 0.999, noNaN: true }) }),
		fc.record({ kind: fc.constant("near" as const), by: fc.integer({ min: -20, max: 20 }) }),
		fc.record({ kind: fc.constant("push" as const), count: fc.integer({ min: 0, max: 40 }) }),
	),
	{ maxLength: 60 },
);

test("every owed page is handed out exactly once and the push never stalls, whatever the faults", () => {
	fc.assert(
		fc.property(orders, options, events, ([pageCount, order], settings, sequence) => {
			const engine = createEngine();
			const queue = new BubblingQueue(engine, pageCount, Uint32Array.from(order), settings);
			const list = new PageList(engine, 40);
			const owed = new Set(order);
			const out = new Set<number>();
			let last = 0;
			const handOut = (page: number) => {
				assert.ok(owed.has(page), `page ${page} is owed`);
				assert.not.ok(out.has(page), `page ${page} comes once`);
				out.add(page);
			};
			const push = (count: number) => {
				const got = queue.push(list, count);
				assert.is(got, Math.min(count, owed.size - out.size), "a push is short only when nothing is left");
				for (const page of list.view()) handOut(page);
			};
			for (const event of sequence) {
				if (event.kind === "push") push(event.count);
				else {
					last =
						event.kind === "fault"
							? Math.floor(event.at * pageCount)
							: Math.min(pageCount - 1, Math.max(0, last + event.by));
					const expected = !owed.has(last) ? "not-owed" : out.has(last) ? "in-flight" : "send";
					assert.is(queue.fault(last), expected);
					if (expected === "send") handOut(last);
				}
				assert.is(queue.remaining, owed.size - out.size);
			}
			while (out.size < owed.size) push(40);
			assert.is(queue.push(list), 0);
			assert.is(queue.remaining, 0);
		}),
		{ numRuns: 1500 },
	);
});

test("the edges' order is that of the naive model, step by step, with and without the sweep", () => {
	fc.assert(
		fc.property(
			fc.integer({ min: 1, max: 300 }),
			options,
			events,
			fc.boolean(),
			(pageCount, { pivots, direction }, sequence, sweep) => {
				const engine = createEngine();
				// Positions run against page numbers, so that a mix-up of the two cannot pass.
				const order = Uint32Array.from({ length: pageCount }, (_, position) => pageCount - 1 - position);
				const queue = new BubblingQueue(engine, pageCount, order, { pivots, direction, sweep });
				const model = new NaiveBubbling(pageCount, pivots, direction);
				const list = new PageList(engine, 512);
				const push = (count: number) => {
					queue.push(list, count);
					const expected: number[] = [];
					while (expected.length < count) {
						const position = model.push(sweep);
						if (position === undefined) break;
						expected.push(pageCount - 1 - position);
					}
					assert.equal([...list.view()], expected);
				};
				let last = 0;
				for (const event of sequence) {
					if (event.kind === "push") push(event.count);
					else {
						last =
							event.kind === "fault"
								? Math.floor(event.at * pageCount)
								: Math.min(pageCount - 1, Math.max(0, last + event.by));
						assert.is(queue.fault(pageCount - 1 - last), model.fault(last));
					}
				}
				push(512);
				assert.is(queue.remaining, pageCount - model.sent.size);
			},
		),
		{ numRuns: 1500 },
	);
});

test("pages put back after a lost link come out once more, and only they", () => {
	fc.assert(
		fc.property(
			orders,
			options,
			events,
			fc.integer({ min: 1, max: 5 }),
			([pageCount, order], settings, sequence, every) => {
				const engine = createEngine();
				const queue = new BubblingQueue(engine, pageCount, Uint32Array.from(order), settings);
				const list = new PageList(engine, 512);
				const out: number[] = [];
				for (const event of sequence) {
					if (event.kind === "push") {
						queue.push(list, event.count);
						out.push(...list.view());
					} else if (event.kind === "fault") {
						const page = Math.floor(event.at * pageCount);
						if (queue.fault(page) === "send") out.push(page);
					}
				}
				const lost = out.filter((_, i) => i % every === 0);
				for (const page of lost) {
					assert.ok(queue.putBack(page));
					assert.not.ok(queue.putBack(page), "once is enough");
				}
				queue.push(list);
				const expected = order.filter((page) => !out.includes(page) || lost.includes(page));
				assert.equal(
					[...list.view()].sort((a, b) => a - b),
					expected.sort((a, b) => a - b),
				);
			},
		),
		{ numRuns: 500 },
	);
});

test.run();
