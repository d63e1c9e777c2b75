// Prunes and writers that sleep, at any of their steps, for longer than others believe that they live.
import { suite } from "uvu";
import * as assert from "uvu/assert";
import type { MemoryGuest } from "../../bindings/guests/memory/memory-guest.ts";
import { MemoryStore } from "../../bindings/lab/memory-store.ts";
import { SeededRandom } from "../../bindings/lab/seeded-random.ts";
import { PAGE_BYTES } from "../../bindings/ports/guest.ts";
import { SnapshotError, SnapshotStore } from "../../bindings/snapshot/store.ts";
import { environment } from "./environment.ts";
import { Sleeper } from "./snapshot-sleepers.ts";
import { assertIs, guestOf, type Remembered, remember, restoreAll, save } from "./snapshot-store-world.ts";

const test = suite("snapshot store: prunes that sleep");
const SEEDS = Number(environment("PAGEFERRY_SNAPSHOT_SEEDS") ?? 20);
const PAGES = 8;
/** A prune that packs anew has more operations, and more moves of references, than this. */
const LEAST_OPERATIONS = 70;
const LEAST_MOVES = 6;
/** Longer than a writer's head may stand still. */
const LONG_MS = 61_000;

interface Kept {
	readonly id: string;
	readonly digest: string;
	readonly guest: MemoryGuest;
	readonly expected: Remembered;
}

interface Place {
	readonly process: Sleeper;
	readonly snapshots: SnapshotStore;
}

/** One store, what must be in it, and who works on it. */
class World {
	readonly store = new MemoryStore();
	readonly random: SeededRandom;
	readonly kept = new Map<string, Kept>();
	readonly deleted = new Set<string>();
	readonly places: Place[] = [];
	readonly #checker: Place;

	constructor(seed: number) {
		this.random = new SeededRandom(seed);
		this.#checker = this.open();
	}

	/** Another world in which the same has happened. */
	async copy(seed: number): Promise<World> {
		const copy = new World(seed);
		for (const name of await this.store.list("")) await copy.store.put(name, await this.store.get(name));
		for (const name of await this.store.listReferences(""))
			await copy.store.compareAndSetReference(name, undefined, await this.store.readReference(name));
		for (const [id, kept] of this.kept) copy.kept.set(id, kept);
		return copy;
	}

	open(): Place {
		const process = new Sleeper(this.store);
		const place = {
			process,
			snapshots: new SnapshotStore(process.store, { clock: process.clock, random: this.random }),
		};
		this.places.push(place);
		return place;
	}

	/** Time passes for everybody who is awake. */
	pass(ms: number): void {
		for (const { process } of this.places) if (!process.isAsleep) process.nowMs += ms;
	}

	any(): Kept | undefined {
		const all = [...this.kept.values()];
		return all[this.random.nextU32() % Math.max(1, all.length)];
	}

	/** A snapshot of something new, or of a known one with changes. */
	async save({ snapshots }: Place, parent?: Kept): Promise<Kept> {
		const { random } = this;
		const guest = guestOf(random, PAGES);
		if (parent !== undefined) guest.write(0, parent.expected.memory);
		// Page 0 is another one each time: the pack of a parent that goes is thin.
		const changed = [0, 1 + (random.nextU32() % (PAGES - 1))];
		for (const page of parent === undefined ? [0] : changed)
			guest.write(page * PAGE_BYTES, random.fill(new Uint8Array(PAGE_BYTES)));
		const expected = remember(guest);
		const options = parent === undefined ? {} : { parent: parent.id, pages: changed };
		const { id, digest } = await save(snapshots, guest, options);
		const kept = { id, digest, guest, expected };
		this.kept.set(id, kept);
		return kept;
	}

	/** The same contents as a known snapshot, not as its child: everything is shared. */
	async saveAgain({ snapshots }: Place, other: Kept): Promise<void> {
		const { id } = await save(snapshots, other.guest);
		this.kept.set(id, { ...other, id });
	}

	async delete({ snapshots }: Place, { id }: Kept): Promise<void> {
		this.kept.delete(id);
		this.deleted.add(id);
		await snapshots.delete(id);
	}

