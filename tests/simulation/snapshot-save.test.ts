// Save, Live Save and Improved Live Save in virtual time: what is restored is the guest as it was paused.
import { suite } from "uvu";
import * as assert from "uvu/assert";
import { downtimeConvergence } from "../../bindings/policies/convergence.ts";
import { PAGE_BYTES } from "../../bindings/ports/guest.ts";
import { type ImprovedLiveSaveOptions, improvedLiveSave, liveSave } from "../../bindings/snapshot/live-save.ts";
import { type SaveResult, type SaveServices, save } from "../../bindings/snapshot/save.ts";
import { SaveError } from "../../bindings/snapshot/save-error.ts";
import type { SaveProgress } from "../../bindings/snapshot/save-metrics.ts";
import type { SaveOptions } from "../../bindings/snapshot/saving.ts";
import { isSame, PAGES, SnapshotWorld } from "./snapshot-world.ts";

const test = suite("snapshots: the save family");

const TECHNIQUES: Readonly<Record<string, (services: SaveServices, options?: SaveOptions) => Promise<SaveResult>>> = {
	save,
	liveSave,
	improvedLiveSave,
};

for (const [name, technique] of Object.entries(TECHNIQUES))
	for (const seed of [1, 2, 3])
		test(`${name}: the restored guest is the guest at its pause, and the guest runs on (seed ${seed})`, async () => {
			const world = new SnapshotWorld(seed);
			await world.run(async () => {
				await world.clock.sleep(5);
				const progress: SaveProgress[] = [];
				const { snapshot, metrics } = await technique(world.services, { onProgress: (step) => progress.push(step) });
				assert.ok(world.guest.running);
				assert.is(world.pauses.length, 1);
				const content = await world.contentOf(snapshot.id);
				assert.ok(isSame(content.memory, world.lastPause.memory), "memory");
				assert.equal(content.state, world.lastPause.state);
				assert.equal(snapshot.facts.technique, metrics.technique);
				const fractions = progress.map(({ fraction }) => fraction);
				assert.equal(
					fractions,
					[...fractions].sort((a, b) => a - b),
				);
				assert.is(fractions.at(-1), 1);
				assert.is(progress.at(-1)!.phase, "done");
			});
		});

test("save's downtime is the whole write; live save's is only what is left", async () => {
	const world = new SnapshotWorld(1);
	await world.run(async () => {
		const paused = await save(world.services);
		const live = await liveSave(world.services, { convergence: downtimeConvergence(2) });
		assert.ok(paused.metrics.downtimeMs > 20, `save: ${paused.metrics.downtimeMs}`);
		assert.ok(live.metrics.downtimeMs < 1, `live save: ${live.metrics.downtimeMs}`);
		assert.is(paused.metrics.pagesTransferred, PAGES);
		assert.ok(live.metrics.rounds.length > 1);
		assert.ok(live.metrics.commitMs > 0 && live.metrics.downtimeMs < live.metrics.totalMs);
	});
});

/**
 * Live rounds of Improved Live Save of a guest that writes so many pages in each round, after all of the round's have been
 * encoded: none is skipped.
 */
async function improvedRounds(options: ImprovedLiveSaveOptions, dirtyIn: (round: number) => number): Promise<number> {
	const world = new SnapshotWorld(1, 1000);
	world.writesPerMs = 0;
	return world.run(async () => {
		const { guest } = world;
		const { encode } = guest.pages;
		let round = 0;
		guest.pages.encode = async (batch, ...rest) => {
			const encoded = await encode(batch, ...rest);
			if (batch[0] === 0) round++; // the first batch of a round: page 0 is dirty in each
			const pages = dirtyIn(round);
			for (let page = 0; page < pages && guest.running; page++)
				guest.write(page * PAGE_BYTES, Uint8Array.of(round, page));
			return encoded;
		};
		const { snapshot, metrics } = await improvedLiveSave(world.services, { bandwidthBytesPerMs: 40_000, ...options });
		assert.is(metrics.technique, "improved-live-save");
		assert.is(metrics.stopReason, "iterations");
		assert.ok(isSame((await world.contentOf(snapshot.id)).memory, world.lastPause.memory));
		return metrics.rounds.filter(({ dirtiedPages }) => dirtiedPages > 0).length;
	});
}

