import fc from "fast-check";
import { suite } from "uvu";
import * as assert from "uvu/assert";
import { DeadlockError, VirtualClock } from "../../bindings/lab/virtual-clock.ts";
import { systemClock } from "../../bindings/platform/system-clock.ts";

const test = suite("virtual clock");

test("a day passes at once, and in order", async () => {
	const clock = new VirtualClock(systemClock);
	const seen: string[] = [];
	await clock.run(async () => {
		const late = clock.sleep(86_400_000).then(() => seen.push("late"));
		const early = clock.sleep(5).then(() => seen.push("early"));
		await Promise.all([late, early]);
	});
	assert.equal(seen, ["early", "late"]);
	assert.is(clock.now(), 86_400_000);
});

test("time does not pass while any promise can still settle", async () => {
	const clock = new VirtualClock(systemClock);
	await clock.run(async () => {
		const sleeping = clock.sleep(1);
		for (let i = 0; i < 1000; i++) await Promise.resolve();
		assert.is(clock.now(), 0);
		await sleeping;
		// Once more, from inside a wake-up: here a turn that is no whole turn would show.
		for (let ms = 1; ms < 20; ms++) {
			const next = clock.sleep(1);
			for (let i = 0; i < 1000; i++) await Promise.resolve();
			assert.is(clock.now(), ms);
			await next;
		}
	});
});

test("sleepers of the same time wake in the order of their calls", async () => {
	const clock = new VirtualClock(systemClock);
	const seen: number[] = [];
	await clock.run(async () => {
		await Promise.all([0, 1, 2, 3].map((id) => clock.sleep(7).then(() => seen.push(id))));
	});
	assert.equal(seen, [0, 1, 2, 3]);
});

test("an aborted sleep rejects with the signal's reason and is gone", async () => {
	const clock = new VirtualClock(systemClock);
	await clock.run(async () => {
		const stop = new AbortController();
		const sleeping = clock.sleep(1000, stop.signal);
		stop.abort("enough");
		assert.is(await sleeping.catch((reason: unknown) => reason), "enough");
		assert.is(clock.pending, 0);
		assert.is(clock.now(), 0);
		assert.is(await clock.sleep(1, stop.signal).catch((reason: unknown) => reason), "enough");
	});
});

test("waiting for what never comes is an error, not a hang", async () => {
	const clock = new VirtualClock(systemClock);
	const error = await clock.run(() => new Promise(() => undefined)).catch((reason: unknown) => reason);
	assert.instance(error, DeadlockError);
});

test("what main throws comes out", async () => {
	const failure = new Error("mine");
	const error = await new VirtualClock(systemClock)
		.run(() => Promise.reject(failure))
		.catch((reason: unknown) => reason);
	assert.is(error, failure);
});

test("any mix of sleeps and aborts wakes in the order of time", async () => {
	await fc.assert(
		fc.asyncProperty(fc.array(fc.tuple(fc.nat(50), fc.boolean()), { maxLength: 60 }), async (plan) => {
			const clock = new VirtualClock(systemClock);
			const woken: [number, number][] = [];
			await clock.run(async () => {
				const stops = plan.map(() => new AbortController());
				const sleeps = plan.map(([ms], id) =>
					clock.sleep(ms, stops[id]!.signal).then(
						() => woken.push([ms, id]),
						() => 0,
					),
				);
				// All are asleep by now, so they are called off anywhere among the others.
				for (const [id, [, aborts]] of plan.entries()) if (aborts) stops[id]!.abort();
				await Promise.all(sleeps);
			});
			const expected = plan
				.flatMap(([ms, aborts], id): [number, number][] => (aborts ? [] : [[ms, id]]))
				.sort((a, b) => a[0] - b[0] || a[1] - b[1]);
			assert.equal(woken, expected);
		}),
		{ numRuns: 300 },
	);
});

test("a sleeper can still call off another one of the same instant", async () => {
	const clock = new VirtualClock(systemClock);
	const stop = new AbortController();
	const second = await clock.run(async () => {
		const first = clock.sleep(5).then(() => stop.abort("first was quicker"));
		const sleeping = clock.sleep(5, stop.signal).catch((reason: unknown) => reason);
		await first;
		return sleeping;
	});
	assert.is(second, "first was quicker");
});

test("a sleep of 0 gives everything else that is ready its turn, and takes no time", async () => {
	const clock = new VirtualClock(systemClock, { startMs: 100 });
	const seen: string[] = [];
	await clock.run(async () => {
		void Promise.resolve().then(() => seen.push("ready"));
		await clock.sleep(0);
		seen.push("woken");
	});
	assert.equal(seen, ["ready", "woken"]);
	assert.is(clock.now(), 100);
});

test("an endless sleep schedules nothing, and ends when it is aborted", async () => {
	const clock = new VirtualClock(systemClock);
	const stop = new AbortController();
	await clock.run(async () => {
		const sleeping = clock.sleep(Number.POSITIVE_INFINITY, stop.signal).catch((reason: unknown) => reason);
		assert.is(clock.pending, 0);
		await clock.sleep(1);
		stop.abort("enough");
		assert.is(await sleeping, "enough");
	});
	assert.is(clock.now(), 1);
});

test("what a program leaves scheduled passes in a later run", async () => {
	const clock = new VirtualClock(systemClock);
	const seen: number[] = [];
	await clock.run(async () => {
		clock.schedule(10, () => seen.push(clock.now()));
		await clock.sleep(5);
	});
	assert.is(clock.pending, 1);
	await clock.run(() => clock.sleep(20));
	assert.equal(seen, [10]);
	assert.is(clock.now(), 25);
});

test("a clock runs one program at a time, and durations are checked", async () => {
	const clock = new VirtualClock(systemClock);
	const error = await clock.run(() => clock.run(async () => 0)).catch((reason: unknown) => reason);
	assert.instance(error, TypeError);
	assert.throws(
		() => clock.sleep(-1),
		(reason: unknown) => reason instanceof RangeError,
	);
	assert.throws(
		() => clock.sleep(Number.NaN),
		(reason: unknown) => reason instanceof RangeError,
	);
});

test.run();
