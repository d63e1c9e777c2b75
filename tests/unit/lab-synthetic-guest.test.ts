import { suite } from "uvu";
import * as assert from "uvu/assert";
import { BatchError } from "../../bindings/engine/batch.ts";
import { moveInLab } from "../../bindings/lab/move-run.ts";
import { SeededRandom } from "../../bindings/lab/seeded-random.ts";
import { SyntheticFactory } from "../../bindings/lab/synthetic-factory.ts";
import { SyntheticGuest } from "../../bindings/lab/synthetic-guest.ts";
import { VirtualClock } from "../../bindings/lab/virtual-clock.ts";
import { ProgramWorkload } from "../../bindings/lab/workloads/program-workload.ts";
import { RandomWriter } from "../../bindings/lab/workloads/random-writer.ts";
import { Sequential } from "../../bindings/lab/workloads/sequential.ts";
import { systemClock } from "../../bindings/platform/system-clock.ts";

const test = suite("synthetic guest");

const network = { rateBytesPerMs: 117_000, latencyMs: 0.06 };

test("a large batch is a few real bytes, charged as what its pages would be on the wire", async () => {
	const clock = new VirtualClock(systemClock);
	const guest = new SyntheticGuest({ clock, pageCount: 4096, filled: true });
	const batch = await guest.pages.encode(
		Uint32Array.from({ length: 256 }, (_, i) => i),
		{ compress: false },
	);
	assert.ok(batch.bytes.byteLength < 64, `${batch.bytes.byteLength} bytes`);
	assert.is(batch.wireByteLength, 16 + 256 * 4120);
});

test("every damaged byte of a batch is found, whatever its form", async () => {
	const clock = new VirtualClock(systemClock);
	const guest = new SyntheticGuest({ clock, pageCount: 512, filled: true });
	await guest.pause();
	for (const count of [8, 200]) {
		const batch = await guest.pages.encode(
			Uint32Array.from({ length: count }, (_, i) => i * 2),
			{ compress: false },
		);
		const { guest: target } = await new SyntheticFactory(clock).setUp(guest.state.layout());
		for (let at = 0; at < batch.bytes.byteLength; at += 7) {
			const bytes = batch.bytes.slice();
			bytes[at]! ^= 1;
			const error = await target.pages.apply({ ...batch, bytes }).catch((reason: unknown) => reason);
			assert.instance(error, BatchError, `byte ${at} of ${count} pages`);
		}
		assert.equal((await target.pages.apply(batch)).hashes, batch.hashes);
	}
});

test("what a workload writes while nobody looks is in the log when somebody does", () => {
	const clock = new VirtualClock(systemClock);
	return clock.run(async () => {
		const guest = new SyntheticGuest({ clock, pageCount: 64, filled: true });
		guest.work(
			new ProgramWorkload({ programs: [new Sequential({ firstPage: 8, pageCount: 16, write: true, workMs: 1 })] }),
		);
		const cursor = await guest.dirty.open();
		await clock.sleep(5.5);
		const { bits, dirtyCount } = await cursor.harvest();
		assert.is(dirtyCount, 6);
		assert.equal([...bits.subarray(0, 3)], [0, 0b111111, 0]);
		await guest.pause();
		await clock.sleep(10);
		assert.is((await cursor.harvest()).dirtyCount, 0, "a paused guest does nothing");
	});
});

test("writes at random fill as many pages as chance says, in few large steps as in many small ones", () => {
	const pageCount = 8192;
	const dirtyAfter = (steps: number): Promise<number> => {
		const clock = new VirtualClock(systemClock);
		return clock.run(async () => {
			const guest = new SyntheticGuest({ clock, pageCount, filled: true });
			guest.work(new RandomWriter({ writesPerMs: 20, pageCount, random: new SeededRandom(5) }));
			const cursor = await guest.dirty.open();
			for (let step = 0; step < steps; step++) {
				await clock.sleep(1000 / steps);
				await cursor.peek(0, 8);
			}
			return (await cursor.harvest()).dirtyCount;
		});
	};
	return Promise.all([1, 100].map(dirtyAfter)).then((counts) => {
		const expected = pageCount * (1 - Math.exp(-20_000 / pageCount));
		for (const count of counts) assert.ok(Math.abs(count / expected - 1) < 0.02, `${count}, expected ${expected}`);
	});
});

test("post-copy of a synthetic guest sends every page once and counts what was waited for", async () => {
	const pageCount = 1024;
	const { result, metrics, minorFaults, waits } = await moveInLab({
		...{ real: systemClock, seed: 1, network },
		guest: { pageCount, filled: true },
		workload: () =>
			new ProgramWorkload({
				programs: [new Sequential({ firstPage: 0, pageCount, write: true, workMs: 0.02, start: 700 })],
			}),
		technique: { name: "post-copy", options: {} },
	});
	assert.is(result.outcome, "moved");
	assert.is(metrics.pagesTransferred, pageCount);
	assert.ok(waits > 0 && minorFaults > 100, `${waits} waits, ${minorFaults} minor`);
});

test("a 256 GB guest's pre-copy is simulated in bounded time, page by page", async () => {
	// A 16th of it here: the time grows with the pages. The full size is in the lab's documentation.
	const pageCount = 2 ** 22;
	const startedMs = systemClock.now();
	const { metrics } = await moveInLab({
		...{ real: systemClock, seed: 1, network: { rateBytesPerMs: 3_000_000, latencyMs: 0.05 } },
		guest: { pageCount, filled: true },
		workload: (random) => new RandomWriter({ writesPerMs: 50, pageCount: 100_000, random }),
		technique: { name: "pre-copy", options: {} },
	});
	assert.ok(metrics.pagesTransferred > pageCount);
	const elapsedMs = systemClock.now() - startedMs;
	assert.ok(elapsedMs < 30_000, `${elapsedMs} ms`);
	console.log(`16 GB in ${(elapsedMs / 1000).toFixed(1)} s`);
});

test.run();
