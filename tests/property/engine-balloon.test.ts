// The balloon's accounting against a model with a Set, over random turns, pressure and page lists.
import fc from "fast-check";
import { suite } from "uvu";
import * as assert from "uvu/assert";
import { BalloonAccount } from "../../bindings/engine/balloon.ts";
import { createEngine } from "../../bindings/engine/engine.ts";
import { PageList } from "../../bindings/engine/page-list.ts";

const test = suite("engine balloon properties");
const PAGES = 500;

const events = fc.array(
	fc.oneof(
		fc.record({ kind: fc.constant("interval" as const), free: fc.double({ min: 0, max: 1, noNaN: true }) }),
		fc.record({ kind: fc.constant("pressure" as const), pages: fc.integer({ min: 0, max: PAGES }) }),
		fc.record({
			kind: fc.constantFrom("inflated" as const, "deflated" as const),
			pages: fc.array(fc.integer({ min: 0, max: PAGES - 1 }), { maxLength: 60 }),
		}),
	),
	{ maxLength: 60 },
);

test("size, free estimate, back-off and the pages that are out follow the model", () => {
	fc.assert(
		fc.property(
			events,
			fc.integer({ min: 0, max: 12 }),
			fc.integer({ min: 0, max: 100 }),
			(sequence, backOff, percent) => {
				const engine = createEngine();
				const account = new BalloonAccount(engine, PAGES, { targetPercent: percent, backOffIntervals: backOff });
				const list = new PageList(engine, 64);
				const out = new Set<number>();
				let free = 0;
				let held = 0;
				for (const event of sequence) {
					if (event.kind === "interval") {
						free = Math.floor(event.free * (PAGES - out.size));
						const step = account.interval(free);
						if (held > 0) {
							held--;
							assert.equal(step, { kind: "hold", reason: "back-off" });
							continue;
						}
						const target = Math.floor(((out.size + free) * percent) / 100);
						if (target === out.size) assert.equal(step, { kind: "hold", reason: "at-target" });
						else {
							const kind = target > out.size ? "inflate" : "deflate";
							assert.equal(step, { kind, pages: Math.abs(target - out.size), target });
						}
					} else if (event.kind === "pressure") {
						held = backOff;
						const pages = Math.min(event.pages, out.size);
						assert.equal(account.pressure(event.pages), { pages, left: out.size - pages });
					} else {
						list.load(event.pages);
						const before = out.size;
						for (const page of event.pages) {
							if (event.kind === "inflated") out.add(page);
							else out.delete(page);
						}
						const changed = Math.abs(out.size - before);
						assert.is(account[event.kind](list), changed);
						free = event.kind === "inflated" ? Math.max(0, free - changed) : free + changed;
					}
					assert.is(account.size, out.size);
					assert.is(account.free, free);
					assert.is(account.backOffLeft, held);
					assert.equal(
						[...account.out.list()],
						[...out].sort((a, b) => a - b),
					);
				}
			},
		),
		{ numRuns: 500 },
	);
});

test.run();
