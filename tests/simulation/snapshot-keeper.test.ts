// Snapshots that are sent to a keeper: acknowledged only when durable, whatever happens to the link or the keeper's disk.
import fc from "fast-check";
import { suite } from "uvu";
import * as assert from "uvu/assert";
import { drawFault } from "../../bindings/lab/stream-faults.ts";
import { PAGE_BYTES } from "../../bindings/ports/guest.ts";
import { save } from "../../bindings/snapshot/save.ts";
import { SAVE_PHASES, type SavePhase } from "../../bindings/snapshot/save-error.ts";
import { sendSnapshot } from "../../bindings/snapshot/save-to.ts";
import { SnapshotSeries } from "../../bindings/snapshot/series.ts";
import { checkEnd, KeeperWorld, settled } from "./keeper-world.ts";
import { isSame } from "./snapshot-world.ts";

const test = suite("snapshots: a keeper");

for (const technique of ["save", "live-save", "improved-live-save"] as const)
	test(`${technique} to a keeper: it has the guest as it was paused, and the guest runs on here`, async () => {
		const world = new KeeperWorld(1);
		await world.run(async () => {
			await world.clock.sleep(5);
			const { snapshot, metrics } = await world.saveTo({ technique, label: "nightly", facts: { why: "a test" } });
			assert.ok(world.guest.running);
			const content = await world.keptContentOf(snapshot.id);
			assert.ok(isSame(content.memory, world.lastPause.memory));
			assert.equal(content.state, world.lastPause.state);
			const { snapshots, error } = await world.keeping;
			assert.is(error, undefined);
			const [kept] = snapshots;
			assert.is(kept!.id, snapshot.id);
			assert.is(kept!.label, "nightly");
			assert.is(kept!.facts.why, "a test");
			assert.is(kept!.facts.technique, metrics.technique);
			assert.equal(await world.store.list(), [], "nothing is kept here");
		});
	});

test("a finished snapshot is sent only when asked, as it lies in the store", async () => {
	const world = new KeeperWorld(2);
	await world.run(async () => {
		const { snapshot } = await save(world.services, { label: "kept" });
		const reader = await world.store.open(snapshot.id);
		const fractions: number[] = [];
		const there = await sendSnapshot(
			{ snapshot: reader, link: world.connect(), clock: world.clock },
			{ onProgress: ({ fraction }) => fractions.push(fraction) },
		);
		assert.equal(
			fractions,
			[...fractions].sort((a, b) => a - b),
		);
		assert.is(fractions.at(-1), 1);
		const [kept] = (await world.keeping).snapshots;
		assert.is(kept!.id, there.id);
		assert.is(kept!.digest, snapshot.digest);
		assert.is(kept!.label, "kept");
		assert.ok(isSame((await world.keptContentOf(there.id)).memory, world.lastPause.memory));
	});
});

test("an increment is sent whole: the keeper needs none of what it was made after", async () => {
	const world = new KeeperWorld(3);
	await world.run(async () => {
		const series = await SnapshotSeries.open(world.services);
		const { snapshot: first } = await series.liveSave();
		await world.clock.sleep(5);
		const { snapshot, metrics } = await series.liveSave();
		const { memory } = world.lastPause;
		await series.close();
		assert.ok(metrics.incremental);
		const services = { snapshot: await world.store.open(snapshot.id), link: world.connect(), clock: world.clock };
		const there = await sendSnapshot(services);
		assert.is(there.digest, snapshot.digest);
		assert.equal((await world.keeping).error, undefined);
		assert.equal(
			(await world.keeperStore.list()).map(({ id, parent }) => [id, parent]),
			[[there.id, undefined]],
		);
		assert.ok(isSame((await world.keptContentOf(there.id)).memory, memory));
		assert.equal(
			(await world.store.list()).map(({ id }) => id),
			[first.id, snapshot.id],
			"both stay here",
		);
	});
});

const EVENTS: Readonly<Record<string, (world: KeeperWorld, stop: AbortController) => void>> = {
	"the caller cancels": (_, stop) => stop.abort(),
	"the link is cut": ({ connection }) => connection.inject({ kind: "cut", when: { atMs: 0 } }),
	"the keeper's disk is full": ({ keeperDisk }) => {
		keeperDisk.fault = () => "full";
	},
	"the keeper's disk stalls": ({ keeperDisk }) => {
		keeperDisk.fault = () => "stall";
	},
};
for (const technique of ["save", "live-save"] as const)
	for (const phase of SAVE_PHASES.filter((name): name is SavePhase => name !== "live" || technique !== "save"))
		for (const [what, begin] of Object.entries(EVENTS))
			test(`${technique} to a keeper, ${phase}: ${what}`, async () => {
				const world = new KeeperWorld(3);
				await world.run(async () => {
					const stop = new AbortController();
					const link = world.connect();
					let hasHappened = false;
					const saving = world.saveTo(
						{
							technique,
							signal: stop.signal,
							onProgress: (progress) => {
								if (progress.phase !== phase || hasHappened) return;
								hasHappened = true;
								begin(world, stop);
							},
						},
						link,
					);
					const outcome = await settled(saving);
					world.keeperDisk.fault = () => undefined;
					if (what.endsWith("stalls")) return assert.ok(world.guest.running && "error" in outcome);
					await checkEnd(world, outcome);
				});
			});

test("a keeper that refuses says why; one that stops is told to the source", async () => {
	const world = new KeeperWorld(1);
	await world.run(async () => {
		const refused = await settled(world.saveTo({}, world.connect([], { refuse: () => "no guests on Sundays" })));
		assert.ok("error" in refused);
		assert.is(refused.error.code, "refused");
		assert.match(refused.error.message, /Sundays/);
		const stop = new AbortController();
		const link = world.connect([], { signal: stop.signal });
		const stopped = settled(world.saveTo({ onProgress: ({ phase }) => phase === "live" && stop.abort() }, link));
		const outcome = await stopped;
		assert.ok("error" in outcome && ["peer", "link-lost"].includes(outcome.error.code), JSON.stringify(outcome));
		await checkEnd(world, outcome);
	});
});

test("property: whatever is cut, lost, flipped or held back on the way, what the source believes is so", async () => {
	await fc.assert(
		fc.asyncProperty(fc.nat(), fc.constantFrom("save" as const, "live-save" as const), async (seed, technique) => {
			const world = new KeeperWorld(seed);
			const faults = [drawFault(world.random, { durationMs: 80, byteLength: 200_000 })];
			await world.run(async () => {
				const outcome = await settled(world.saveTo({ technique }, world.connect(faults)));
				await checkEnd(world, outcome);
			});
		}),
		{ numRuns: 40 },
	);
});

test("pages of a damaged batch are refused by the keeper, and nothing is kept", async () => {
	const world = new KeeperWorld(1);
	await world.run(async () => {
		const { pages } = world.guest;
		const { encode } = pages;
		pages.encode = async (pageIndices, options) => {
			const batch = await encode(pageIndices, options);
			batch.bytes[batch.bytes.byteLength - PAGE_BYTES]! ^= 1;
			return batch;
		};
		const outcome = await settled(world.saveTo());
		assert.ok("error" in outcome);
		assert.is(outcome.error.code, "corrupt");
		await checkEnd(world, outcome);
	});
});

test.run();
