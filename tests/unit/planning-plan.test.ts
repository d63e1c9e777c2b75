import { suite } from "uvu";
import * as assert from "uvu/assert";
import { type LabTechnique, moveInLab } from "../../bindings/lab/move-run.ts";
import { SeededRandom } from "../../bindings/lab/seeded-random.ts";
import { SyntheticGuest } from "../../bindings/lab/synthetic-guest.ts";
import { VirtualClock } from "../../bindings/lab/virtual-clock.ts";
import { RandomWriter } from "../../bindings/lab/workloads/random-writer.ts";
import { type DirtyTrace, recordDirtyTrace } from "../../bindings/planning/dirty-trace.ts";
import { plan } from "../../bindings/planning/plan.ts";
import { systemClock } from "../../bindings/platform/system-clock.ts";

const test = suite("planner");

const PAGES = 16_384;
const network = { rateBytesPerMs: 117_000, latencyMs: 0.1 };

/** A guest that writes at random in a quarter of its memory. */
const writer = (writesPerMs: number, random: SeededRandom) =>
	new RandomWriter({ writesPerMs, pageCount: PAGES / 4, random });

function record(writesPerMs: number): Promise<DirtyTrace> {
	const clock = new VirtualClock(systemClock);
	return clock.run(async () => {
		const guest = new SyntheticGuest({ clock, pageCount: PAGES, filled: true });
		guest.work(writer(writesPerMs, new SeededRandom(1)));
		return recordDirtyTrace(guest, clock, { durationMs: 2000, intervalMs: 10 });
	});
}

test("what it predicts is what the lab's moves take, within a quarter, for most", async () => {
	const misses: string[] = [];
	let compared = 0;
	for (const writesPerMs of [0.5, 3, 8, 15]) {
		const { techniques } = plan(await record(writesPerMs), { bytesPerMs: network.rateBytesPerMs, latencyMs: 0.1 });
		for (const { technique, totalMs, pages } of techniques) {
			if (technique === "post-copy" || technique === "hybrid") continue; // the random writer knows no reads
			const labTechnique: LabTechnique =
				technique === "pre-copy" ? { name: "pre-copy", options: {} } : { name: "stop-and-copy" };
			const { metrics } = await moveInLab({
				...{ real: systemClock, seed: 2, network, technique: labTechnique },
				guest: { pageCount: PAGES, filled: true },
				workload: (random) => writer(writesPerMs, random),
			});
			for (const [name, expected, actual] of [
				["total", totalMs.expected, metrics.totalMs],
				["pages", pages.expected, metrics.pagesTransferred],
			] as const) {
				compared++;
				if (Math.abs(expected / actual - 1) > 0.25)
					misses.push(`${technique} at ${writesPerMs}: ${name} ${expected.toFixed(0)}, was ${actual.toFixed(0)}`);
			}
		}
	}
	assert.ok(misses.length <= compared * 0.2, misses.join("; "));
});

test("it says what will not converge, and recommends by it", async () => {
	const calm = plan(await record(0.5), { bytesPerMs: network.rateBytesPerMs });
	assert.is(calm.recommended, "pre-copy");
	assert.ok(calm.techniques.find(({ technique }) => technique === "pre-copy")!.converges);
	const slow = { bytesPerMs: 5000, downtimeLimitMs: 50 };
	const busy = plan(await record(20), { ...slow, canWaitForPages: true });
	assert.not.ok(busy.techniques.find(({ technique }) => technique === "pre-copy")!.converges);
	assert.is(busy.recommended, "hybrid");
	assert.is(plan(await record(20), slow).recommended, "pre-copy");
});

test("the interval contains the expectation, and wrong arguments are refused", async () => {
	const trace = await record(3);
	for (const { totalMs, downtimeMs, pages } of plan(trace, { bytesPerMs: 10_000 }).techniques)
		for (const { low, expected, high } of [totalMs, downtimeMs, pages]) assert.ok(low <= expected && expected <= high);
	assert.throws(() => plan(trace, { bytesPerMs: 0 }), /bytesPerMs/);
	assert.throws(() => plan({ pageCount: 1, steps: [] }, { bytesPerMs: 1 }), /steps/);
});

test.run();
