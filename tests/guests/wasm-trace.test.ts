// A live recording of a third-party program at work, replayed in the lab under every technique.
import { suite } from "uvu";
import * as assert from "uvu/assert";
import { REPLAY_TECHNIQUES, replayTrace } from "../../bindings/lab/replay-trace.ts";
import { decodeTrace, encodeTrace, recordDirtyTrace } from "../../bindings/planning/dirty-trace.ts";
import { plan } from "../../bindings/planning/plan.ts";
import { sampleGuest } from "../../bindings/planning/sample.ts";
import { systemClock } from "../../bindings/platform/system-clock.ts";
import { HISTORIES } from "../wasm/histories.ts";
import { discardGuests, startGuest } from "../wasm/open-guests.ts";

const test = suite("wasm guest: recorded and replayed");
test.after.each(discardGuests);

for (const [program, history] of Object.entries(HISTORIES))
	test(`${program} at work is recorded, and its recording is replayed under every technique`, async () => {
		const guest = await startGuest(program);
		let isOver = false;
		const work = (async () => {
			for (let number = 0; !isOver; number++) await guest.call({ number, request: history(number) });
		})();
		const pagesBefore = guest.pages.pageCount;
		const recorded = await recordDirtyTrace(guest, systemClock, { durationMs: 150, intervalMs: 15 });
		const pagesAfter = guest.pages.pageCount; // some programs grow while they work
		const sample = await sampleGuest(guest, systemClock, { linkBytesPerMs: 50_000, trace: recorded });
		isOver = true;
		await work;
		const trace = decodeTrace(encodeTrace(recorded));
		assert.equal(trace, recorded);
		assert.ok(trace.pageCount >= pagesBefore && trace.pageCount <= pagesAfter, `${trace.pageCount} pages`);
		assert.ok(
			trace.steps.some(({ runs }) => runs.length > 0),
			"a program at work writes",
		);
		assert.is(plan(trace, { bytesPerMs: 50_000, sample }).techniques.length, 4);
		for (const technique of REPLAY_TECHNIQUES) {
			const { pages } = await replayTrace(systemClock, trace, { technique, bytesPerMs: 50_000 });
			assert.ok(pages >= trace.pageCount, `${technique}: ${pages} of ${trace.pageCount} pages`);
		}
	});

test.run();
