// Series of increments: each snapshot restores to exactly the memory at its pause, whatever fails between them.
import fc from "fast-check";
import { suite } from "uvu";
import * as assert from "uvu/assert";
import { SaveError } from "../../bindings/snapshot/save-error.ts";
import { SnapshotSeries } from "../../bindings/snapshot/series.ts";
import { isSame, PAGES, SnapshotWorld } from "./snapshot-world.ts";

const test = suite("snapshots: series");

test("the second snapshot writes only what became dirty, and both are whole", async () => {
	const world = new SnapshotWorld(1);
	await world.run(async () => {
		const series = await SnapshotSeries.open(world.services);
		await world.clock.sleep(5);
		world.writesPerMs = 0;
		const first = await series.liveSave();
		const firstPause = world.lastPause;
		assert.not(first.metrics.incremental);
		const second = await series.liveSave();
		assert.ok(second.metrics.incremental);
		assert.is(second.metrics.pagesTransferred, 0, "the guest has rested since");
		world.guest.write(5 * 4096 - 2, Uint8Array.of(1, 2, 3, 4));
		const third = await series.liveSave();
		assert.is(third.metrics.pagesTransferred, 2);
		assert.ok(isSame((await world.contentOf(third.snapshot.id)).memory, world.lastPause.memory), "third");
		assert.is(second.snapshot.parent, first.snapshot.id);
		assert.ok(isSame((await world.contentOf(first.snapshot.id)).memory, firstPause.memory), "first");
		await series.close();
	});
});

test("an idle guest's next snapshot transfers nothing", async () => {
	const world = new SnapshotWorld(1);
	world.writesPerMs = 0;
	await world.run(async () => {
		const series = await SnapshotSeries.open(world.services);
		await series.save();
		const { metrics, snapshot } = await series.save();
		assert.is(metrics.pagesTransferred, 0);
		assert.ok(isSame((await world.contentOf(snapshot.id)).memory, world.lastPause.memory));
		await series.close();
	});
});

test("a series is busy while a snapshot of it is under way, and closed after close", async () => {
	const world = new SnapshotWorld(1);
	await world.run(async () => {
		const series = await SnapshotSeries.open(world.services);
		const first = series.liveSave();
		assert.instance(await series.liveSave().catch((error) => error), TypeError);
		assert.instance(await series.close().catch((error) => error), TypeError);
		await first;
		await series.close();
		await series.close();
		assert.instance(await series.liveSave().catch((error) => error), TypeError);
	});
});

test("when the parent is gone, the next snapshot says so and the one after it is whole", async () => {
	const world = new SnapshotWorld(1);
	await world.run(async () => {
		const series = await SnapshotSeries.open(world.services);
		const { snapshot } = await series.save();
		await world.store.delete(snapshot.id);
		const error = await series.save().catch((failure) => failure);
		assert.instance(error, SaveError);
		assert.is(error.code, "store");
		const next = await series.save();
		assert.not(next.metrics.incremental);
		assert.ok(isSame((await world.contentOf(next.snapshot.id)).memory, world.lastPause.memory));
		await series.close();
	});
});

/** One step of a drawn history. */
type Step = {
	readonly technique: "save" | "liveSave" | "improvedLiveSave";
	readonly pauseMs: number;
	readonly grow: boolean;
} & (
	| { readonly ending: "success" }
	| { readonly ending: "cancel"; readonly afterMs: number }
	| { readonly ending: "full" | "failed" | "stall"; readonly write: number }
);

const ending = fc.oneof(
	{ weight: 3, arbitrary: fc.constant({ ending: "success" as const }) },
	fc.record({ ending: fc.constant("cancel" as const), afterMs: fc.double({ min: 0, max: 80, noNaN: true }) }),
	fc.record({
		ending: fc.constantFrom("full" as const, "failed" as const, "stall" as const),
		write: fc.integer({ min: 0, max: 4 }),
	}),
);
const step: fc.Arbitrary<Step> = fc
	.tuple(
		fc.record({
			technique: fc.constantFrom("save" as const, "liveSave" as const, "improvedLiveSave" as const),
			pauseMs: fc.integer({ min: 0, max: 20 }),
			grow: fc.boolean(),
		}),
		ending,
	)
	.map(([one, other]) => ({ ...one, ...other }));

async function take(world: SnapshotWorld, series: SnapshotSeries, one: Step): Promise<string | undefined> {
	const stop = new AbortController();
	const firstWrite = world.disk.writes;
	if (one.ending === "cancel") void world.clock.sleep(one.afterMs).then(() => stop.abort());
	else if (one.ending !== "success")
		world.disk.fault = (write) => (write === firstWrite + one.write ? one.ending : undefined);
	try {
		const deadlines = { beginMs: 2000, commitMs: 2000, stallMs: 2000 };
		return (await series[one.technique]({ signal: stop.signal, deadlines })).snapshot.id;
	} catch (error) {
		assert.instance(error, SaveError, String(error));
		return undefined;
	} finally {
		world.disk.fault = () => undefined;
	}
}

test("property: each snapshot of a series restores to exactly the memory at its pause, whatever fails between", async () => {
	await fc.assert(
		fc.asyncProperty(fc.nat(), fc.array(step, { minLength: 1, maxLength: 6 }), async (seed, steps) => {
			const world = new SnapshotWorld(seed);
			await world.run(async () => {
				const series = await SnapshotSeries.open(world.services);
				const kept: { readonly id: string; readonly memory: Uint8Array }[] = [];
				for (const one of steps) {
					await world.clock.sleep(one.pauseMs);
					if (one.grow && world.guest.pageCount < PAGES + 8) world.guest.growMemory(world.guest.pageCount + 3);
					const id = await take(world, series, one);
					assert.ok(world.guest.running, "the guest runs on");
					if (id !== undefined) kept.push({ id, memory: world.lastPause.memory });
				}
				const listed = (await world.store.list()).map(({ id }) => id);
				assert.equal([...listed].sort(), kept.map(({ id }) => id).sort(), "what is visible is what succeeded");
				for (const { id, memory } of kept)
					assert.ok(isSame((await world.contentOf(id)).memory, memory), `snapshot ${id}`);
				await series.close();
			});
		}),
		{ numRuns: 25 },
	);
});

test.run();
