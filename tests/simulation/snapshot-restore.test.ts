// Restores in virtual time: full and lazy, one and many, what is refused, and what a damaged or failing store does.
import { suite } from "uvu";
import * as assert from "uvu/assert";
import { MemoryGuest, MemoryGuestFactory } from "../../bindings/guests/memory/memory-guest.ts";
import { demandPaging } from "../../bindings/policies/push-order.ts";
import { GuestError, PAGE_BYTES } from "../../bindings/ports/guest.ts";
import { StoreError } from "../../bindings/ports/store.ts";
import type { RestoreFacts } from "../../bindings/ports/told-guest.ts";
import { AccessOrders } from "../../bindings/snapshot/access-order.ts";
import { type LazyRestored, lazyRestore } from "../../bindings/snapshot/lazy-restore.ts";
import { type RestoreOptions, type RestoreProgress, restore, restoreClones } from "../../bindings/snapshot/restore.ts";
import { RestoreError } from "../../bindings/snapshot/restore-error.ts";
import { save } from "../../bindings/snapshot/save.ts";
import { isSame, PAGES, SnapshotWorld } from "./snapshot-world.ts";

const test = suite("snapshots: restore");
const POLICY = { clock: "jump", random: "reseed" } as const;

/** A world with one snapshot in it. */
async function withSnapshot(
	work: (world: SnapshotWorld, services: Parameters<typeof restore>[0], id: string) => Promise<void>,
	seed = 1,
): Promise<void> {
	const world = new SnapshotWorld(seed);
	await world.run(async () => {
		await world.clock.sleep(5);
		const { snapshot } = await save(world.services);
		const { clock, random, factory } = world;
		const reader = await world.store.open(snapshot.id);
		await work(world, { snapshot: reader, factories: [factory], clock, random }, snapshot.id);
	});
}

const memoryOf = (guest: unknown): Uint8Array => {
	if (!(guest instanceof MemoryGuest)) throw new TypeError("no memory guest");
	return guest.read(0, guest.pageCount * PAGE_BYTES);
};
const failure = async (work: Promise<unknown>): Promise<RestoreError> => {
	const error = await work.then(
		() => undefined,
		(reason: unknown) => reason,
	);
	assert.instance(error, RestoreError, String(error));
	return error as RestoreError;
};

test("clones are restored from one reading, each with a generation and a seed of its own, and none runs before all are ready", () =>
	withSnapshot(async (world, services) => {
		const told: RestoreFacts[] = [];
		let reads = 0;
		const { get } = world.disk;
		world.disk.get = (name, range) => {
			reads++;
			return get.call(world.disk, name, range);
		};
		await restore(services, POLICY);
		const readsOfOne = reads;
		const clones = await restoreClones(services, 5, {
			...POLICY,
			onClone: (guest, facts) => {
				assert.not((guest as MemoryGuest).running);
				told.push(facts);
			},
		});
		assert.ok(reads <= 2 * readsOfOne, "five clones cost the reads of one");
		for (const { guest } of clones) {
			assert.ok((guest as MemoryGuest).running);
			assert.ok(isSame(memoryOf(guest), world.lastPause.memory));
			assert.equal((guest as MemoryGuest).getState(), world.lastPause.state);
		}
		assert.is(new Set(told.map(({ generation }) => generation)).size, 5);
		assert.is(new Set(told.map(({ seed }) => seed.join())).size, 5);
		assert.equal(
			told.map(({ cloneIndex, cloneCount }) => [cloneIndex, cloneCount]),
			[0, 1, 2, 3, 4].map((index) => [index, 5]),
		);
		assert.equal(
			clones.map(({ generation }) => generation),
			told.map(({ generation }) => generation),
		);
	}));

test("a snapshot of a restored guest says which copy it is of", () =>
	withSnapshot(async (world, services) => {
		const { guest, generation } = await restore(services, POLICY);
		const { snapshot } = await save({ ...world.services, guest });
		assert.is(snapshot.generation, generation);
	}));

test("progress ends at 1 and never runs backwards; zero pages are not read", () =>
	withSnapshot(async (_, services) => {
		const steps: RestoreProgress[] = [];
		const { metrics } = await restore(services, { ...POLICY, onProgress: (step) => steps.push(step) });
		const fractions = steps.map(({ fraction }) => fraction);
		assert.equal(
			fractions,
			[...fractions].sort((a, b) => a - b),
		);
		assert.is(fractions.at(-1), 1);
		assert.is(metrics.installedPages, services.snapshot.info.storedPages);
		assert.ok(metrics.installedPages < PAGES);
	}));

