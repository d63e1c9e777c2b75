import { suite } from "uvu";
import * as assert from "uvu/assert";
import { improvedConvergence, maxIterationsAfter } from "../../bindings/policies/adaptive-iterations.ts";
import { type RoundFacts, xenConvergence } from "../../bindings/policies/convergence.ts";

const test = suite("Improved Live Save's maximum of iterations");

const PAGES = 1000;
const round = (index: number, facts: Partial<RoundFacts>): RoundFacts => ({
	...{ index, toSendPages: 100, sentPages: 100, skippedPages: 0, sentBytes: 409_600, durationMs: 10, dirtiedPages: 50 },
	...facts,
});
const rounds = (...facts: Partial<RoundFacts>[]): RoundFacts[] => facts.map((fact, i) => round(i + 1, fact));
const factsOf = (done: readonly RoundFacts[]) => ({
	...{ rounds: done, pageCount: PAGES, pendingPages: 100, bandwidthBytesPerMs: 40_960, bytesPerPage: 4096 },
	totalSentPages: done.reduce((sum, { sentPages }) => sum + sentPages, 0),
});

test("falls by one for each round that dirtied pages faster than the sink took them, and never rises above the limit", () => {
	const fast = { dirtiedPages: 101 };
	const slow = { dirtiedPages: 100 };
	assert.is(maxIterationsAfter(rounds(slow, slow), "sink-limit"), 30);
	assert.is(maxIterationsAfter(rounds(fast, fast, fast), "sink-limit"), 27);
	assert.is(maxIterationsAfter(rounds(fast, fast, slow), "sink-limit"), 29);
	assert.is(maxIterationsAfter(rounds(fast, slow, slow, slow), "sink-limit"), 30);
	assert.is(maxIterationsAfter(rounds(fast, fast), "sink-limit", 10), 8);
});

test("a round whose pages were all skipped is judged by the rate of the last one that sent any", () => {
	const skipped = { sentPages: 0, sentBytes: 0, skippedPages: 100, durationMs: 1, dirtiedPages: 11 };
	assert.is(maxIterationsAfter(rounds({}, skipped), "sink-limit"), 29);
	assert.is(maxIterationsAfter(rounds({}, { ...skipped, dirtiedPages: 10 }), "sink-limit"), 30);
	assert.is(maxIterationsAfter(rounds(skipped), "sink-limit"), 30, "nothing is known of the sink");
});

test("by the other reading it falls when a round dirtied no fewer pages than the one before", () => {
	assert.is(maxIterationsAfter(rounds({ dirtiedPages: 50 }), "not-fewer"), 30, "there is none before the first");
	assert.is(maxIterationsAfter(rounds({ dirtiedPages: 50 }, { dirtiedPages: 50 }), "not-fewer"), 29);
	assert.is(maxIterationsAfter(rounds({ dirtiedPages: 50 }, { dirtiedPages: 49 }), "not-fewer"), 30);
});

test("the two readings disagree where pages grow slowly", () => {
	const growing = rounds({ dirtiedPages: 10 }, { dirtiedPages: 11 }, { dirtiedPages: 12 });
	assert.is(maxIterationsAfter(growing, "sink-limit"), 30);
	assert.is(maxIterationsAfter(growing, "not-fewer"), 28);
});

/** Live rounds until the policy stops a guest that dirties the same in each. */
function liveRounds(policy: ReturnType<typeof improvedConvergence>, fact: Partial<RoundFacts>): [number, string] {
	const done: RoundFacts[] = [];
	for (;;) {
		done.push(round(done.length + 1, fact));
		const reason = policy(factsOf(done));
		if (reason !== undefined) return [done.length, reason];
	}
}

test("a guest that outruns its sink is stopped after half of Xen's rounds (the paper's figure 5: about 17 iterations)", () => {
	const fast = { sentPages: 60, dirtiedPages: 100 };
	assert.equal(liveRounds(improvedConvergence(), fast), [15, "iterations"]);
	assert.equal(liveRounds(xenConvergence(), fast), [29, "iterations"]);
});

test("Xen's other conditions hold as they are", () => {
	assert.equal(liveRounds(improvedConvergence(), { sentPages: 49, dirtiedPages: 10 }), [1, "few-dirty-pages"]);
	assert.equal(liveRounds(improvedConvergence(), { sentPages: 301, dirtiedPages: 10 }), [10, "sent-too-much"]);
	assert.throws(() => improvedConvergence({ minPages: 0 }), RangeError);
});

test.run();
