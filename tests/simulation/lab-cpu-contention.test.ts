// One core for a guest, for what moves it and for its balloon: each makes the others slower, and nothing is lost.
import { suite } from "uvu";
import * as assert from "uvu/assert";
import { startSelfBallooning } from "../../bindings/ballooning/self-ballooning.ts";
import { diskDestination } from "../../bindings/lab/disk-destination.ts";
import type { GuestCpuOptions, PageCosts } from "../../bindings/lab/guest-cpu.ts";
import { type LabMoveResult, type LabTechnique, moveInLab } from "../../bindings/lab/move-run.ts";
import { SeededRandom } from "../../bindings/lab/seeded-random.ts";
import { type CpuReport, SimulatedCpu } from "../../bindings/lab/simulated-cpu.ts";
import { SimulatedDisk } from "../../bindings/lab/simulated-disk.ts";
import { BallooningSyntheticGuest } from "../../bindings/lab/synthetic-balloon.ts";
import { SyntheticGuest } from "../../bindings/lab/synthetic-guest.ts";
import { VirtualClock } from "../../bindings/lab/virtual-clock.ts";
import { ProgramWorkload } from "../../bindings/lab/workloads/program-workload.ts";
import { RandomWriter } from "../../bindings/lab/workloads/random-writer.ts";
import { Sequential } from "../../bindings/lab/workloads/sequential.ts";
import { systemClock } from "../../bindings/platform/system-clock.ts";
import { livePlan } from "../../bindings/snapshot/live-save.ts";
import { runSave } from "../../bindings/snapshot/saving.ts";

const test = suite("CPU contention in the lab");

const PAGES = 4096;
const COSTS: PageCosts = {
	...{ encodeMsPerPage: 0.02, scanMsPerPage: 0.0001, hashMsPerPage: 0.005 },
	...{ applyMsPerPage: 0.01, balloonMsPerPage: 0.02 },
};

const used = ({ consumers }: CpuReport, name: string): number =>
	consumers.filter((consumer) => consumer.name === name).reduce((sum, { usedMs }) => sum + usedMs, 0);

/** Every ms of every core belongs to somebody, or was idle. */
function checkSums(report: CpuReport): void {
	const sum = report.consumers.reduce((all, { usedMs }) => all + usedMs, report.idleMs);
	const wholeMs = report.cores * report.elapsedMs;
	assert.ok(Math.abs(sum - wholeMs) < 1e-6 * wholeMs, `${sum} of ${wholeMs} ms`);
	assert.ok(report.idleMs > -1e-6, `idle for ${report.idleMs} ms`);
}

const PRE_COPY: LabTechnique = { name: "pre-copy", options: { verification: "transport" } };
const POST_COPY: LabTechnique = { name: "post-copy", options: { verification: "transport" } };

function move(cores: number, load: number, technique: LabTechnique = PRE_COPY): Promise<LabMoveResult> {
	return moveInLab({
		...{ real: systemClock, seed: 7, technique, guest: { pageCount: PAGES, filled: true } },
		workload: (random) => new RandomWriter({ writesPerMs: 2, share: load, pageCount: 512, random }),
		network: { rateBytesPerMs: 1_000_000, latencyMs: 0.05 },
		cpu: { cores, costs: COSTS },
	});
}

test("pre-copy beside a busy guest on one core takes longer and slows the guest; both sums are the CPU's time", async () => {
	const apart = await move(2, 1);
	const together = await move(1, 1);
	for (const { result, cpus } of [apart, together]) {
		assert.is(result.outcome, "moved");
		checkSums(cpus!.source);
		checkSums(cpus!.target);
	}
	const speed = ({ cpus, metrics }: LabMoveResult): number => used(cpus!.source, "guest") / metrics.preparationMs;
	assert.ok(
		together.metrics.preparationMs > 1.7 * apart.metrics.preparationMs,
		`${together.metrics.preparationMs} ms on one core, ${apart.metrics.preparationMs} ms on two`,
	);
	assert.ok(Math.abs(speed(apart) - 1) < 0.01, `${speed(apart)} of full speed on two cores`);
	assert.ok(speed(together) > 0.49 && speed(together) < 0.6, `${speed(together)} of full speed on one`);
	// Half the speed for twice as long: as many writes, so half as many per ms.
	const dirtied = ({ metrics }: LabMoveResult): number => metrics.rounds[0]!.dirtiedPages;
	assert.ok(Math.abs(dirtied(together) - dirtied(apart)) <= 3, `${dirtied(together)} and ${dirtied(apart)} pages`);
});

test("a guest that wants little of the core costs the move little", async () => {
	const [idle, modest, busy] = [await move(1, 0), await move(1, 0.2), await move(1, 1)];
	const times = [idle, modest, busy].map(({ metrics }) => metrics.preparationMs);
	assert.ok(times[0]! < times[1]! && times[1]! < 1.4 * times[0]! && times[1]! < times[2]!, `${times} ms`);
});

test("the same seed gives the same figures", async () => {
	for (const technique of [PRE_COPY, POST_COPY]) {
		const [once, again] = [await move(1, 1, technique), await move(1, 1, technique)];
		assert.equal(once.cpus, again.cpus);
		assert.equal(once.metrics, again.metrics);
	}
});

