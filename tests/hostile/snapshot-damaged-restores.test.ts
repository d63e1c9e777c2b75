// Restores of snapshots whose objects were changed: a typed error that names the object, no guest runs, none is left behind.
import { suite } from "uvu";
import * as assert from "uvu/assert";
import type { MemoryGuest } from "../../bindings/guests/memory/memory-guest.ts";
import { SeededRandom } from "../../bindings/lab/seeded-random.ts";
import { type GuestError, PAGE_BYTES } from "../../bindings/ports/guest.ts";
import { SnapshotError } from "../../bindings/snapshot/image-error.ts";
import { lazyRestore } from "../../bindings/snapshot/lazy-restore.ts";
import { restoreClones } from "../../bindings/snapshot/restore.ts";
import { RestoreError } from "../../bindings/snapshot/restore-error.ts";
import { save } from "../../bindings/snapshot/save.ts";
import { SnapshotStore } from "../../bindings/snapshot/store.ts";
import { isSame, PAGES, SnapshotWorld } from "../simulation/snapshot-world.ts";

const test = suite("restores of damaged snapshots");
const POLICY = { clock: "jump", random: "reseed" } as const;

type Bytes = Uint8Array<ArrayBuffer>;

/** What is done to an object, by name; `undefined`: it is taken away. */
const DAMAGES: Readonly<Record<string, (bytes: Bytes, random: SeededRandom) => Bytes | undefined>> = {
	"one changed bit": (bytes, random) => {
		const at = random.nextU32() % bytes.byteLength;
		return bytes.with(at, bytes[at]! ^ (1 << (random.nextU32() % 8)));
	},
	"cut off": (bytes, random) => bytes.slice(0, random.nextU32() % bytes.byteLength),
	"of another program": (bytes, random) => random.fill(new Uint8Array(bytes.byteLength)),
	gone: () => undefined,
};

/** A world with one snapshot, its objects, and every guest that a restore has set up. */
async function withSnapshot(work: (world: SnapshotWorld, id: string, guests: MemoryGuest[]) => Promise<void>) {
	const world = new SnapshotWorld(3);
	await world.run(async () => {
		const { snapshot } = await save(world.services);
		const guests: MemoryGuest[] = [];
		const { setUp } = world.factory;
		world.factory.setUp = async (...target) => {
			const prepared = await setUp.call(world.factory, ...target);
			guests.push(prepared.guest);
			return prepared;
		};
		await work(world, snapshot.id, guests);
	});
}

/** Puts these bytes in an object's place. */
async function exchange({ disk }: SnapshotWorld, object: string, bytes: Bytes | undefined): Promise<void> {
	await disk.inner.delete(object);
	if (bytes !== undefined) await disk.inner.put(object, bytes);
}

/** The services of a restore by a process that knows nothing of the store yet. */
async function servicesOf({ disk, factory, clock, random }: SnapshotWorld, id: string) {
	const snapshot = await new SnapshotStore(disk, { clock, random }).open(id);
	return { snapshot, factories: [factory], clock, random };
}

const failureOf = (work: Promise<unknown>): Promise<unknown> =>
	work.then(
		() => undefined,
		(error: unknown) => error,
	);

/** The damage is named by whoever found it, the store or the restore. */
function assertNamed(error: unknown, object: string, what: string): void {
	assert.ok(error instanceof SnapshotError || error instanceof RestoreError, `${what}: ${String(error)}`);
	const { message, code } = error as SnapshotError | RestoreError;
	assert.ok(message.includes(object), `${what}: '${message}' does not name ${object}`);
	assert.ok(["corrupt", "foreign", "missing", "unsupported-version", "too-large", "store"].includes(code), code);
}

for (const [name, damage] of Object.entries(DAMAGES))
	test(`objects ${name}: clones are refused whole`, () =>
		withSnapshot(async (world, id, guests) => {
			const random = new SeededRandom(8);
			for (const object of await world.disk.inner.list("snapshots/")) {
				const bytes = await world.disk.inner.get(object);
				for (let attempt = 0; attempt < (name === "gone" ? 1 : 12); attempt++) {
					const changed = damage(bytes, random);
					await exchange(world, object, changed);
					const restoring = servicesOf(world, id).then((services) => restoreClones(services, 2, POLICY));
					const error = await failureOf(restoring);
					const what = `${object} ${name}, attempt ${attempt}`;
					// A pack's index and trailer are not needed to restore: a verification reads them.
					if (error === undefined) assert.ok(object.startsWith("snapshots/packs/"), what);
					else assertNamed(error, object, what);
					for (const guest of guests.splice(0)) {
						const end = await failureOf(guest.pause());
						assert.is((end as GuestError | undefined)?.code, error === undefined ? undefined : "gone", what);
						if (error === undefined) {
							assert.ok(isSame(guest.read(0, PAGES * PAGE_BYTES), world.lastPause.memory), what);
							await guest.discard();
						}
					}
				}
				await exchange(world, object, bytes);
			}
			await restoreClones(await servicesOf(world, id), 1, POLICY);
		}));

test("lazily: a page whose pack was changed never comes, and the error names the pack", () =>
	withSnapshot(async (world, id) => {
		const [pack] = await world.disk.inner.list("snapshots/packs/");
		const bytes = await world.disk.inner.get(pack!);
		const middle = Math.floor(bytes.byteLength / 2); // a page's payload
		await exchange(world, pack!, bytes.with(middle, bytes[middle]! ^ 16));
		const { guest, done } = await lazyRestore(await servicesOf(world, id), POLICY);
		const error = await failureOf(done);
		assert.instance(error, RestoreError);
		assert.is((error as RestoreError).code, "corrupt");
		assertNamed(error, pack!, "lazily");
		assert.throws(
			() => (guest as MemoryGuest).read(0, PAGES * PAGE_BYTES),
			(reason: GuestError) => reason.code === "missing",
		);
		await guest.discard();
	}));

test.run();
