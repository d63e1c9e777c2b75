import { suite } from "uvu";
import * as assert from "uvu/assert";
import { type CallOutcome, WorkLoop, type WorkLoopHooks } from "../../bindings/guests/wasm/work-loop.ts";
import type { Clock } from "../../bindings/ports/clock.ts";

const test = suite("wasm guest: work loop");

/** Time that only moves when work says so. A turn is a real one, so that promises settle in between. */
class WorkClock implements Clock {
	time = 0;
	turns = 0;
	now(): number {
		return this.time;
	}
	sleep(): Promise<void> {
		this.turns++;
		this.time += 0.01;
		return new Promise((resolve) => setTimeout(resolve, 0));
	}
}

interface Bench {
	readonly clock: WorkClock;
	readonly loop: WorkLoop;
	readonly log: string[];
	call(name: string, ms?: number): Promise<CallOutcome>;
	/** A job of `steps` steps of `ms` each. */
	job(name: string, steps: number, ms: number): Promise<string>;
}

function bench(hooks: Partial<WorkLoopHooks> = {}, paused = false): Bench {
	const clock = new WorkClock();
	const log: string[] = [];
	const quiet = { quiesce: () => void log.push("quiesce"), wake: () => void log.push("wake") };
	const loop = new WorkLoop(clock, 2, { ...quiet, ...hooks }, paused);
	let id = 0;
	return {
		clock,
		loop,
		log,
		call: (name, ms = 1) =>
			new Promise((resolve) => {
				const run = (): string => {
					clock.time += ms;
					log.push(name);
					return name;
				};
				loop.call(id++, run, resolve);
			}),
		job: (name, steps, ms) =>
			loop.job(function* () {
				for (let step = 0; step < steps; step++) {
					clock.time += ms;
					log.push(`${name}${step}`);
					yield;
				}
				return name;
			}),
	};
}

test("calls run one at a time, in order, and a call that throws is an outcome", async () => {
	const { loop, call, log } = bench();
	const outcomes = [call("a"), call("b")];
	const failed = new Promise<CallOutcome>((resolve) =>
		loop.call(
			99,
			() => {
				throw new Error("no");
			},
			resolve,
		),
	);
	assert.equal(await Promise.all(outcomes), [{ response: "a" }, { response: "b" }]);
	assert.ok("error" in (await failed));
	assert.equal(log, ["a", "b"]);
});

test("a job is cut into slices under the limit and calls run between them", async () => {
	const { loop, call, job, log } = bench();
	const working = job("step", 12, 0.5);
	const calls = Promise.all([call("a", 0.2), call("b", 0.2), call("c", 0.2)]);
	assert.is(await working, "step");
	await calls;
	const slices = loop.takeSlices();
	assert.ok(slices.length >= 4, `${slices.length} slices`);
	for (const sliceMs of slices) assert.ok(sliceMs <= 2, `${sliceMs} ms`);
	assert.ok(log.indexOf("c") < log.indexOf("step11"), log.join(" "));
	assert.equal(loop.takeSlices(), []);
});

test("a slice waits for the guest's share to pass while calls keep coming", async () => {
	const { clock, call, job } = bench();
	let callMs = 0;
	let ended = false;
	const working = job("step", 40, 0.5).then(() => {
		ended = true;
	});
	while (!ended) {
		await call("x", 0.1);
		callMs += 0.1;
	}
	await working;
	// 20 ms of steps: the calls got about as much of the time, their turns and waits included.
	assert.ok(clock.time > 30, `all took ${clock.time} ms`);
	assert.ok(callMs > 4, `calls took ${callMs} ms`);
});

