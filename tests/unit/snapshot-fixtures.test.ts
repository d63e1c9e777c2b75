// Images of every released format version stay readable: what was written once is read, verified and imported here.
import { suite } from "uvu";
import * as assert from "uvu/assert";
import { MemoryStore } from "../../bindings/lab/memory-store.ts";
import { SeededRandom } from "../../bindings/lab/seeded-random.ts";
import { systemClock } from "../../bindings/platform/system-clock.ts";
import { IMAGE_VERSION, MIN_IMAGE_VERSION } from "../../bindings/snapshot/image-limits.ts";
import { type Sealing, SnapshotStore } from "../../bindings/snapshot/store.ts";
import { assertIs, restoreAll, restoreByPages } from "../simulation/snapshot-store-world.ts";
import { fixtureSealing, type ImageFixture, type StoredFixture } from "../vectors/image-fixtures.ts";
import { CODE, childMemory, childState, parentMemory, parentState } from "../vectors/images/contents.ts";
import version1 from "../vectors/images/version-1.json" with { type: "json" };

const test = suite("images of released versions");

/** One for each version that is read. */
const FIXTURES: readonly (readonly [number, ImageFixture])[] = [[1, version1]];

const decoded = (text: string): Uint8Array<ArrayBuffer> =>
	Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));

async function storeOf(fixture: StoredFixture): Promise<MemoryStore> {
	const store = new MemoryStore();
	for (const [name, bytes] of Object.entries(fixture.objects)) await store.put(name, decoded(bytes));
	for (const [name, bytes] of Object.entries(fixture.references))
		assert.ok(await store.compareAndSetReference(name, undefined, decoded(bytes)));
	return store;
}

async function assertReadable(fixture: StoredFixture, sealing?: Sealing): Promise<void> {
	const services = { clock: systemClock, random: new SeededRandom(9) };
	const options = sealing === undefined ? services : { ...services, sealing };
	const snapshots = new SnapshotStore(await storeOf(fixture), options);
	assert.equal(
		(await snapshots.list()).map(({ label }) => label),
		["parent", "child"],
	);
	for (const [id, memory, state] of [
		[fixture.parent, parentMemory(), parentState()],
		[fixture.child, childMemory(), childState()],
	] as const) {
		await snapshots.verify(id);
		assertIs(await restoreAll(snapshots, id), { memory, state });
		assertIs(await restoreByPages(snapshots, id), { memory, state });
		const reader = await snapshots.open(id);
		assert.equal(await reader.resource(reader.layout.resources[0]!.hash), CODE);
		assert.is(reader.layout.facts["program"], "fixture");
	}
	// It can be built on, too.
	const writer = await snapshots.begin({ layout: (await snapshots.open(fixture.child)).layout, parent: fixture.child });
	const { id } = await writer.commit({ state: childState() });
	await snapshots.prune({ keep: [id], repackBelow: 2 });
	assertIs(await restoreAll(snapshots, id), { memory: childMemory(), state: childState() });
}

test("there is a fixture for every version that is read", () => {
	const versions = FIXTURES.map(([version]) => version);
	assert.equal(
		versions,
		Array.from({ length: IMAGE_VERSION - MIN_IMAGE_VERSION + 1 }, (_, i) => MIN_IMAGE_VERSION + i),
	);
});

for (const [version, fixture] of FIXTURES) {
	test(`a store of version ${version} is read, verified and built on`, () => assertReadable(fixture.plain));

	test(`a sealed store of version ${version} is read with its keys`, async () =>
		assertReadable(fixture.sealed, await fixtureSealing()));

	test(`an image of version ${version} is imported`, async () => {
		const services = { clock: systemClock, random: new SeededRandom(9) };
		const snapshots = new SnapshotStore(new MemoryStore(), services);
		const { id } = await snapshots.import([decoded(fixture.image)]);
		assertIs(await restoreAll(snapshots, id), { memory: childMemory(), state: childState() });
	});
}

test.run();