test("after a post-copy switch the guest computes beside what installs its pages: half a core, half the touches", async () => {
	const run = (cores: number) =>
		moveInLab({
			...{ real: systemClock, seed: 7, technique: POST_COPY, guest: { pageCount: PAGES, filled: true } },
			workload: () =>
				new ProgramWorkload({
					...{ cores: 1, programs: [new Sequential({ firstPage: 0, pageCount: PAGES, write: true, workMs: 0.02 })] },
				}),
			network: { rateBytesPerMs: 1_000_000, latencyMs: 0.05 },
			cpu: { cores, costs: { ...COSTS, applyMsPerPage: 0.02 } },
		});
	const [apart, together] = [await run(2), await run(1)];
	for (const { result, cpus } of [apart, together]) {
		assert.is(result.outcome, "moved");
		checkSums(cpus!.target);
	}
	assert.ok(
		together.metrics.totalMs > 1.1 * apart.metrics.totalMs,
		`${together.metrics.totalMs} and ${apart.metrics.totalMs} ms`,
	);
	const speed = ({ workMs, elapsedMs }: LabMoveResult): number => workMs / elapsedMs;
	assert.ok(speed(together) < 0.8 * speed(apart), `${speed(together)} and ${speed(apart)} of full speed`);
});

/** A guest on a host of so many cores, at work while `during` runs. @returns how long that took, and the guest's speed */
async function besideGuest(
	cores: number,
	during: (guest: BallooningSyntheticGuest, clock: VirtualClock) => Promise<void>,
): Promise<{ elapsedMs: number; speed: number; report: CpuReport }> {
	const clock = new VirtualClock(systemClock);
	return clock.run(async () => {
		const host: GuestCpuOptions = { cpu: new SimulatedCpu(clock, cores), costs: COSTS };
		const guest = new BallooningSyntheticGuest({ clock, pageCount: PAGES, filled: true, cpu: host }, PAGES / 2);
		guest.work(new RandomWriter({ writesPerMs: 2, pageCount: 512, random: new SeededRandom(3) }));
		await during(guest, clock);
		guest.catchUp();
		const elapsedMs = clock.now();
		const report = host.cpu.report();
		const speed = guest.cpuMs / elapsedMs;
		await guest.discard();
		return { elapsedMs, speed, report };
	});
}

test("a balloon that is blown up beside a busy guest on one core takes longer and slows the guest", async () => {
	const inflate = (cores: number) =>
		besideGuest(cores, async (guest) => {
			assert.is((await guest.balloon.inflate(PAGES)).length, PAGES / 2);
			assert.equal(await guest.balloon.report(), { freePages: 0, pressurePages: 0 });
		});
	const [apart, together] = [await inflate(2), await inflate(1)];
	const cpuMs = (PAGES / 2) * COSTS.balloonMsPerPage!;
	for (const { report } of [apart, together]) {
		checkSums(report);
		assert.ok(Math.abs(used(report, "ballooning") - cpuMs) < 1e-6, "the pages cost what they cost");
	}
	assert.ok(Math.abs(apart.elapsedMs - cpuMs) < 1e-6 && Math.abs(together.elapsedMs - 2 * cpuMs) < 1e-6);
	assert.ok(Math.abs(apart.speed - 1) < 1e-9 && Math.abs(together.speed - 0.5) < 1e-9, `${together.speed}`);
});

test("self-ballooning costs a busy guest the more, the shorter its interval is", async () => {
	const balloon = (intervalMs: number) =>
		besideGuest(1, async (guest, clock) => {
			const ballooning = startSelfBallooning({ guest, clock }, { intervalMs });
			for (let turn = 0; turn < 40; turn++) {
				await clock.sleep(25);
				if (guest.running) await guest.balloon.deflate(200); // the load takes some back
			}
			await ballooning.stop();
		});
	const [often, seldom] = [await balloon(20), await balloon(400)];
	for (const { report } of [often, seldom]) checkSums(report);
	assert.ok(often.speed < seldom.speed && seldom.speed < 1, `${often.speed} and ${seldom.speed} of full speed`);
});

test("a live save's checkpointing takes its time from the guest", async () => {
	const save = (cores: number) =>
		besideGuest(cores, async (guest, clock) => {
			const destination = diskDestination(new SimulatedDisk(clock, { rateBytesPerMs: 1_000_000 }));
			await runSave(livePlan({}), { guest, clock, destination }, {});
		});
	const [apart, together] = [await save(2), await save(1)];
	for (const { report } of [apart, together]) checkSums(report);
	assert.ok(together.elapsedMs > 1.5 * apart.elapsedMs, `${together.elapsedMs} and ${apart.elapsedMs} ms`);
	assert.ok(together.speed < 0.75 && apart.speed > 0.9, `${together.speed} and ${apart.speed} of full speed`);
});

test("by default nothing but the guest takes time", () => {
	const clock = new VirtualClock(systemClock);
	return clock.run(async () => {
		const guest = new SyntheticGuest({ clock, pageCount: PAGES, filled: true });
		await guest.pages.encode(Uint32Array.of(1, 2, 3), { compress: false });
		await guest.pages.hashes(0, PAGES);
		assert.is(clock.now(), 0);
		assert.is(clock.pending, 0);
		assert.is(guest.cpu, undefined);
	});
});

test.run();