const REFUSALS: Readonly<Record<string, (world: SnapshotWorld) => Partial<Parameters<typeof restore>[0]>>> = {
	"no factory of its kind": () => ({ factories: [] }),
	"a factory that takes only smaller guests": ({ clock }) => ({ factories: [new MemoryGuestFactory(clock, 3)] }),
	"a factory with other facts": ({ clock }) => ({ factories: [new MemoryGuestFactory(clock, 999, { version: "2" })] }),
};
for (const [what, change] of Object.entries(REFUSALS))
	test(`${what}: refused, full and lazy`, () =>
		withSnapshot(async (world, services) => {
			const changed = { ...services, ...change(world) };
			assert.is((await failure(restore(changed, POLICY))).code, "refused");
			assert.is((await failure(lazyRestore(changed, POLICY))).code, "refused");
		}));

test("a policy that is not stated is a mistake of the caller", () =>
	withSnapshot(async (_, services) => {
		// @ts-expect-error: the wrong argument is what is tested
		for (const options of [
			{ random: "keep" },
			{ clock: "jump" },
			{ clock: "stop", random: "keep" },
		] as RestoreOptions[])
			assert.instance(await restore(services, options).catch((error) => error), TypeError);
		assert.instance(await restoreClones(services, 0, POLICY).catch((error) => error), RangeError);
	}));

/** Restores that are cut off: nothing is left behind. */
async function cutOff(
	services: Parameters<typeof restore>[0],
	options: Partial<RestoreOptions>,
	change: (guest: MemoryGuest) => void = () => undefined,
): Promise<{ readonly error: RestoreError; readonly guests: readonly MemoryGuest[] }> {
	const guests: MemoryGuest[] = [];
	const [factory] = services.factories as [MemoryGuestFactory];
	const { setUp } = factory;
	factory.setUp = async (layout) => {
		const prepared = await setUp.call(factory, layout);
		guests.push(prepared.guest);
		change(prepared.guest);
		return prepared;
	};
	const error = await failure(restoreClones(services, 2, { ...POLICY, ...options }));
	for (const guest of guests)
		assert.is(((await guest.pause().catch((reason: unknown) => reason)) as GuestError | undefined)?.code, "gone");
	return { error, guests };
}

for (const phase of ["set-up", "pages", "state"] as const)
	test(`a restore that is cancelled in '${phase}' leaves nothing behind`, () =>
		withSnapshot(async (_, services) => {
			const stop = new AbortController();
			const { error } = await cutOff(services, {
				signal: stop.signal,
				onProgress: (step) => {
					if (step.phase === phase) stop.abort();
				},
			});
			assert.is(error.code, "cancelled");
		}));

test("a hook that throws, state that cannot be restored, a deadline: nothing is left behind", () =>
	withSnapshot(async (_, services) => {
		const hook = await cutOff(services, { onClone: () => Promise.reject(new GuestError("state", "the hook")) });
		assert.is(hook.error.code, "guest");
		assert.is(hook.guests.length, 2);
		const state = await cutOff(services, {}, (guest) => {
			guest.state.restore = () => Promise.reject(new GuestError("state", "an unknown table"));
		});
		assert.is(state.error.code, "guest");
		const late = await cutOff(services, { deadlineMs: 1 });
		assert.is(late.error.code, "deadline");
	}));

test("a page that is installed as something else is found before anything runs, and named", () =>
	withSnapshot(async (_, services) => {
		const { error } = await cutOff(services, {}, (guest) => {
			const { apply } = guest.pages;
			guest.pages.apply = async (batch) => {
				const applied = await apply(batch);
				const at = applied.pageIndices.indexOf(11);
				if (at >= 0) applied.hashes[at * 16]! ^= 1;
				return applied;
			};
		});
		assert.is(error.code, "corrupt");
		assert.is(error.pageIndex, 11);
	}));

