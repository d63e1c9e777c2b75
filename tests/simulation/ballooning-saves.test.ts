/** Pages in the balloon are left out of snapshots, and are zero in what is restored; deltas included. */
import { suite } from "uvu";
import * as assert from "uvu/assert";
import { PAGE_BYTES } from "../../bindings/ports/guest.ts";
import { liveSave } from "../../bindings/snapshot/live-save.ts";
import { save } from "../../bindings/snapshot/save.ts";
import type { SaveOptions } from "../../bindings/snapshot/saving.ts";
import { SnapshotSeries } from "../../bindings/snapshot/series.ts";
import { isSame, PAGES, SnapshotWorld } from "./snapshot-world.ts";

const test = suite("snapshots of a guest with a balloon");
const OUT = 20;

for (const [name, technique] of Object.entries({ save, liveSave }))
	test(`${name} leaves out what is in the balloon; restored it is zero`, async () => {
		const world = new SnapshotWorld(1);
		const { guest } = world;
		guest.balloon.free(4, OUT);
		await guest.balloon.inflate(OUT);
		const { snapshot, metrics } = await world.clock.run(() => technique(world.services));
		assert.ok(metrics.pagesTransferred <= PAGES - OUT, `${metrics.pagesTransferred} pages`);
		await world.clock.run(async () => {
			const content = await world.contentOf(snapshot.id);
			assert.ok(isSame(content.memory, world.lastPause.memory));
			assert.ok(content.memory.subarray(4 * PAGE_BYTES, (4 + OUT) * PAGE_BYTES).every((byte) => byte === 0));
		});
	});

test("a page that was saved before it went into the balloon is zero in the next snapshot", async () => {
	const world = new SnapshotWorld(2);
	await world.clock.run(async () => {
		const first = await save(world.services);
		world.guest.balloon.free(4, OUT);
		await world.guest.balloon.inflate(OUT);
		const second = await save(world.services);
		const before = (await world.contentOf(first.snapshot.id)).memory;
		const after = (await world.contentOf(second.snapshot.id)).memory;
		assert.ok(before.subarray(4 * PAGE_BYTES, 5 * PAGE_BYTES).some((byte) => byte !== 0));
		assert.ok(isSame(after, world.lastPause.memory));
	});
});

test("a page that a failed snapshot has sent as zero, and that is still in the balloon, is zero in the next one", async () => {
	const world = new SnapshotWorld(3);
	await world.clock.run(async () => {
		const series = await SnapshotSeries.open(world.services);
		await series.save();
		world.guest.balloon.free(4, OUT);
		await world.guest.balloon.inflate(OUT);
		const stop = new AbortController();
		const options: SaveOptions = {
			signal: stop.signal,
			onProgress: ({ phase }) => {
				if (phase === "state") stop.abort();
			},
		};
		const failed = await series.save(options).catch((error) => error);
		assert.is(failed.code, "cancelled");
		const { snapshot, metrics } = await series.save();
		assert.ok(metrics.incremental);
		assert.ok(isSame((await world.contentOf(snapshot.id)).memory, world.lastPause.memory));
		await series.close();
	});
});

test.run();
