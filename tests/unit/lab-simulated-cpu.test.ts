import { suite } from "uvu";
import * as assert from "uvu/assert";
import { SeededRandom } from "../../bindings/lab/seeded-random.ts";
import { type CpuReport, SimulatedCpu } from "../../bindings/lab/simulated-cpu.ts";
import { VirtualClock } from "../../bindings/lab/virtual-clock.ts";
import { systemClock } from "../../bindings/platform/system-clock.ts";

const test = suite("simulated CPU");

const near = (actual: number, expected: number, what: string): void =>
	assert.ok(Math.abs(actual - expected) < 1e-6, `${what}: ${actual}, expected ${expected}`);

const total = ({ consumers }: CpuReport): number => consumers.reduce((sum, { usedMs }) => sum + usedMs, 0);

/** Runs `main` on a fresh CPU. */
function onCpu<T>(cores: number, main: (cpu: SimulatedCpu, clock: VirtualClock) => Promise<T>): Promise<T> {
	const clock = new VirtualClock(systemClock);
	const cpu = new SimulatedCpu(clock, cores);
	return clock.run(() => main(cpu, clock));
}

test("who has a core for itself computes at full speed and waits for nothing", () =>
	onCpu(1, async (cpu, clock) => {
		await cpu.run(cpu.consumer("only"), 12);
		near(clock.now(), 12, "end");
		await clock.sleep(8);
		assert.equal(cpu.report(), {
			...{ cores: 1, elapsedMs: 20, idleMs: 8 },
			consumers: [{ name: "only", usedMs: 12, waitedMs: 0 }],
		});
	}));

test("two on one core take twice as long, and the one that is left goes on alone", () =>
	onCpu(1, async (cpu, clock) => {
		const ends: number[] = [];
		const until = (name: string, cpuMs: number) =>
			cpu.run(cpu.consumer(name), cpuMs).then(() => ends.push(clock.now()));
		await Promise.all([until("long", 30), until("short", 10)]);
		near(ends[0]!, 20, "the short one ends");
		near(ends[1]!, 40, "the long one ends");
		const { consumers, idleMs } = cpu.report();
		near(consumers[0]!.waitedMs, 10, "the long one waited");
		near(consumers[1]!.waitedMs, 10, "the short one waited");
		near(idleMs, 0, "idle");
	}));

test("a core is divided by weight, and what one does not want goes to the others", () =>
	onCpu(1, async (cpu, clock) => {
		const [light, heavy, modest] = [
			cpu.consumer("light"),
			cpu.consumer("heavy", { weight: 3 }),
			cpu.consumer("modest", { weight: 10 }),
		];
		cpu.setLoad(light, 1);
		cpu.setLoad(heavy, 1);
		cpu.setLoad(modest, 0.2);
		await clock.sleep(100);
		near(cpu.usedMs(modest), 20, "wants less than its part");
		near(cpu.usedMs(light), 20, "a quarter of what is left");
		near(cpu.usedMs(heavy), 60, "three quarters of it");
	}));

test("a job runs on one core at a time, and a consumer's jobs follow each other unless it has threads", () =>
	onCpu(4, async (cpu, clock) => {
		const ends: string[] = [];
		const run = (consumer: ReturnType<SimulatedCpu["consumer"]>, name: string, cpuMs: number) =>
			cpu.run(consumer, cpuMs).then(() => ends.push(`${name} ${clock.now()}`));
		const line = cpu.consumer("line");
		const crew = cpu.consumer("crew", { threads: 2 });
		await Promise.all([
			...[run(line, "a", 10), run(line, "b", 1)],
			...[run(crew, "x", 3), run(crew, "y", 5), run(crew, "z", 1)],
		]);
		assert.equal(ends, ["x 3", "z 4", "y 5", "a 10", "b 11"]);
	}));

test("called off, a job gives the core back and keeps what it has used", () =>
	onCpu(1, async (cpu, clock) => {
		const [goes, stays] = [cpu.consumer("goes"), cpu.consumer("stays")];
		const abort = new AbortController();
		const gone = cpu.run(goes, 100, abort.signal).catch((reason: unknown) => reason);
		const done = cpu.run(stays, 10);
		await clock.sleep(4);
		abort.abort("enough");
		assert.is(await gone, "enough");
		await done;
		near(clock.now(), 12, "2 ms of the first 4, then alone");
		near(cpu.usedMs(goes), 2, "used before it was called off");
		assert.is(clock.pending, 0);
	}));

test("no core is idle while somebody wants it, the sums are the CPU's time, and a seed gives the same run again", async () => {
	const play = (seed: number) =>
		onCpu(2, async (cpu, clock) => {
			const random = new SeededRandom(seed);
			const draw = (limit: number): number => (random.nextU32() / 2 ** 32) * limit;
			const consumers = [1, 2, 5].map((weight) => cpu.consumer(`weight ${weight}`, { weight, threads: weight }));
			cpu.setLoad(consumers[0]!, 0.3);
			const ends: number[] = [];
			const jobs: Promise<unknown>[] = [];
			const wantedMs = [0, 0, 0];
			for (let i = 0; i < 300; i++) {
				const cpuMs = draw(4);
				wantedMs[i % 3]! += cpuMs;
				jobs.push(cpu.run(consumers[i % 3]!, cpuMs).then(() => ends.push(clock.now())));
				await clock.sleep(draw(0.5));
			}
			const busy = cpu.report();
			near(total(busy) + busy.idleMs, 2 * busy.elapsedMs, "in the middle");
			await Promise.all(jobs);
			const after = cpu.report();
			for (const i of [1, 2]) near(after.consumers[i]!.usedMs, wantedMs[i]!, `what consumer ${i} asked for`);
			const first = after.consumers[0]!;
			assert.ok(first.usedMs > wantedMs[0]!, "beside its jobs it has a load");
			assert.ok(first.usedMs <= wantedMs[0]! + 0.3 * after.elapsedMs, "nobody gets more than it wants");
			near(total(after) + after.idleMs, 2 * after.elapsedMs, "at the end");
			assert.ok(busy.idleMs < 0.05 * busy.elapsedMs, `overloaded, and idle for ${busy.idleMs} ms`);
			return { ends, after };
		});
	for (let seed = 1; seed <= 20; seed++) assert.equal(await play(seed), await play(seed), `seed ${seed}`);
	assert.not.equal(await play(1), await play(2));
});

test("what cannot be is refused", () => {
	const clock = new VirtualClock(systemClock);
	const cpu = new SimulatedCpu(clock, 1);
	assert.throws(() => new SimulatedCpu(clock, 0), RangeError);
	assert.throws(() => cpu.consumer("none", { weight: 0 }), RangeError);
	assert.throws(() => cpu.consumer("none", { threads: 0 }), RangeError);
	assert.throws(() => cpu.setLoad(cpu.consumer("x"), -1), RangeError);
	assert.throws(() => cpu.start(cpu.consumer("x"), Number.NaN, () => undefined), RangeError);
	const other = new SimulatedCpu(clock, 1).consumer("elsewhere");
	assert.throws(() => cpu.usedMs(other), TypeError);
});

test.run();
