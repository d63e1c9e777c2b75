// What every Clock keeps, real or virtual.
import type { suite } from "uvu";
import * as assert from "uvu/assert";
import type { Clock } from "../../../bindings/ports/clock.ts";
import { failureOf } from "./failures.ts";

/** A clock, and what lets its time pass while `body` runs. */
export interface TestClock {
	readonly clock: Clock;
	run(body: () => Promise<void>): Promise<void>;
}

/** Adds the contract's tests to `test`. */
export function clockContract(test: ReturnType<typeof suite>, make: () => TestClock): void {
	const check = (name: string, body: (clock: Clock) => Promise<void>) =>
		test(name, async () => {
			const { clock, run } = make();
			await run(() => body(clock));
		});

	check("a sleep never ends before its time on the same clock, fractions included", async (clock) => {
		for (const durationMs of [0.1, 0.5, 1, 1.5, 2.7, 5, 10.01]) {
			const startedMs = clock.now();
			await clock.sleep(durationMs);
			const elapsedMs = clock.now() - startedMs;
			// Adding and subtracting the start may cost the last bits of a fraction.
			assert.ok(elapsedMs >= durationMs - 1e-9, `slept ${elapsedMs} ms instead of ${durationMs}`);
		}
	});

	check("time never runs backwards", async (clock) => {
		let before = clock.now();
		for (let turn = 0; turn < 2000; turn++) {
			if (turn % 100 === 0) await clock.sleep(0);
			const now = clock.now();
			assert.ok(now >= before);
			before = now;
		}
	});

	check("sleepers wake in the order of their times, not of their calls", async (clock) => {
		const woken: number[] = [];
		const sleep = async (durationMs: number) => {
			await clock.sleep(durationMs);
			woken.push(durationMs);
		};
		await Promise.all([sleep(60), sleep(5), sleep(30)]);
		assert.equal(woken, [5, 30, 60]);
	});

	check("a sleep of 0 lets everything run that is ready", async (clock) => {
		let steps = 0;
		const work = (async () => {
			for (let step = 0; step < 10; step++) {
				await undefined;
				steps++;
			}
		})();
		await clock.sleep(0);
		assert.is(steps, 10);
		await work;
	});

	check("an abort ends a sleep at once with the signal's own reason", async (clock) => {
		for (const durationMs of [3_600_000, Number.POSITIVE_INFINITY]) {
			const controller = new AbortController();
			const reason = new RangeError("no longer needed");
			const startedMs = clock.now();
			const sleeping = failureOf(clock.sleep(durationMs, controller.signal));
			await clock.sleep(1);
			controller.abort(reason);
			assert.is(await sleeping, reason);
			assert.ok(clock.now() - startedMs < 3_600_000);
		}
	});

	check("a signal that was aborted before lets no sleep begin", async (clock) => {
		for (const durationMs of [0, 1000])
			assert.is(await failureOf(clock.sleep(durationMs, AbortSignal.abort("over"))), "over");
	});

	check("a sleep takes its listener off the signal, however it ends", async (clock) => {
		const controller = new AbortController();
		const { signal } = controller;
		let listeners = 0;
		const add = signal.addEventListener.bind(signal);
		const remove = signal.removeEventListener.bind(signal);
		signal.addEventListener = (...args: Parameters<typeof add>) => {
			listeners++;
			add(...args);
		};
		signal.removeEventListener = (...args: Parameters<typeof remove>) => {
			listeners--;
			remove(...args);
		};
		for (let turn = 0; turn < 50; turn++) await clock.sleep(turn % 2, signal);
		assert.is(listeners, 0);
	});

	check("a negative or meaningless duration is refused by name", async (clock) => {
		for (const durationMs of [-1, Number.NaN, Number.NEGATIVE_INFINITY]) {
			// Refused at the call or through its promise: a caller that awaits sees the same.
			const error = await failureOf((async () => clock.sleep(durationMs))());
			assert.instance(error, RangeError);
			assert.match(String(error), /durationMs/);
		}
	});

	check("a longer sleep than a timer can hold does not end at once", async (clock) => {
		const controller = new AbortController();
		let hasEnded = false;
		const sleeping = failureOf(
			clock.sleep(2 ** 31 + 1000, controller.signal).then(() => {
				hasEnded = true;
			}),
		);
		await clock.sleep(20);
		assert.not.ok(hasEnded);
		controller.abort("enough");
		assert.is(await sleeping, "enough");
	});
}
