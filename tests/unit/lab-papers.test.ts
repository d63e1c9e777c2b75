import { suite } from "uvu";
import * as assert from "uvu/assert";
import { ascending, scannedOrder, shuffledRuns } from "../../bindings/lab/device-order.ts";
import { EventQueue } from "../../bindings/lab/event-queue.ts";
import { runPagingModel } from "../../bindings/lab/paging-model.ts";
import { EXPERIMENTS } from "../../bindings/lab/papers/index.ts";
import { LabBench, median, numberRow, VERDICTS } from "../../bindings/lab/papers/report.ts";
import { SeededRandom } from "../../bindings/lab/seeded-random.ts";
import { SimulatedDisk } from "../../bindings/lab/simulated-disk.ts";
import { VirtualClock } from "../../bindings/lab/virtual-clock.ts";
import { Quicksort } from "../../bindings/lab/workloads/quicksort.ts";
import { Sequential } from "../../bindings/lab/workloads/sequential.ts";
import { systemClock } from "../../bindings/platform/system-clock.ts";
import { activePush, prepaging } from "../../bindings/policies/push-order.ts";
import { StoreError } from "../../bindings/ports/store.ts";

const test = suite("lab: papers and their models");

test("every id of the first two sections of the specification has an experiment", () => {
	const ids = EXPERIMENTS.map(({ id }) => id);
	const expected = [
		...Array.from({ length: 11 }, (_, i) => `PC-${i + 1}`),
		...Array.from({ length: 7 }, (_, i) => `LS-${i + 1}`),
	];
	assert.equal(ids, expected);
});

test("the experiments that take seconds come to their recorded verdicts", async () => {
	const bench = new LabBench(systemClock);
	for (const id of ["PC-1", "PC-8", "PC-9"]) {
		const experiment = EXPERIMENTS.find((one) => one.id === id)!;
		const report = await experiment.run(bench);
		const rank = VERDICTS.indexOf(report.verdict);
		assert.ok(rank >= VERDICTS.indexOf(experiment.recorded), `${id}: ${report.verdict}`);
	}
});

test("a simulation is run once, whoever asks for it", async () => {
	let runs = 0;
	const bench = new LabBench(systemClock);
	const run = () => bench.once("same", async () => ++runs);
	assert.is(await run(), await run());
	assert.is(runs, 1);
});

test("errors are judged by their size", () => {
	assert.is(numberRow("x", 100, 110, 0.15, 0.3).verdict, "reproduced");
	assert.is(numberRow("x", 100, 80, 0.15, 0.3).verdict, "partly");
	assert.is(numberRow("x", 100, 140, 0.15, 0.3).verdict, "not");
	assert.is(median([3, 1, 2, 10]), 2.5);
});

test("the paging model brings every page, and each wait is a fault or a page in flight", () => {
	const pageCount = 2000;
	for (const push of [activePush(), prepaging()]) {
		const program = new Sequential({ firstPage: 0, pageCount, write: false, workMs: 0.03, start: 900 });
		const result = runPagingModel({ programs: [program], pageCount, order: ascending(pageCount), push });
		assert.ok(result.totalMs >= pageCount * 0.033, `${result.totalMs} ms`);
		assert.ok(result.totalMs < pageCount * 0.033 + 1, `${result.totalMs} ms: the wire must not idle`);
		assert.ok(result.networkFaults + result.inFlightWaits + result.minorFaults <= pageCount);
		assert.ok(result.workMs + result.blockedMs <= result.totalMs + 10);
	}
});

test("Quicksort touches every page of its array in each sort, from both ends or forward", () => {
	for (const scheme of ["hoare", "lomuto"] as const) {
		const sort = new Quicksort({ firstPage: 10, pageCount: 64, scheme, workMs: 1, random: new SeededRandom(1) });
		const touch = { page: 0, write: false, workMs: 0 };
		const first: number[] = [];
		for (let i = 0; i < 64; i++) {
			sort.next(touch);
			first.push(touch.page);
		}
		assert.equal(
			[...first].sort((a, b) => a - b),
			[...ascending(64, 10)],
		);
		assert.equal(first.slice(0, 4), scheme === "hoare" ? [10, 73, 11, 72] : [10, 11, 12, 13]);
	}
});

test("device order keeps runs together, and a scan brings what was touched to the front without breaking them", () => {
	const order = shuffledRuns(ascending(64), 8, new SeededRandom(2));
	assert.equal(
		[...order].sort((a, b) => a - b),
		[...ascending(64)],
	);
	for (let at = 0; at < 64; at += 8) assert.is(order[at + 7], order[at]! + 7);
	const lastUse = new Float64Array(64);
	for (let page = 40; page < 48; page++) lastUse[page] = 1000 - page;
	assert.equal([...scannedOrder(order, lastUse, 10_000).subarray(0, 8)], [...ascending(8, 40)]);
});

test("events happen in the order of their times, and of one time as they were scheduled", () => {
	const events = new EventQueue();
	const random = new SeededRandom(3);
	const seen: [number, number][] = [];
	for (let i = 0; i < 500; i++) {
		const at = random.nextU32() % 20;
		events.schedule(at, () => seen.push([at, i]));
	}
	while (events.step());
	const sorted = [...seen].sort((a, b) => a[0] - b[0] || a[1] - b[1]);
	assert.equal(seen, sorted);
	assert.is(events.nowMs, 19);
});

test("a disk writes one after another at its rate, and says when it is full", () => {
	const clock = new VirtualClock(systemClock);
	return clock.run(async () => {
		const disk = new SimulatedDisk(clock, { rateBytesPerMs: 10, latencyMs: 1, capacityBytes: 250 });
		await Promise.all([disk.write(100), disk.write(100)]);
		assert.is(clock.now(), 22);
		const error = await disk.write(51).catch((reason: unknown) => reason);
		assert.instance(error, StoreError);
		assert.is(clock.now(), 22);
		assert.is(disk.usedBytes, 200);
	});
});

test.run();
