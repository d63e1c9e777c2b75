import { suite } from "uvu";
import * as assert from "uvu/assert";
import { clientFigures } from "../../bindings/cli/client-figures.ts";
import { bytes, milliseconds, rate, whole } from "../../bindings/cli/figures.ts";

const test = suite("figures for people");

test("whole numbers are cut into threes", () => {
	assert.equal([0, 7, 999, 1000, 1_234_567, 99.6].map(whole), ["0", "7", "999", "1 000", "1 234 567", "100"]);
});

test("times keep three digits", () => {
	assert.equal([0.123, 9.876, 12.34, 1234.5].map(milliseconds), ["0.12 ms", "9.88 ms", "12.3 ms", "1 235 ms"]);
});

test("bytes take the unit that fits, rates are MB/s", () => {
	assert.equal([512, 1536, 3 * 2 ** 20].map(bytes), ["512 B", "1.5 KiB", "3.0 MiB"]);
	assert.is(rate(117_000), "117 MB/s");
});

test("gaps and rates are told apart by whether a move was under way", () => {
	const steady = (fromMs: number, toMs: number, stepMs: number) =>
		Array.from({ length: Math.round((toMs - fromMs) / stepMs) }, (_, i) => fromMs + i * stepMs);
	const times = [...steady(0, 1000, 10), ...steady(1040, 2000, 20), ...steady(2000, 3000, 5)];
	const figures = clientFigures(times, { startMs: 1000, endMs: 2000 });
	assert.is(figures.answers, times.length);
	assert.is(figures.longestGapInMoveMs, 50);
	assert.is(figures.longestGapOutsideMs, 10);
	assert.is(Math.round(figures.answersPerSecondBefore), 100);
	assert.is(Math.round(figures.answersPerSecondDuring), 48);
	assert.ok(Math.abs(figures.answersPerSecondAfter - 200) < 2);
});

test("a client without answers has no gaps", () => {
	assert.equal(clientFigures([], { startMs: 1, endMs: 2 }), {
		answers: 0,
		longestGapInMoveMs: 0,
		longestGapOutsideMs: 0,
		answersPerSecondBefore: 0,
		answersPerSecondDuring: 0,
		answersPerSecondAfter: 0,
	});
});

test.run();
