import { suite } from "uvu";
import * as assert from "uvu/assert";
import { REPLAY_TECHNIQUES, replayTrace } from "../../bindings/lab/replay-trace.ts";
import type { DirtyTrace } from "../../bindings/planning/dirty-trace.ts";
import { systemClock } from "../../bindings/platform/system-clock.ts";

const test = suite("lab: traces replayed");

const PAGES = 2048;
/** Writes pages 100 to 109 in each interval of 10 ms, and one page that is new. */
const trace: DirtyTrace = {
	pageCount: PAGES,
	steps: Array.from({ length: 20 }, (_, i) => ({ atMs: (i + 1) * 10, runs: [100, 10, 200 + i * 7, 1] })),
};

for (const technique of REPLAY_TECHNIQUES)
	test(`${technique} is replayed: every page goes, and the same again in a second replay`, async () => {
		const options = { technique, bytesPerMs: 50_000, latencyMs: 0.2 };
		const first = await replayTrace(systemClock, trace, options);
		assert.equal(await replayTrace(systemClock, trace, options), first);
		assert.ok(first.pages >= PAGES, `${first.pages} pages`);
		assert.ok(first.totalMs >= (PAGES * 4096) / 50_000, `${first.totalMs} ms`);
		assert.ok(first.downtimeMs <= first.totalMs);
	});

test("what the trace writes decides: pre-copy sends it again, post-copy waits for it", async () => {
	const at = (technique: (typeof REPLAY_TECHNIQUES)[number]) =>
		replayTrace(systemClock, trace, { technique, bytesPerMs: 50_000 });
	const [pre, post, stop] = [await at("pre-copy"), await at("post-copy"), await at("stop-and-copy")];
	assert.ok(pre.pages > PAGES && post.pages === PAGES, `${pre.pages} and ${post.pages} pages`);
	assert.ok(post.networkFaults > 0 && post.waitedMs > 0, `${post.networkFaults} faults, ${post.waitedMs} ms`);
	assert.ok(pre.downtimeMs < stop.downtimeMs / 4);
});

test("wrong arguments are refused", async () => {
	const at = (steps: DirtyTrace["steps"], bytesPerMs: number) => async () =>
		replayTrace(systemClock, { pageCount: 8, steps }, { technique: "pre-copy", bytesPerMs });
	for (const wrong of [at(trace.steps, 0), at([], 100)])
		assert.instance(await wrong().catch((error: unknown) => error), RangeError);
});

test.run();
