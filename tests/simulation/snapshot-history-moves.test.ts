// A history beside moves whose pages follow the guest: it ends with the guest, what it has kept is whole, and at the target
// another one begins.
import { suite } from "uvu";
import * as assert from "uvu/assert";
import { type MemoryGuest, MemoryGuestFactory } from "../../bindings/guests/memory/memory-guest.ts";
import { MemoryStore } from "../../bindings/lab/memory-store.ts";
import { PAGE_BYTES } from "../../bindings/ports/guest.ts";
import { type History, startHistory } from "../../bindings/snapshot/history.ts";
import { restore } from "../../bindings/snapshot/restore.ts";
import { SnapshotStore } from "../../bindings/snapshot/store.ts";
import { type PagingTechnique, PagingWorld } from "./paging-world.ts";
import { isSame } from "./snapshot-world.ts";
import { PAGES } from "./two-hosts.ts";

const test = suite("snapshots: a history beside a move that pages");

/** Snapshots that the histories keep. */
const KEPT = 4;

/** Keeps the memory of a guest at each of its pauses. */
function pausesOf(guest: MemoryGuest): Uint8Array[] {
	const pauses: Uint8Array[] = [];
	const { pause } = guest;
	guest.pause = async () => {
		await pause.call(guest);
		pauses.push(guest.read(0, guest.pageCount * PAGE_BYTES));
	};
	return pauses;
}

/** Every snapshot that is kept, and no other, is in the store, and is the guest at one of its pauses. */
async function assertWhole(world: PagingWorld, store: SnapshotStore, history: History, pauses: readonly Uint8Array[]) {
	const ids = history.entries.map(({ snapshot }) => snapshot.id);
	assert.ok(ids.length > 0 && ids.length <= KEPT, `${ids.length} snapshots`);
	assert.equal(
		(await store.list()).map(({ id }) => id),
		ids,
	);
	const factories = [new MemoryGuestFactory(world.clock, 2 * PAGES)];
	for (const id of ids) {
		const services = { snapshot: await store.open(id), factories, clock: world.clock, random: world.random };
		const { guest } = await restore(services, { clock: "jump", random: "reseed", stayPaused: true });
		const memory = (guest as MemoryGuest).read(0, PAGES * PAGE_BYTES);
		assert.ok(
			pauses.some((pause) => isSame(pause, memory)),
			`${id} is not the guest at one of its pauses`,
		);
		await guest.discard();
	}
}

for (const technique of ["post-copy", "hybrid", "pre-copy"] as const satisfies readonly PagingTechnique[])
	for (const seed of [1, 2, 3])
		test(`${technique}: the guest moves whole, its history ends and another begins at the target (seed ${seed})`, async () => {
			const world = new PagingWorld({ seed });
			const { clock, random } = world;
			const open = () => new SnapshotStore(new MemoryStore(), { clock, random });
			await world.run(async () => {
				const here = open();
				const pauses = pausesOf(world.guest);
				const options = { everyMs: 4, keep: { count: KEPT } };
				const history = await startHistory({ guest: world.guest, store: here, clock }, options);
				await clock.sleep(18);
				const { outcome } = await world.move(technique);
				assert.is(outcome, "moved");
				const end = await history.ended;
				assert.is(end.reason, "gone");
				assert.is(end.reason === "gone" && end.error.code, "gone");
				await assertWhole(world, here, history, pauses);

				const there = open();
				const pausesThere = pausesOf(world.target);
				const next = await startHistory({ guest: world.target, store: there, clock }, options);
				await clock.sleep(14);
				await next.stop();
				await assertWhole(world, there, next, pausesThere);
				assert.ok(world.target.running);
				world.compare(world.target);
			});
			assert.equal(world.violations, []);
		});

test.run();
