/**
 * Does the referee bite? Ports and callers that are broken on purpose, in the ways that moves are built to exclude, must each
 * be caught within a stated number of seeds; the same seeds with whole ports must not. No technique is copied or changed.
 */
import { suite } from "uvu";
import * as assert from "uvu/assert";
import { BATCH_ENTRY_BYTES, BATCH_HEADER_BYTES, batchHashes } from "../../bindings/engine/batch.ts";
import type { MemoryGuest } from "../../bindings/guests/memory/memory-guest.ts";
import { SeededRandom } from "../../bindings/lab/seeded-random.ts";
import { drawFault, type StreamFault } from "../../bindings/lab/stream-faults.ts";
import type { DirtyCursor, EncodedBatch } from "../../bindings/ports/guest.ts";
import { World } from "./world.ts";

const test = suite("broken variants are caught");

/** One way of being broken. */
interface Mutant {
	readonly name: string;
	/** Seeds within which it must be caught. */
	readonly within: number;
	/** What makes it show: faults are drawn from these kinds. */
	readonly faults?: readonly StreamFault["kind"][];
	/** The source hears nothing any more once it waits for the target to confirm. */
	readonly deaf?: boolean;
	breakSource?(world: World): void;
	breakTarget?(guest: MemoryGuest): void;
	/** What a broken caller does when it is not told who owns the guest. */
	onUnconfirmed?(world: World): Promise<void>;
}

/** Replaces what `open` gives. */
function breakCursor(world: World, broken: (cursor: DirtyCursor) => DirtyCursor): void {
	const { dirty } = world.guest;
	const open = dirty.open.bind(dirty);
	dirty.open = async () => broken(await open());
}

const MUTANTS: readonly Mutant[] = [
	{
		name: "a dirty bit is cleared after the page was read",
		within: 10,
		breakSource(world) {
			let cursor: DirtyCursor | undefined;
			breakCursor(world, (opened) => {
				cursor = opened;
				return opened;
			});
			const { pages } = world.guest;
			const encode = pages.encode.bind(pages);
			Object.assign(pages, {
				encode: async (pageIndices: Uint32Array, options: { compress: boolean }) => {
					const batch = await encode(pageIndices, options);
					await world.clock.sleep(2); // the guest writes meanwhile
					const { bits } = (await cursor?.harvest()) ?? { bits: new Uint8Array(0) };
					for (const page of pageIndices) if (page >>> 3 < bits.length) bits[page >>> 3]! &= ~(1 << (page & 7));
					await cursor?.putBack(bits);
					return batch;
				},
			});
		},
	},
	{
		name: "a batch is acknowledged before it is verified",
		within: 60,
		faults: ["flip"],
		breakTarget(guest) {
			const apply = guest.pages.apply.bind(guest.pages);
			guest.pages.apply = (batch) => apply(batch).catch(() => claimed(batch));
		},
	},
	{
		name: "the source resumes after go",
		within: 10,
		deaf: true,
		onUnconfirmed: (world) => world.guest.resume(),
	},
	{
		name: "the bits of a round are lost",
		within: 10,
		breakSource(world) {
			let rounds = 0;
			breakCursor(world, (cursor) => ({
				...cursor,
				harvest: async () => {
					const dirty = await cursor.harvest();
					return ++rounds === 1 ? { ...dirty, bits: new Uint8Array(dirty.bits.length), dirtyCount: 0 } : dirty;
				},
			}));
		},
	},
	{
		name: "a paused guest still writes",
		within: 10,
		breakSource(world) {
			const { state, pages } = world.guest;
			const capture = state.capture.bind(state);
			state.capture = async () => {
				const bytes = await capture();
				await world.guest.resume();
				world.guest.write((pages.pageCount - 1) * 4096, Uint8Array.of(1 + (world.random.nextU32() % 255)));
				await world.guest.pause();
				return bytes;
			};
		},
	},
];

/** What a target says that has looked at a batch's table only. */
function claimed({ bytes }: EncodedBatch) {
	const view = new DataView(bytes.buffer, bytes.byteOffset);
	const count = Math.min(
		view.getUint32(0, true),
		Math.floor((bytes.byteLength - BATCH_HEADER_BYTES) / BATCH_ENTRY_BYTES),
	);
	const pageIndices = Uint32Array.from({ length: count }, (_, i) =>
		view.getUint32(BATCH_HEADER_BYTES + i * BATCH_ENTRY_BYTES, true),
	);
	return { pageIndices, hashes: batchHashes(bytes, count) };
}

/** Runs one seed. @returns what the referee found. */
async function findings(seed: number, mutant: Mutant, broken: boolean): Promise<readonly string[]> {
	const random = new SeededRandom(seed);
	const kinds = mutant.faults;
	const space = { durationMs: 120, byteLength: 200_000 };
	const faults = kinds === undefined ? [] : [drawFault(random, { ...space, kinds })];
	const world = new World({
		...{ seed, faults, writesPerMs: 3 },
		...(broken && mutant.breakTarget !== undefined ? { onTarget: mutant.breakTarget } : {}),
	});
	if (broken) mutant.breakSource?.(world);
	return world.run(async () => {
		const event = () =>
			world.connection.inject({
				...{ kind: "partition", from: "b", durationMs: Number.POSITIVE_INFINITY },
				when: { atMs: 0 },
			});
		const at = mutant.deaf === true ? { phase: "confirm" as const, event } : undefined;
		// Paced: without a cap the buffers swallow so small a guest at once, and nothing changes while a round runs.
		const result = await world.move("pre-copy", { verification: "transport", bandwidthBytesPerMs: 4000 }, at);
		if (result.outcome === "unconfirmed" && broken) await mutant.onUnconfirmed?.(world);
		await Promise.all(world.receptions);
		await world.clock.sleep(50);
		return [...world.violations];
	});
}

for (const mutant of MUTANTS)
	test(`${mutant.name}: caught within ${mutant.within} seeds, and only when broken`, async () => {
		let caught: number | undefined;
		for (let seed = 1; seed <= mutant.within && caught === undefined; seed++) {
			assert.equal(await findings(seed, mutant, false), [], `seed ${seed}, nothing broken`);
			if ((await findings(seed, mutant, true)).length > 0) caught = seed;
		}
		assert.ok(caught !== undefined, "the referee has seen nothing");
		console.log(`${mutant.name}: caught by seed ${caught}`);
	});

test.run();
