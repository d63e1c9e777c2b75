// One timer over many waits: each still has its own deadline and its own signal.
import { suite } from "uvu";
import * as assert from "uvu/assert";
import { DeadlineError } from "../../bindings/handover/phases.ts";
import { StallWatch } from "../../bindings/handover/stall-watch.ts";
import { VirtualClock } from "../../bindings/lab/virtual-clock.ts";
import { systemClock } from "../../bindings/platform/system-clock.ts";

const test = suite("stall watch");

/** Runs with a clock and a watch that is ended afterwards. */
function watched(work: (clock: VirtualClock, watch: StallWatch) => Promise<void>): Promise<void> {
	const clock = new VirtualClock(systemClock);
	const watch = new StallWatch(clock);
	return clock.run(() => work(clock, watch).finally(() => watch.end()));
}

/** When a wait failed and why. */
async function failure(clock: VirtualClock, wait: Promise<unknown>): Promise<[number, unknown]> {
	try {
		await wait;
	} catch (error) {
		return [clock.now(), error];
	}
	throw new RangeError("the wait did not fail");
}

const never = (): Promise<void> => new Promise(() => undefined);

test("work that is done in time gives its value, and its failure", () =>
	watched(async (clock, watch) => {
		assert.is(
			await watch.wait(
				clock.sleep(5).then(() => 7),
				10,
			),
			7,
		);
		const [at, error] = await failure(clock, watch.wait(Promise.reject(new RangeError("no")), 10));
		assert.is(at, 5);
		assert.instance(error, RangeError);
	}));

test("each wait has its own deadline, whatever the timer was set for", () =>
	watched(async (clock, watch) => {
		const long = failure(clock, watch.wait(never(), 100));
		await clock.sleep(20);
		const short = failure(clock, watch.wait(never(), 30));
		const [shortAt, error] = await short;
		assert.is(shortAt, 50);
		assert.instance(error, DeadlineError);
		const [longAt] = await long;
		assert.is(longAt, 100);
	}));

test("waits that end in time move the deadline on", () =>
	watched(async (clock, watch) => {
		for (let i = 0; i < 20; i++) await watch.wait(clock.sleep(8), 10);
		const [at] = await failure(clock, watch.wait(never(), 10));
		assert.is(at, 170);
	}));

test("a signal ends the waits that were given it, at once, and no others", () =>
	watched(async (clock, watch) => {
		const stop = new AbortController();
		const stopped = failure(clock, watch.wait(never(), 100, stop.signal));
		const other = watch.wait(clock.sleep(40), 100);
		await clock.sleep(10);
		stop.abort("enough");
		assert.equal(await stopped, [10, "enough"]);
		assert.equal(await failure(clock, watch.wait(never(), 100, stop.signal)), [10, "enough"]);
		await other;
	}));

test("an ended watch leaves no timer behind", async () => {
	const clock = new VirtualClock(systemClock);
	await clock.run(async () => {
		const watch = new StallWatch(clock);
		await watch.wait(Promise.resolve(), 1_000_000);
		watch.end();
		await clock.sleep(1);
	});
	assert.is(clock.now(), 1);
});

test.run();