test("lazy: the guest runs at once, waits for what it touches, and has everything in the end", () =>
	withSnapshot(async (world, services) => {
		const restored = await lazyRestore(services, POLICY);
		const guest = restored.guest as MemoryGuest;
		assert.ok(guest.running);
		assert.is(restored.missingPages, services.snapshot.info.storedPages);
		assert.throws(
			() => guest.read(0, PAGE_BYTES),
			(error: GuestError) => error.code === "missing",
		);
		const at = 20 * PAGE_BYTES + 5;
		assert.equal(await guest.load(at, 9), world.lastPause.memory.slice(at, at + 9));
		assert.ok(restored.pages.report.faults.faults > 0);
		const report = await restored.done;
		assert.is(report.missingPages, 0);
		assert.ok(isSame(memoryOf(guest), world.lastPause.memory));
		assert.equal(guest.getState(), world.lastPause.state);
	}));

test("lazy: what the guest writes stays, whenever the rest of the page's neighbours comes", () =>
	withSnapshot(async (world, services) => {
		const { guest, done } = await lazyRestore(services, POLICY);
		const expected = world.lastPause.memory.slice();
		for (let i = 0; i < 30; i++) {
			const at = (i * 7919 * 13) % (PAGES * PAGE_BYTES - 4);
			const bytes = Uint8Array.of(i, i, i, i);
			await (guest as MemoryGuest).store(at, bytes);
			expected.set(bytes, at);
		}
		await done;
		assert.ok(isSame(memoryOf(guest), expected));
	}));

test("lazy: the order of the last run is prefetched first, and pages that were waited for come first next time", () =>
	withSnapshot(async (world, services, id) => {
		const accessOrders = new AccessOrders(world.disk, world.random);
		const touch = async ({ guest, done }: LazyRestored): Promise<void> => {
			for (const page of [33, 4, 17]) await (guest as MemoryGuest).load(page * PAGE_BYTES, 1);
			await done;
		};
		const first = await lazyRestore({ ...services, accessOrders }, { ...POLICY, prefetch: demandPaging(50) });
		assert.is(first.order, "none");
		await touch(first);
		const order = await accessOrders.read(id);
		assert.equal(order.origin === "recorded" && [...order.pages], [33, 4, 17]);
		const second = await lazyRestore({ ...services, accessOrders }, POLICY);
		assert.is(second.order, "recorded");
		assert.ok((await second.done).isOrderKept);
		const damaged = (await world.disk.list("access-orders/"))[0]!;
		const { inner } = world.disk;
		const bytes = await inner.get(damaged);
		bytes[9]! ^= 1;
		await inner.delete(damaged);
		await inner.put(damaged, bytes);
		const third = await lazyRestore({ ...services, accessOrders }, POLICY);
		assert.is(third.order, "damaged");
		await third.done;
		for (const name of await world.disk.list("access-orders/")) await inner.delete(name);
		const fourth = await lazyRestore({ ...services, accessOrders }, POLICY);
		assert.is(fourth.order, "damaged", "one that has just gone is only a hint less");
		await fourth.done;
		await accessOrders.prune(new Set());
		assert.equal(await world.disk.list("access-orders/"), []);
		assert.equal(await world.disk.listReferences("access-orders/"), []);
	}));

test("lazy: a store that fails leaves the guest waiting, and loading goes on when it works again", () =>
	withSnapshot(async (world, services) => {
		const restored = await lazyRestore(services, { ...POLICY, prefetch: demandPaging() });
		const guest = restored.guest as MemoryGuest;
		const { get } = world.disk;
		world.disk.get = () => Promise.reject(new GuestError("state", "no such disk"));
		// Another reader's cache must not help.
		let waited = false;
		const loaded = guest.load(12 * PAGE_BYTES, 4).then((bytes) => {
			waited = true;
			return bytes;
		});
		assert.instance(await restored.done.catch((error) => error), RestoreError);
		assert.not(waited);
		assert.instance(await save({ ...world.services, guest }).catch((error) => error), Error, "it cannot be saved yet");
		world.disk.get = get;
		const loading = restored.pages.load();
		assert.equal(await loaded, world.lastPause.memory.slice(12 * PAGE_BYTES, 12 * PAGE_BYTES + 4));
		for (let page = 0; page < PAGES; page++) await guest.load(page * PAGE_BYTES, 1);
		await loading;
		assert.ok(isSame(memoryOf(guest), world.lastPause.memory));
	}));

