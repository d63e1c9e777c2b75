// Writers, readers, deletions and prunes of several processes on one store, in every order that a seed can make.
import { suite } from "uvu";
import * as assert from "uvu/assert";
import type { MemoryGuest } from "../../bindings/guests/memory/memory-guest.ts";
import { MemoryStore } from "../../bindings/lab/memory-store.ts";
import { SeededRandom } from "../../bindings/lab/seeded-random.ts";
import { systemClock } from "../../bindings/platform/system-clock.ts";
import { PAGE_BYTES } from "../../bindings/ports/guest.ts";
import type { Store } from "../../bindings/ports/store.ts";
import { SnapshotError, SnapshotStore } from "../../bindings/snapshot/store.ts";
import { environment } from "./environment.ts";
import {
	assertIs,
	guestOf,
	type Remembered,
	remember,
	restoreAll,
	restoreByPages,
	save,
} from "./snapshot-store-world.ts";

const test = suite("snapshot store: writers, readers and prunes in any order");
const SEEDS = Number(environment("PAGEFERRY_SNAPSHOT_SEEDS") ?? 60);
const PAGES = 24;

/** A store whose every operation takes as long as the seed wants: others get their turn before it and after it. */
function unhurried(store: Store, random: SeededRandom): Store {
	const slow = async <Value>(work: () => Promise<Value>): Promise<Value> => {
		for (let turns = random.nextU32() % 40; turns > 0; turns--) await undefined;
		const value = await work();
		for (let turns = random.nextU32() % 40; turns > 0; turns--) await undefined;
		return value;
	};
	return {
		put: (name, bytes) => slow(() => store.put(name, bytes)),
		get: (name, range) => slow(() => store.get(name, range)),
		list: (prefix) => slow(() => store.list(prefix)),
		delete: (name) => slow(() => store.delete(name)),
		readReference: (name) => slow(() => store.readReference(name)),
		compareAndSetReference: (name, expected, next) => slow(() => store.compareAndSetReference(name, expected, next)),
		listReferences: (prefix) => slow(() => store.listReferences(prefix)),
	};
}

interface Kept {
	readonly id: string;
	readonly guest: MemoryGuest;
	readonly expected: Remembered;
}

/** What all processes of a run share. */
class Run {
	readonly store = new MemoryStore();
	readonly random: SeededRandom;
	/** Acknowledged snapshots that nobody has begun to delete. */
	readonly kept = new Map<string, Kept>();
	/** Reads under way, by id: their snapshot may be deleted meanwhile. */
	readonly deleted = new Set<string>();

	constructor(seed: number) {
		this.random = new SeededRandom(seed);
	}

	open(): SnapshotStore {
		return new SnapshotStore(unhurried(this.store, this.random), { clock: systemClock, random: this.random });
	}

	any(): Kept | undefined {
		const all = [...this.kept.values()];
		return all[this.random.nextU32() % Math.max(1, all.length)];
	}
}

async function saveOne(run: Run, place: SnapshotStore): Promise<void> {
	const { random } = run;
	const parent = random.nextU32() % 3 === 0 ? undefined : run.any();
	const guest = parent === undefined ? guestOf(random, PAGES) : await copyOf(parent, random);
	const changed = parent === undefined ? undefined : change(guest, random);
	const expected = remember(guest);
	try {
		const { id } = await save(place, guest, {
			batchPages: 1 + (random.nextU32() % PAGES),
			...(parent === undefined ? {} : { parent: parent.id }),
			...(changed === undefined ? {} : { pages: changed }),
		});
		run.kept.set(id, { id, guest, expected });
	} catch (error) {
		const mayBe = parent !== undefined && run.deleted.has(parent.id);
		if (!mayBe || !(error instanceof SnapshotError) || error.code !== "missing") throw error;
	}
}

async function copyOf(parent: Kept, random: SeededRandom): Promise<MemoryGuest> {
	const guest = guestOf(random, PAGES);
	guest.write(0, parent.expected.memory);
	return guest;
}

/** Changes a few pages. @returns which: what a dirty log would say. */
function change(guest: MemoryGuest, random: SeededRandom): number[] {
	const pages = new Set<number>();
	for (let i = random.nextU32() % 8; i > 0; i--) pages.add(random.nextU32() % PAGES);
	for (const page of pages) guest.write(page * PAGE_BYTES, random.fill(new Uint8Array(100)));
	return [...pages].sort((a, b) => a - b);
}

async function readOne(run: Run, place: SnapshotStore): Promise<void> {
	const kept = run.any();
	if (kept === undefined) return;
	try {
		const byPages = run.random.nextU32() % 2 === 0;
		const guest = byPages ? await restoreByPages(place, kept.id) : await restoreAll(place, kept.id);
		assertIs(guest, kept.expected, kept.id);
	} catch (error) {
		if (!run.deleted.has(kept.id) || !(error instanceof SnapshotError) || error.code !== "missing") throw error;
	}
}

async function deleteOne(run: Run, place: SnapshotStore): Promise<void> {
	const kept = run.any();
	if (kept === undefined || run.kept.size < 2) return;
	run.kept.delete(kept.id);
	run.deleted.add(kept.id);
	await place.delete(kept.id);
}

async function prune(run: Run, place: SnapshotStore): Promise<void> {
	try {
		await place.prune({ repackBelow: (run.random.nextU32() % 5) / 4 });
	} catch (error) {
		if (!(error instanceof SnapshotError) || error.code !== "busy") throw error;
	}
}

const DEEDS = [saveOne, saveOne, saveOne, readOne, deleteOne, prune, prune];

async function act(run: Run): Promise<void> {
	let place = run.open();
	for (let deeds = 0; deeds < 8; deeds++) {
		if (run.random.nextU32() % 5 === 0) place = run.open();
		await DEEDS[run.random.nextU32() % DEEDS.length]!(run, place);
	}
}

async function check(run: Run): Promise<void> {
	const place = run.open();
	const listed = (await place.list()).map(({ id }) => id).sort();
	assert.equal(listed, [...run.kept.keys()].sort());
	for (const { id, expected } of run.kept.values()) {
		await place.verify(id);
		assertIs(await restoreAll(place, id), expected, id);
	}
}

for (let part = 0; part < 4; part++)
	test(`what was acknowledged stays, whatever happens beside it (seeds ${part} mod 4 of ${SEEDS})`, async () => {
		for (let seed = part; seed < SEEDS; seed += 4) {
			const run = new Run(seed);
			try {
				await Promise.all(Array.from({ length: 2 + (seed % 3) }, () => act(run)));
				await check(run);
				// Nobody is at work any more: nothing waits, and nothing is left that nobody needs.
				assert.is((await run.open().prune()).waitingObjects, 0);
				await run.open().prune();
				await check(run);
				const needed = await neededObjects(run);
				assert.equal(
					(await run.store.list("")).filter((name) => !needed.has(name)),
					[],
					`left over`,
				);
				assert.is((await run.store.listReferences("snapshots/heads/")).length, run.kept.size);
			} catch (error) {
				console.log(`seed ${seed}`);
				throw error;
			}
		}
	});

/** Objects that are read when every snapshot is verified. */
async function neededObjects(run: Run): Promise<Set<string>> {
	const read = new Set<string>();
	const watched: Store = {
		...unhurried(run.store, run.random),
		get: (name, range) => {
			read.add(name);
			return run.store.get(name, range);
		},
	};
	const place = new SnapshotStore(watched, { clock: systemClock, random: run.random });
	for (const id of run.kept.keys()) await place.verify(id);
	return read;
}

test.run();
