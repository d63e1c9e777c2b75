import { suite } from "uvu";
import * as assert from "uvu/assert";
import { summarizeFaults, Timeline } from "../../bindings/paging/fault-figures.ts";
import { activePush, demandPaging, prepaging } from "../../bindings/policies/push-order.ts";
import { PushWindow } from "../../bindings/policies/push-window.ts";

const test = suite("paging figures and policies");

const PAGE = 4096;

interface Driven {
	/** Bytes per ms. */
	readonly rate: number;
	/** Pages under way: no more in nine of ten moments, and ever. */
	readonly usualPages: number;
	readonly mostPages: number;
}

/** Pushes for a while over a line of a rate and a delay. `workMs`: what each batch costs beside, whatever its size. */
function drive(bytesPerMs: number, delayMs: number, durationMs: number, workMs = 0, window = new PushWindow()): Driven {
	const underWay: number[] = [];
	const line: { readonly batch: ReturnType<PushWindow["sent"]>; readonly ackMs: number }[] = [];
	let [nowMs, freeMs, delivered] = [0, 0, 0];
	while (nowMs < durationMs) {
		while (window.hasRoom) {
			const byteLength = window.batchPages * PAGE;
			freeMs = Math.max(freeMs, nowMs) + byteLength / bytesPerMs + workMs;
			line.push({ batch: window.sent(byteLength, nowMs), ackMs: freeMs + 2 * delayMs });
		}
		underWay.push(window.inFlightBytes / PAGE);
		const next = line.shift()!;
		nowMs = next.ackMs;
		window.taken(next.batch, nowMs);
		delivered += next.batch.byteLength;
	}
	underWay.sort((a, b) => a - b);
	return {
		rate: delivered / nowMs,
		usualPages: underWay[Math.floor(underWay.length * 0.9)]!,
		mostPages: underWay.at(-1)!,
	};
}

test("the window fills a line and little more, whatever the line", () => {
	for (const [bytesPerMs, delayMs] of [
		[4_000, 0.5],
		[117_000, 0.06],
		[117_000, 1],
		[1_250_000, 0.05],
		[3_000_000, 0.03],
	] as const) {
		const { rate, usualPages } = drive(bytesPerMs, delayMs, 1000);
		assert.ok(rate > 0.85 * bytesPerMs, `${bytesPerMs} bytes per ms, ${delayMs} ms: ${rate}`);
		// What a fault waits behind: the line's own content, and 0.6 ms or 10 pages of queue.
		const queueMs = (usualPages * PAGE) / bytesPerMs - 2 * delayMs;
		assert.ok(
			queueMs < 0.6 + 0.6 * delayMs || usualPages <= 12,
			`${bytesPerMs}, ${delayMs}: ${queueMs} ms, ${usualPages} pages`,
		);
	}
});

test("where each batch has its price the window grows until batches are large", () => {
	const { rate } = drive(3_000_000, 0.03, 1000, 0.06);
	assert.ok(rate > 1_000_000, `${rate} bytes per ms`); // 8 pages under way: 130 000
});

test("while the guest waits for pages the window is small, whatever it was", () => {
	const window = new PushWindow();
	assert.ok(drive(3_000_000, 0.03, 1000, 0.06, window).mostPages > 100);
	window.fault(1000);
	assert.is(window.windowBytes, 27 * PAGE);
	window.sent(PAGE, 1009);
	assert.is(window.windowBytes, 27 * PAGE);
	window.sent(PAGE, 1010);
	assert.ok(window.windowBytes > 100 * PAGE);
});

test("a window never closes for good", () => {
	const window = new PushWindow();
	assert.ok(window.hasRoom);
	const batch = window.sent(1 << 20, 0);
	assert.not.ok(window.hasRoom);
	window.taken(batch, 0); // no time has passed: nothing is learnt
	assert.ok(window.hasRoom);
	assert.is(window.bytesPerMs, 0);
	assert.is(window.windowBytes, 8 * PAGE);
});

test("push orders are plain data, and say what is wrong with their options", () => {
	assert.equal(prepaging(), { variant: "prepaging", pivots: 7, direction: "dual", order: "edges" });
	assert.equal(prepaging({ order: "turns" }), { variant: "prepaging", pivots: 3, direction: "dual", order: "turns" });
	assert.equal(activePush(), { variant: "push" });
	assert.equal(demandPaging(), { variant: "demand" });
	assert.equal(demandPaging(5), { variant: "demand", pushAfterMs: 5 });
	for (const work of [() => prepaging({ pivots: 0 }), () => prepaging({ pivots: 65 }), () => demandPaging(-1)])
		assert.throws(work, (error: unknown) => error instanceof RangeError);
});

test("waits are counted by powers of two, in µs", () => {
	const report = summarizeFaults({
		faults: 6,
		minorFaults: 2,
		blockedMs: 9,
		latenciesMs: [0.0005, 0.001, 0.003, 0.2, 0.2, 5],
		touchedPages: 40,
	});
	assert.is(report.p50Ms, 0.2);
	assert.is(report.maximumMs, 5);
	assert.is(report.histogram.length, 13); // 5 ms: 2^12 µs
	assert.equal([report.histogram[0], report.histogram[1], report.histogram[7], report.histogram[12]], [2, 1, 2, 1]);
	assert.is(report.touchedPages, 40);
	const none = summarizeFaults({ faults: 0, minorFaults: 0, blockedMs: 0, latenciesMs: [] });
	assert.equal(none, { faults: 0, minorFaults: 0, blockedMs: 0, p50Ms: 0, p90Ms: 0, maximumMs: 0, histogram: [] });
	const hours = summarizeFaults({ faults: 1, minorFaults: 0, blockedMs: 1e8, latenciesMs: [1e8] });
	assert.is(hours.histogram.length, 32);
});

test("a timeline of any length stays short and ends now", () => {
	const timeline = new Timeline();
	const sample = (atMs: number) => ({ atMs, missingPages: 0, faultPages: 0, inFlightWaits: 0 });
	for (let atMs = 0; atMs < 100_000; atMs++) timeline.note(sample(atMs));
	const samples = timeline.end(sample(100_000));
	assert.ok(samples.length > 200 && samples.length <= 513, `${samples.length}`);
	assert.is(samples[0]?.atMs, 0);
	assert.is(samples.at(-1)?.atMs, 100_000);
	for (let i = 1; i < samples.length; i++) assert.ok(samples[i]!.atMs > samples[i - 1]!.atMs);
});

test.run();