test("lazy: a page that is not as it was saved is never installed", () =>
	withSnapshot(async (_, services) => {
		const { snapshot } = services;
		const { pages } = snapshot;
		snapshot.pages = async (pageIndices, options) => {
			const batch = await pages.call(snapshot, pageIndices, options);
			const at = pageIndices.indexOf(9);
			if (at >= 0) batch.bytes[16 + 24 * at + 8]! ^= 1; // its hash
			return batch;
		};
		const { guest, done } = await lazyRestore(services, POLICY);
		const error = await failure(done);
		assert.is(error.code, "corrupt");
		assert.is(error.pageIndex, 9);
		assert.throws(
			() => (guest as MemoryGuest).read(9 * PAGE_BYTES, 1),
			(reason: GuestError) => reason.code === "missing",
		);
		await guest.discard();
	}));

test("lazy: cancelled before it runs, nothing is left behind", () =>
	withSnapshot(async (_, services) => {
		const stop = new AbortController();
		const guests: MemoryGuest[] = [];
		const error = await failure(
			lazyRestore(services, {
				...POLICY,
				signal: stop.signal,
				onClone: (guest) => {
					guests.push(guest as MemoryGuest);
					stop.abort();
				},
			}),
		);
		assert.is(error.code, "cancelled");
		assert.not(guests[0]!.running);
	}));

test("lazy: each is a copy of its own and is told so before it runs; a policy that is not stated is refused", () =>
	withSnapshot(async (world, services) => {
		const told: RestoreFacts[] = [];
		const onClone: RestoreOptions["onClone"] = (guest, facts) => {
			assert.not((guest as MemoryGuest).running);
			told.push(facts);
		};
		const copies = [];
		for (let i = 0; i < 2; i++) copies.push(await lazyRestore(services, { ...POLICY, onClone }));
		assert.equal(
			copies.map(({ generation }) => generation),
			told.map(({ generation }) => generation),
		);
		assert.is(new Set(told.map(({ generation, seed }) => `${generation} ${seed.join()}`)).size, 2);
		for (const { guest, policy, generation, done } of copies) {
			assert.equal([policy.clock, policy.random], [POLICY.clock, POLICY.random]);
			await done;
			assert.is((await save({ ...world.services, guest })).snapshot.generation, generation);
		}
		// @ts-expect-error: the wrong argument is what is tested
		const error = await lazyRestore(services, { random: "keep" }).catch((reason: unknown) => reason);
		assert.instance(error, TypeError);
	}));

test("lazy: a hook that throws, or waits for a page that cannot be read, fails the restore", () =>
	withSnapshot(async (world, services) => {
		const guests: MemoryGuest[] = [];
		const fail = (hook: (guest: MemoryGuest) => Promise<unknown>): Promise<RestoreError> =>
			failure(
				lazyRestore(services, {
					...{ ...POLICY, prefetch: demandPaging() },
					onClone: async (guest) => {
						guests.push(guest as MemoryGuest);
						await hook(guest as MemoryGuest);
					},
				}),
			);
		assert.is((await fail(() => Promise.reject(new GuestError("state", "the hook")))).code, "guest");
		const { get } = world.disk;
		const error = await fail((guest) => {
			world.disk.get = () => Promise.reject(new StoreError("failed", "no such disk"));
			return guest.load(12 * PAGE_BYTES, 4);
		});
		world.disk.get = get;
		assert.is(error.code, "store");
		assert.match(error.message, /no such disk/);
		for (const guest of guests)
			assert.is((await guest.pause().catch((reason: GuestError) => reason.code)) as unknown, "gone");
	}));

test("a guest that cannot run while pages are missing is refused by name", () =>
	withSnapshot(async (_, services) => {
		const [factory] = services.factories as [MemoryGuestFactory];
		const { setUp } = factory;
		factory.setUp = async (layout) => {
			const prepared = await setUp.call(factory, layout);
			// allowed (cast): a guest without the capability, whose methods are the prototype's
			const plain = Object.assign(Object.create(Object.getPrototypeOf(prepared.guest)), prepared.guest) as MemoryGuest;
			Reflect.deleteProperty(plain, "faulting");
			plain.discard = () => prepared.guest.discard();
			return { ...prepared, guest: plain };
		};
		const error = await failure(lazyRestore(services, POLICY));
		assert.is(error.code, "refused");
		assert.match(error.message, /memory guest/);
	}));

test.run();
