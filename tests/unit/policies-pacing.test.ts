import { suite } from "uvu";
import * as assert from "uvu/assert";
import { encodeOptionsOf } from "../../bindings/policies/compression.ts";
import type { RoundFacts } from "../../bindings/policies/convergence.ts";
import { adaptiveRate, fixedRate, Pacer } from "../../bindings/policies/pacing.ts";
import { ProgressEstimator, type ProgressFacts } from "../../bindings/policies/progress.ts";

const test = suite("pacing, compression and progress");

/** A clock on which a sleep is over at once and has taken its time. */
function jumpingClock() {
	let now = 0;
	return {
		now: () => now,
		sleep: (ms: number) => {
			now += ms;
			return Promise.resolve();
		},
		pass: (ms: number) => {
			now += ms;
		},
	};
}

const round = (dirtiedPages: number, durationMs: number): RoundFacts => ({
	index: 1,
	toSendPages: 0,
	sentPages: 0,
	skippedPages: 0,
	sentBytes: 0,
	durationMs,
	dirtiedPages,
});

test("a pacer keeps sends to the rate, whatever their size", async () => {
	const clock = jumpingClock();
	const pacer = new Pacer(clock);
	pacer.setRate(1000);
	for (const bytes of [5000, 100_000, 1, 70_000, 25_000]) await pacer.take(bytes);
	await pacer.take(1);
	assert.ok(
		clock.now() >= 200_001 / 1000 - 20 && clock.now() <= 200_001 / 1000,
		`${clock.now()} ms for 200001 bytes at 1000 a ms`,
	);
});

test("a pause of the sender is not followed by a burst of more than 20 ms", async () => {
	const clock = jumpingClock();
	const pacer = new Pacer(clock);
	pacer.setRate(1000);
	await pacer.take(1000);
	clock.pass(10_000);
	const start = clock.now();
	for (let i = 0; i < 100; i++) await pacer.take(1000);
	assert.ok(clock.now() - start >= 78, `100 ms of data took ${clock.now() - start} ms`);
});

test("without a rate nothing waits", async () => {
	const clock = jumpingClock();
	const pacer = new Pacer(clock);
	for (let i = 0; i < 10; i++) await pacer.take(1e9);
	assert.is(clock.now(), 0);
});

test("a rate of zero or less is refused by name", () => {
	assert.throws(() => fixedRate(0), /bytesPerMs/);
	assert.is(fixedRate(117_000)([]), 117_000);
});

test("adaptive rate starts at 100 Mbit/s, follows the dirty rate plus 50, and stops at 500", () => {
	const { pacing, convergence } = adaptiveRate();
	assert.is(pacing([]), 12_500);
	assert.is(pacing([round(100, 100)]), 4096 + 6250);
	assert.is(pacing([round(100_000, 100)]), 62_500);
	const facts = {
		rounds: [round(100, 100)],
		pageCount: 1e5,
		pendingPages: 1000,
		totalSentPages: 0,
		bandwidthBytesPerMs: 1,
		bytesPerPage: 4096,
	};
	assert.is(convergence(facts), undefined);
	assert.is(convergence({ ...facts, pendingPages: 63 }), "rate-limit-reached", "less than 256 KB is left");
	assert.is(convergence({ ...facts, rounds: [round(100_000, 100)] }), "rate-limit-reached");
});

test("the engine chooses by the link's rate unless the caller does, who is told 0 for a rate that is not known", () => {
	assert.equal(encodeOptionsOf(undefined, 117_000), { compress: true, linkBytesPerMs: 117_000 });
	assert.equal(encodeOptionsOf(undefined, Number.POSITIVE_INFINITY), {
		compress: true,
		linkBytesPerMs: Number.POSITIVE_INFINITY,
	});
	const asked: number[] = [];
	const policy = (bytesPerMs: number): boolean => asked.push(bytesPerMs) > 1;
	assert.equal(encodeOptionsOf(policy, Number.POSITIVE_INFINITY), { compress: false });
	assert.equal(encodeOptionsOf(policy, 117_000), { compress: true });
	assert.equal(asked, [0, 117_000]);
});

const progress = (pendingPages: number, elapsedMs: number, more: Partial<ProgressFacts> = {}): ProgressFacts => ({
	pageCount: 1000,
	pendingPages,
	elapsedMs,
	bandwidthBytesPerMs: 4096,
	bytesPerPage: 4096,
	dirtyPagesPerMs: 0,
	roundsLeft: 29,
	...more,
});

test("progress says how much of the time has passed and how much is left", () => {
	const estimate = new ProgressEstimator().estimate(progress(750, 250));
	assert.is(estimate.etaMs, 750);
	assert.is(estimate.fraction, 0.25);
});

test("progress never runs backwards, and says 1 only at the end", () => {
	const estimator = new ProgressEstimator();
	assert.is(estimator.estimate(progress(500, 500)).fraction, 0.5);
	assert.is(estimator.estimate(progress(1000, 600)).fraction, 0.5, "a burst of dirty pages takes nothing back");
	assert.is(estimator.estimate(progress(0, 1e9)).fraction, 0.99);
	assert.is(estimator.finish().fraction, 1);
});

test("the time left counts the rounds to come", () => {
	const still = new ProgressEstimator().estimate(progress(1000, 0)).etaMs!;
	const dirtying = new ProgressEstimator().estimate(progress(1000, 0, { dirtyPagesPerMs: 0.5 })).etaMs!;
	const hopeless = new ProgressEstimator().estimate(progress(1000, 0, { dirtyPagesPerMs: 5, roundsLeft: 3 })).etaMs!;
	assert.is(still, 1000);
	assert.ok(dirtying > 1900 && dirtying <= 2000, `a half each time: ${dirtying}`);
	assert.is(hopeless, 4000, "what never converges ends with its rounds");
	assert.is(new ProgressEstimator().estimate(progress(10, 5, { bandwidthBytesPerMs: 0 })).etaMs, undefined);
});

test.run();
