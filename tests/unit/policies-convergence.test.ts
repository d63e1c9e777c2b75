import { suite } from "uvu";
import * as assert from "uvu/assert";
import {
	type ConvergenceFacts,
	downtimeConvergence,
	expectedDowntimeMs,
	firstOf,
	type RoundFacts,
	xenConvergence,
} from "../../bindings/policies/convergence.ts";

const test = suite("convergence policies");

const round = (index: number, sentPages: number, skippedPages = 0): RoundFacts => ({
	index,
	toSendPages: sentPages + skippedPages,
	sentPages,
	skippedPages,
	sentBytes: sentPages * 4120,
	durationMs: 10,
	dirtiedPages: 0,
});

const facts = (rounds: readonly RoundFacts[], more: Partial<ConvergenceFacts> = {}): ConvergenceFacts => ({
	rounds,
	pageCount: 1000,
	pendingPages: 100,
	totalSentPages: rounds.reduce((sum, { sentPages }) => sum + sentPages, 0),
	bandwidthBytesPerMs: 100_000,
	bytesPerPage: 4120,
	...more,
});

test("xen goes on while there is much to send and rounds are left", () => {
	assert.is(xenConvergence()(facts([round(1, 1000)])), undefined);
});

test("xen stops after 29 live rounds: the final one is the thirtieth", () => {
	const rounds = Array.from({ length: 29 }, (_, index) => round(index + 1, 60));
	assert.is(xenConvergence()(facts(rounds.slice(0, 28))), undefined);
	assert.is(xenConvergence()(facts(rounds)), "iterations");
});

test("xen stops when a round sent and skipped fewer than 50 pages together", () => {
	assert.is(xenConvergence()(facts([round(1, 1000), round(2, 25, 25)])), undefined);
	assert.is(xenConvergence()(facts([round(1, 1000), round(2, 25, 24)])), "few-dirty-pages");
});

test("xen stops when more than three times the memory has been sent", () => {
	assert.is(xenConvergence()(facts([round(1, 1000), round(2, 1000), round(3, 1000)])), undefined);
	assert.is(xenConvergence()(facts([round(1, 1000), round(2, 1000), round(3, 1001)])), "sent-too-much");
});

test("the downtime policy stops once the rest fits into the limit at the measured rate", () => {
	const policy = downtimeConvergence(4);
	assert.is(policy(facts([round(1, 1000)], { pendingPages: 98 })), undefined, "98 × 4120 / 100000 is 4.04 ms");
	assert.is(policy(facts([round(1, 1000)], { pendingPages: 97 })), "downtime-limit", "97 pages take 3.996 ms");
});

test("the downtime policy never stops on a rate it does not know, unless nothing is owed", () => {
	const policy = downtimeConvergence();
	assert.is(policy(facts([round(1, 0)], { bandwidthBytesPerMs: 0, pendingPages: 1 })), undefined);
	assert.is(policy(facts([round(1, 0)], { bandwidthBytesPerMs: 0, pendingPages: 0 })), "downtime-limit");
});

test("expected downtime is what the rest takes at the measured rate", () => {
	assert.is(expectedDowntimeMs({ pendingPages: 100, bandwidthBytesPerMs: 100_000, bytesPerPage: 4120 }), 4.12);
	assert.is(expectedDowntimeMs({ pendingPages: 0, bandwidthBytesPerMs: 0, bytesPerPage: 4120 }), 0);
	assert.is(expectedDowntimeMs({ pendingPages: 1, bandwidthBytesPerMs: 0, bytesPerPage: 4120 }), undefined);
});

test("the first policy that says stop decides", () => {
	const policy = firstOf(
		() => undefined,
		() => "mine",
		() => "never asked",
	);
	assert.is(policy(facts([round(1, 1000)])), "mine");
	assert.throws(() => firstOf(), TypeError);
});

test("parameters that make no sense are refused by name", () => {
	assert.throws(() => xenConvergence({ maxIterations: 0 }), /maxIterations/);
	assert.throws(() => xenConvergence({ minPages: -1 }), /minPages/);
	assert.throws(() => xenConvergence({ maxFactor: Number.NaN }), /maxFactor/);
	assert.throws(() => downtimeConvergence(0), /limitMs/);
});

test.run();