test("a pause waits for the call that runs, holds the others, and resume lets them go", async () => {
	const { loop, call, log } = bench();
	let finish: (value: string) => void = () => undefined;
	const slow = new Promise<CallOutcome>((resolve) =>
		loop.call(
			50,
			() =>
				new Promise<string>((done) => {
					finish = done;
				}),
			resolve,
		),
	);
	await new Promise((resolve) => setTimeout(resolve, 5));
	const next = call("next");
	let isPaused = false;
	const paused = loop.pause().then(() => {
		isPaused = true;
	});
	await new Promise((resolve) => setTimeout(resolve, 5));
	assert.is(isPaused, false);
	finish("slow");
	await paused;
	assert.equal(await slow, { response: "slow" });
	assert.is(loop.paused, true);
	await new Promise((resolve) => setTimeout(resolve, 5));
	assert.equal(log, ["quiesce"]);
	await loop.resume();
	await next;
	assert.equal(log, ["quiesce", "wake", "next"]);
});

test("a pause that is undone before it was reached never happens", async () => {
	const { loop, log } = bench();
	let finish: (value: string) => void = () => undefined;
	const call = new Promise<CallOutcome>((resolve) =>
		loop.call(
			1,
			() =>
				new Promise<string>((done) => {
					finish = done;
				}),
			resolve,
		),
	);
	await new Promise((resolve) => setTimeout(resolve, 5));
	const paused = loop.pause().then(
		() => "paused",
		(error: Error) => error.message,
	);
	await loop.resume();
	assert.is(await paused, "the pause was undone");
	finish("done");
	await call;
	assert.equal(log, []);
	assert.is(loop.paused, false);
});

test("a pause that is undone while the program comes to rest is followed by its waking", async () => {
	let rest: () => void = () => undefined;
	const { loop, call, log } = bench({
		quiesce: () =>
			new Promise<void>((resolve) => {
				rest = resolve;
			}),
	});
	const paused = loop.pause().catch((error: Error) => error.message);
	const resumed = loop.resume();
	const outcome = call("after");
	await new Promise((resolve) => setTimeout(resolve, 5));
	assert.equal(log, [], "no call while it comes to rest");
	rest();
	await resumed;
	assert.is(await paused, "the pause was undone");
	await outcome;
	assert.equal(log, ["wake", "after"]);
});

test("a program that cannot come to rest fails the pause and runs on", async () => {
	const { loop, call, log } = bench({
		quiesce: () => {
			throw new Error("a file is open");
		},
	});
	assert.is(await loop.pause().catch((error: Error) => error.message), "a file is open");
	await call("on");
	assert.equal(log, ["wake", "on"]);
});

test("while it is paused no slice is recorded, and jobs still run", async () => {
	const { loop, job } = bench({}, true);
	assert.is(await job("step", 10, 1), "step");
	assert.equal(loop.takeSlices(), []);
});

test("jobs run in order, promises included, and one that fails does not stop the next", async () => {
	const { loop, job, log } = bench();
	const first = loop.job(
		() =>
			new Promise<string>((resolve) =>
				setTimeout(() => {
					log.push("promise");
					resolve("first");
				}, 5),
			),
	);
	const failing = loop.job(() => {
		throw new Error("no such page");
	});
	const last = job("step", 2, 0.1);
	assert.is(await first, "first");
	assert.is(await failing.catch((error: Error) => error.message), "no such page");
	assert.is(await last, "step");
	assert.equal(log, ["promise", "step0", "step1"]);
});

test("a job that fails in the middle rejects, and the next begins", async () => {
	const { loop, job } = bench();
	const failing = loop.job(function* (): Generator<void, string> {
		yield;
		throw new Error("in the middle");
	});
	const next = job("next", 1, 0.1);
	assert.is(await failing.catch((error: Error) => error.message), "in the middle");
	assert.is(await next, "next");
});

test("a call that has not started can be forgotten", async () => {
	const { loop, log } = bench({}, true);
	const outcome = new Promise<CallOutcome>((resolve) => loop.call(7, () => log.push("ran"), resolve));
	loop.cancelCall(7, new Error("given up"));
	loop.cancelCall(7, new Error("twice"));
	assert.is(((await outcome) as { error: Error }).error.message, "given up");
	await loop.resume();
	assert.equal(log, ["wake"]);
});

test.run();