	/** Whatever was acknowledged is there, and whatever is there is whole. */
	async check(what: string): Promise<void> {
		const { snapshots } = this.#checker;
		const listed = new Map((await snapshots.list()).map(({ id, digest }) => [id, digest]));
		for (const id of this.kept.keys()) assert.ok(listed.has(id), `${what}: ${id} is lost`);
		const isAsleep = this.places.some(({ process }) => process.isAsleep);
		if (!isAsleep) assert.is(listed.size, this.kept.size, what);
		for (const [id, digest] of listed) {
			await snapshots.verify(id);
			const kept = this.kept.get(id);
			if (kept !== undefined) assert.is(digest, kept.digest, `${what}: ${id}`);
		}
	}

	/** Restores what was acknowledged, and compares it byte by byte. */
	async restore(): Promise<void> {
		for (const { id, expected } of this.kept.values())
			assertIs(await restoreAll(this.#checker.snapshots, id), expected, id);
	}

	/** Nobody is at work any more: nothing is left that nobody needs. */
	async checkRoom(): Promise<void> {
		const { snapshots } = this.#checker;
		await snapshots.prune({ deadWriters: "all", repackBelow: 0 });
		await snapshots.prune({ repackBelow: 0 });
		for (const kept of [...this.kept.values()]) await this.delete(this.#checker, kept);
		await snapshots.prune();
		assert.equal([...(await this.store.list("")), ...(await this.store.listReferences("snapshots/heads/"))], []);
	}
}

/** What a prune or a writer may fail with that others took for dead. */
function isGivenUp(error: unknown): boolean {
	return error instanceof SnapshotError && ["expired", "busy"].includes(error.code);
}

const settled = (ended: Promise<void>): Promise<void> =>
	ended.catch((error) => {
		if (!isGivenUp(error)) throw error;
	});

/** What the others do while one prune sleeps. */
type Meanwhile = (world: World, other: Place) => Promise<void>;

/** The sleeper is taken for dead, and what it has left is removed. */
async function giveUp(world: World, { snapshots }: Place): Promise<void> {
	await snapshots.prune({ repackBelow: 0 });
	world.pass(LONG_MS);
	await snapshots.prune({ repackBelow: 0 });
	await snapshots.prune({ repackBelow: 0 });
}

const MEANWHILE: Readonly<Record<string, Meanwhile>> = {
	"is given up": giveUp,
	"is given up by two at once": async (world, other) => {
		const another = world.open();
		await Promise.all([giveUp(world, other), giveUp(world, another)]);
	},
	"is given up by its id": async (_world, { snapshots }) => {
		await snapshots.prune({ deadWriters: "all", repackBelow: 0 });
	},
	"is given up, and others save what it had packed": async (world, other) => {
		await giveUp(world, other);
		const [first] = world.kept.values();
		await world.save(other, first);
		await world.saveAgain(other, first!);
		await other.snapshots.prune();
	},
	"is given up by a prune that packs anew, and a parent goes": async (world, other) => {
		const [first] = world.kept.values();
		const child = await world.save(other, first);
		await giveUp(world, other);
		await other.snapshots.prune({ repackBelow: 1 });
		await world.delete(other, first!);
		await world.save(other, child);
		await giveUp(world, other);
	},
	"is not missed": async (world, other) => {
		const [first] = world.kept.values();
		await world.save(other, first);
		await world.delete(other, first!);
		await other.snapshots.prune();
	},
};

/** Snapshots in thin packs: parents are gone, and some of what they had is in children. */
async function setUp(seed: number): Promise<World> {
	const world = new World(seed);
	const place = world.open();
	for (let i = 0; i < 2; i++) {
		const parent = await world.save(place);
		const child = await world.save(place, parent);
		if (i === 0) await world.save(place, child);
		await world.delete(place, parent);
	}
	return world;
}

const SET_UP: readonly World[] = [await setUp(1), await setUp(2)];

for (const [what, meanwhile] of Object.entries(MEANWHILE))
	for (const side of ["before", "after"] as const)
		test(`nothing acknowledged is lost when a prune sleeps ${side} any of its operations and ${what}`, async () => {
			for (let operation = 1; ; operation++) {
				const world = await SET_UP[operation % SET_UP.length]!.copy(operation);
				const sleeper = world.open();
				const prune = async () => void (await sleeper.snapshots.prune({ repackBelow: 1 }));
				const { isOver, ended } = await sleeper.process.run(prune, { operation, side });
				try {
					if (isOver) {
						assert.ok(operation > LEAST_OPERATIONS, `a prune of ${operation - 1} operations packs nothing anew`);
						return;
					}
					await meanwhile(world, world.open());
					sleeper.process.wake();
					await settled(ended);
					await world.check("when it has woken");
					await world.checkRoom();
				} catch (error) {
					console.log(`asleep ${side} operation ${operation}`);
					throw error;
				}
			}
		});

for (const side of ["before", "after"] as const)
	test(`nothing acknowledged is lost when a prune sleeps ${side} any of its moves and whoever gives it up dies at any of his`, async () => {
		for (let mine = 1; ; mine++)
			for (let his = 1; ; his++) {
				const world = await SET_UP[0]!.copy(his);
				const sleeper = world.open();
				const prune = async () => void (await sleeper.snapshots.prune({ repackBelow: 1 }));
				const { isOver, ended } = await sleeper.process.run(prune, { operation: mine, side, ofMoves: true });
				if (isOver) {
					assert.ok(mine > LEAST_MOVES, `a prune of ${mine - 1} moves packs nothing anew`);
					return;
				}
				const other = world.open();
				const giveUpNow = async () => void (await other.snapshots.prune({ deadWriters: "all", repackBelow: 0 }));
				const killed = await other.process.run(giveUpNow, { operation: his, side, ofMoves: true });
				if (killed.isOver) break;
				await giveUp(world, world.open());
				sleeper.process.wake();
				await settled(ended);
				await world.check(`asleep ${side} move ${mine}, killed ${side} move ${his}`);
			}
	});

/** Anything that somebody may do on a store. */
async function anyDeed(world: World, place: Place): Promise<void> {
	const { random } = world;
	const kept = world.any();
	const kind = random.nextU32() % 8;
	try {
		if (kind < 2 || kept === undefined) await world.save(place);
		else if (kind === 2) await world.save(place, kept);
		else if (kind === 3) await world.saveAgain(place, kept);
		else if (kind === 4 && world.kept.size > 1) await world.delete(place, kept);
		else await place.snapshots.prune({ repackBelow: (random.nextU32() % 5) / 4 });
	} catch (error) {
		const isGone = kept !== undefined && world.deleted.has(kept.id);
		if (!isGivenUp(error) && !(isGone && error instanceof SnapshotError && error.code === "missing")) throw error;
	}
}

for (let part = 0; part < 5; part++)
	test(`any number of sleepers lose nothing acknowledged (seeds ${part} mod 5 of ${SEEDS})`, async () => {
		for (let seed = part; seed < SEEDS; seed += 5) {
			const world = new World(seed);
			const { random } = world;
			const asleep: { readonly place: Place; readonly ended: Promise<void> }[] = [];
			try {
				for (let episode = 0; episode < 30; episode++) {
					if (asleep.length > 0 && random.nextU32() % 3 === 0) {
						const [one] = asleep.splice(random.nextU32() % asleep.length, 1);
						one!.place.process.wake();
						await one!.ended;
					}
					const awake = world.places.slice(1).filter(({ process }) => !process.isAsleep);
					const place = awake.length < 3 ? world.open() : awake[random.nextU32() % awake.length]!;
					const side = random.nextU32() % 2 === 0 ? "before" : "after";
					const nap = { operation: 1 + (random.nextU32() % 60), side } as const;
					const { isOver, ended } = await place.process.run(
						() => anyDeed(world, place),
						random.nextU32() % 2 === 0 ? nap : undefined,
					);
					if (!isOver) asleep.push({ place, ended });
					world.pass(random.nextU32() % 40_000);
				}
				await world.check("at the end, with some asleep for ever");
				await world.restore();
				for (const { place, ended } of asleep) {
					place.process.wake();
					await ended;
				}
				await world.check("at the end");
				await world.checkRoom();
			} catch (error) {
				console.log(`seed ${seed}`);
				throw error;
			}
		}
	});

test.run();
