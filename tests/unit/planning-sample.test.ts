import { suite } from "uvu";
import * as assert from "uvu/assert";
import { MemoryGuest } from "../../bindings/guests/memory/memory-guest.ts";
import { SeededRandom } from "../../bindings/lab/seeded-random.ts";
import { recordDirtyTrace } from "../../bindings/planning/dirty-trace.ts";
import { plan } from "../../bindings/planning/plan.ts";
import { sampleGuest } from "../../bindings/planning/sample.ts";
import { systemClock } from "../../bindings/platform/system-clock.ts";
import { PAGE_BYTES } from "../../bindings/ports/guest.ts";

const test = suite("planner: a guest is sampled");

const PAGES = 512;

/** A guest whose first half is incompressible and whose second half is zero. */
function guestOf(): MemoryGuest {
	const guest = new MemoryGuest({ pageCount: PAGES });
	guest.write(0, new SeededRandom(1).fill(new Uint8Array((PAGES / 2) * PAGE_BYTES)));
	return guest;
}

test("bytes of a page are those of its batches: zero pages cost next to nothing", async () => {
	const sample = await sampleGuest(guestOf(), systemClock, { linkBytesPerMs: 10_000 });
	const expected = (PAGE_BYTES + 24 + 24) / 2;
	assert.ok(Math.abs(sample.bytesPerPage / expected - 1) < 0.05, `${sample.bytesPerPage} bytes, not ${expected}`);
	for (const figure of [sample.encodeMsPerPage, sample.hashMsPerPage, sample.scanMs])
		assert.ok(Number.isFinite(figure) && figure >= 0, JSON.stringify(sample));
});

test("pages that are written again are those of the trace, and the guest runs on", async () => {
	const guest = guestOf();
	const recording = recordDirtyTrace(guest, systemClock, { durationMs: 30, intervalMs: 10 });
	guest.write(3 * PAGE_BYTES, Uint8Array.of(1, 2, 3));
	guest.write(400 * PAGE_BYTES, Uint8Array.of(1)); // all but zero: it compresses
	const trace = await recording;
	const sample = await sampleGuest(guest, systemClock, { linkBytesPerMs: 10_000, trace });
	assert.ok(guest.running);
	assert.ok(sample.bytesPerPageAgain < (PAGE_BYTES + 24) * 0.6, `${sample.bytesPerPageAgain} bytes`);
	const { techniques } = plan(trace, { bytesPerMs: 10_000, sample });
	const [stop] = techniques;
	const expectedMs = (PAGES * sample.bytesPerPage) / 10_000;
	assert.ok(stop!.totalMs.expected >= expectedMs * 0.99 && stop!.totalMs.expected < expectedMs * 2);
});

test("a rate that is not above 0 is refused", async () => {
	const error = await sampleGuest(guestOf(), systemClock, { linkBytesPerMs: 0 }).catch((reason: unknown) => reason);
	assert.instance(error, RangeError);
});

test.run();