test("improved live save takes the reading it is given: each round dirties just what the sink took", async () => {
	assert.is(await improvedRounds({ reading: "sink-limit" }, () => 60), 29);
	assert.is(await improvedRounds({ reading: "not-fewer" }, () => 60), 15);
});

test("improved live save of a guest that outruns its store ends after half of the rounds, by either reading", async () => {
	const growing = (round: number): number => 60 + 5 * round;
	for (const options of [{}, { reading: "sink-limit" }, { reading: "not-fewer" }] as const)
		assert.is(await improvedRounds(options, growing), 15, JSON.stringify(options));
});

test("a guest that is to stay paused is paused when its snapshot is durable", async () => {
	const world = new SnapshotWorld(1);
	await world.run(async () => {
		await save(world.services, { stayPaused: true });
		assert.not(world.guest.running);
		await world.guest.resume();
		await save(world.services);
		assert.ok(world.guest.running);
	});
});

test("full verification finds a page that the tracker missed, and no snapshot is made", async () => {
	const world = new SnapshotWorld(1);
	await world.run(async () => {
		const { note } = world.guest.dirty;
		world.guest.dirty.note = (firstPage, pageCount) => {
			if (firstPage !== 7) note.call(world.guest.dirty, firstPage, pageCount);
		};
		const error = await liveSave(world.services, {
			verification: "full",
			onProgress: ({ phase }) => {
				if (phase === "pause") world.guest.write(7 * 4096, Uint8Array.of(1, 2, 3));
			},
		}).catch((failure) => failure);
		assert.is(error.code, "corrupt");
		assert.is(error.pageIndex, 7);
		assert.ok(world.guest.running);
		assert.equal(await world.store.list(), []);
	});
});

test("a second save of the same guest at the same time is a mistake of the caller", async () => {
	const world = new SnapshotWorld(1);
	await world.run(async () => {
		const first = save(world.services);
		const second = await save(world.services).catch((error) => error);
		assert.instance(second, TypeError);
		await first;
	});
});

test("a save that is cancelled at any of its writes writes nothing any more once it has settled", async () => {
	let cancelled = 0;
	for (let write = 0; write < 6; write++) {
		const world = new SnapshotWorld(5 + write);
		await world.run(async () => {
			const stop = new AbortController();
			world.disk.onWrite = () => {
				if (world.disk.writes === write) stop.abort();
			};
			const end = await liveSave(world.services, { signal: stop.signal }).catch((reason: unknown) => reason);
			const { writes } = world.disk;
			await world.clock.sleep(1000);
			assert.is(world.disk.writes, writes, `cancelled at write ${write}`);
			if (!(end instanceof SaveError)) return; // it was too late: a commit cannot be called off in its last step
			assert.is(end.code, "cancelled");
			assert.equal(await world.disk.listReferences(""), [], `cancelled at write ${write}`);
			cancelled++;
		});
	}
	assert.ok(cancelled > 0);
});

test("a guest that grows while it is saved is saved in its new size", async () => {
	const world = new SnapshotWorld(4);
	await world.run(async () => {
		let grown = false;
		const { snapshot } = await liveSave(world.services, {
			onProgress: ({ phase, sentPages }) => {
				if (grown || phase !== "live" || sentPages < 10) return;
				grown = true;
				world.guest.growMemory(PAGES + 9);
				world.guest.write((PAGES + 5) * 4096, Uint8Array.of(9));
			},
		});
		assert.is(snapshot.pageCount, PAGES + 9);
		assert.ok(isSame((await world.contentOf(snapshot.id)).memory, world.lastPause.memory));
	});
});

test.run();
