import { suite } from "uvu";
import * as assert from "uvu/assert";
import { CompressionPolicy } from "../../bindings/engine/compression-choice.ts";

const test = suite("the choice to compress");

test("an unknown link is taken for a slow one", () => {
	const choice = new CompressionPolicy().choose(undefined);
	assert.equal([choice.compress, choice.wordMask], [true, false]);
});

test("LZ4 is used up to the rate at which it saves", () => {
	const policy = new CompressionPolicy();
	const limit = policy.savedBytesPerMs;
	assert.is(policy.choose(limit * 0.99).compress, true);
	assert.is(policy.choose(limit * 1.01).compress, false);
});

test("what is observed moves that rate, recent pages most", () => {
	const policy = new CompressionPolicy();
	for (let i = 0; i < 50; i++) {
		policy.observeSavings(16, 16 * 3200);
		policy.observeTime(16, 0.032);
	}
	assert.ok(Math.abs(policy.savedBytesPerMs - 1_600_000) < 1000, `${policy.savedBytesPerMs}`);
	policy.observeTime(1, 0.004);
	assert.ok(Math.abs(policy.savedBytesPerMs - 1_280_000) < 1000, `${policy.savedBytesPerMs}`);
	policy.observeSavings(1, 0);
	assert.ok(Math.abs(policy.savedBytesPerMs - 960_000) < 1000, `${policy.savedBytesPerMs}`);
});

test("nothing observed moves nothing", () => {
	const policy = new CompressionPolicy();
	const before = policy.savedBytesPerMs;
	policy.observeSavings(0, 0);
	policy.observeTime(0, 5);
	policy.observeTime(5, 0); // a clock too coarse to tell
	assert.is(policy.savedBytesPerMs, before);
});

test("the faster the link, the more attempts a failing region is spared", () => {
	const limits = [1_000, 117_000, 1_000_000, 5_000_000, 100_000_000].map(
		(rate) => new CompressionPolicy().choose(rate).spareLimit,
	);
	assert.equal(
		limits,
		[...limits].sort((a, b) => a - b),
	);
	assert.is(limits.at(-1), 63);
	assert.ok(limits[1]! <= 3, `${limits[1]}`);
});

test("every 32nd batch is a sample", () => {
	const policy = new CompressionPolicy();
	const samples = Array.from({ length: 65 }, () => policy.isSampleDue());
	assert.equal(
		samples.flatMap((sample, batch) => (sample ? [batch] : [])),
		[0, 32, 64],
	);
});

test.run();
