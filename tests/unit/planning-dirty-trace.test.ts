import { suite } from "uvu";
import * as assert from "uvu/assert";
import { MemoryGuest } from "../../bindings/guests/memory/memory-guest.ts";
import { moveInLab } from "../../bindings/lab/move-run.ts";
import { SyntheticGuest } from "../../bindings/lab/synthetic-guest.ts";
import { VirtualClock } from "../../bindings/lab/virtual-clock.ts";
import { TraceReplay } from "../../bindings/lab/workloads/replay.ts";
import { type DirtyTrace, decodeTrace, encodeTrace, recordDirtyTrace } from "../../bindings/planning/dirty-trace.ts";
import { systemClock } from "../../bindings/platform/system-clock.ts";

const test = suite("traces of dirty pages");

/** A memory guest that writes two pages every 5 ms, recorded for 60 ms. */
function record(): Promise<DirtyTrace> {
	const clock = new VirtualClock(systemClock);
	return clock.run(async () => {
		const guest = new MemoryGuest({ pageCount: 64 });
		const recording = recordDirtyTrace(guest, clock, { durationMs: 60, intervalMs: 10 });
		for (let i = 0; i < 12; i++) {
			await clock.sleep(5);
			guest.write(((i * 3) % 63) * 4096 + 4000, new Uint8Array(200).fill(i));
		}
		return recording;
	});
}

test("a recording has every page that was written, in its interval", async () => {
	const { pageCount, steps } = await record();
	assert.is(pageCount, 64);
	assert.is(steps.length, 6);
	const pages = new Set(
		steps.flatMap(({ runs }) =>
			runs.length === 0 ? [] : Array.from({ length: runs.length / 2 }, (_, i) => runs[2 * i]!),
		),
	);
	for (let i = 0; i < 11; i++) assert.ok(pages.has(i * 3), `page ${i * 3}`);
});

test("text and back, and nothing else is read", async () => {
	const trace = await record();
	const text = encodeTrace(trace);
	assert.equal(decodeTrace(text), trace);
	const header = text.split("\n")[0]!;
	for (const bad of [
		"",
		"{}",
		"[]",
		header.replace('"version":1', '"version":2'),
		header.replace("64", "-1"),
		`${header}\n{"atMs":1,"runs":[1]}`,
		`${header}\n{"atMs":1,"runs":[60,5]}`,
		`${header}\n{"atMs":1,"runs":[5,1,4,1]}`,
		`${header}\n{"atMs":2,"runs":[]}\n{"atMs":1,"runs":[]}`,
		`${header}\n{"atMs":1,"runs":[1,0]}`,
		`${header}\nnull`,
	])
		assert.throws(
			() => decodeTrace(bad),
			(error: unknown) => error instanceof RangeError,
			bad,
		);
});

test("a replay dirties the same pages at the same times, again and again", () => {
	const clock = new VirtualClock(systemClock);
	const trace: DirtyTrace = {
		pageCount: 64,
		steps: [
			{ atMs: 10, runs: [1, 2] },
			{ atMs: 20, runs: [40, 1] },
		],
	};
	return clock.run(async () => {
		const guest = new SyntheticGuest({ clock, pageCount: 64, filled: true });
		guest.work(new TraceReplay(trace));
		const cursor = await guest.dirty.open();
		const counts: number[] = [];
		for (let i = 0; i < 5; i++) {
			await clock.sleep(10);
			counts.push((await cursor.harvest()).dirtyCount);
		}
		assert.equal(counts, [2, 1, 2, 1, 2]);
	});
});

test("a recorded guest can be moved in the lab by pre-copy", async () => {
	const trace = await record();
	const { result, metrics } = await moveInLab({
		...{ real: systemClock, seed: 1, network: { rateBytesPerMs: 4000, latencyMs: 0.1 } },
		guest: { pageCount: trace.pageCount, filled: true },
		workload: () => new TraceReplay(trace),
		technique: { name: "pre-copy", options: { bandwidthBytesPerMs: 4000 } },
	});
	assert.is(result.outcome, "moved");
	assert.ok(metrics.pagesTransferred >= trace.pageCount);
});

test.run();
