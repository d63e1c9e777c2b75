/**
 * What every guest keeps to, whatever it is: one suite, run by each implementation through a small harness.
 */
import fc from "fast-check";
import { suite } from "uvu";
import * as assert from "uvu/assert";
import { BatchError } from "../../../bindings/engine/batch.ts";
import { SeededRandom } from "../../../bindings/lab/seeded-random.ts";
import {
	type Guest,
	GuestError,
	type GuestErrorCode,
	type GuestFactory,
	PAGE_BYTES,
	type PageBatch,
	type PageBits,
} from "../../../bindings/ports/guest.ts";

/** How the suite makes and drives a kind of guest. */
export interface GuestHarness {
	readonly name: string;
	/** A running guest with at least `pageCount` pages and room to grow by `growPages` more. */
	create(pageCount: number): Promise<DrivenGuest>;
	/** A factory that takes such guests. */
	factory(): Promise<GuestFactory>;
	/** Pages that {@link DrivenGuest.grow} adds at a time; 0 for a guest whose memory does not grow. */
	readonly growPages: number;
	/** How many runs a property test may take. */
	readonly propertyRuns: number;
	/** Called once after all tests. */
	close?(): Promise<void>;
}

/** A running guest and the hands on its memory. */
export interface DrivenGuest {
	readonly guest: Guest;
	/** First page that the suite may write to, and how many follow. */
	readonly firstPage: number;
	readonly freePages: number;
	write(byteOffset: number, bytes: Uint8Array): Promise<void>;
	read(byteOffset: number, byteLength: number): Promise<Uint8Array>;
	grow(): Promise<void>;
}

const has = (bits: PageBits, index: number): boolean => ((bits[index >> 3]! >> (index & 7)) & 1) === 1;
const filled = (value: number): Uint8Array => new Uint8Array(PAGE_BYTES).fill(value);
const all = (count: number): Uint32Array => Uint32Array.from({ length: count }, (_, index) => index);

async function code(work: Promise<unknown>): Promise<GuestErrorCode | string> {
	return work.then(
		() => "nothing thrown",
		(error: unknown) => (error instanceof GuestError ? error.code : String(error)),
	);
}

async function batches(guest: Guest, compress: boolean): Promise<PageBatch[]> {
	const made: PageBatch[] = [];
	for (let first = 0; first < guest.pages.pageCount; first += 256) {
		const some = all(guest.pages.pageCount).subarray(first, first + 256);
		const batch = await guest.pages.encode(some.slice(), { compress });
		made.push({ ...batch, bytes: batch.bytes.slice() });
		batch.release();
	}
	return made;
}

/** Declares and runs the suite. */
export function guestContract(harness: GuestHarness): void {
	const test = suite(`guest contract: ${harness.name}`);
	const open: Guest[] = [];
	const create = async (pageCount: number): Promise<DrivenGuest> => {
		const driven = await harness.create(pageCount);
		open.push(driven.guest);
		return driven;
	};
	const createTarget = async (guest: Guest): Promise<Guest> => {
		const { guest: target } = await (await harness.factory()).setUp(guest.state.layout(), await resourcesOf(guest));
		open.push(target);
		return target;
	};
	test.after.each(async () => {
		for (const guest of open.splice(0)) await guest.discard();
	});
	test.after(() => harness.close?.());

	test("pages travel to a target and have the same hashes there, compressed or not", async () => {
		const { guest, firstPage, write } = await create(8);
		await write(firstPage * PAGE_BYTES, new SeededRandom(7).fill(new Uint8Array(PAGE_BYTES)));
		await write((firstPage + 2) * PAGE_BYTES, filled(7));
		for (const compress of [false, true]) {
			const target = await createTarget(guest);
			await guest.pause({ deadlineMs: 5000 });
			const expected = await guest.pages.hashes(0, guest.pages.pageCount);
			for (const batch of await batches(guest, compress)) {
				const applied = await target.pages.apply(batch);
				assert.equal(applied.pageIndices, batch.pageIndices);
				assert.equal(new Uint8Array(applied.hashes), new Uint8Array(batch.hashes));
			}
			assert.equal(await target.pages.hashes(0, target.pages.pageCount), expected);
			await guest.resume();
		}
	});

	test("a batch with a flipped bit is refused whole", async () => {
		const { guest, firstPage, write } = await create(8);
		await write(firstPage * PAGE_BYTES, filled(9));
		const target = await createTarget(guest);
		const before = await target.pages.hashes(0, target.pages.pageCount);
		await guest.pause({ deadlineMs: 5000 });
		for (const at of [3, 16, 21, 30, 60]) {
			const [batch] = await batches(guest, false);
			batch!.bytes[at]! ^= 4;
			const error = await target.pages.apply(batch!).catch((reason: unknown) => reason);
			assert.instance(error, BatchError, `byte ${at}`);
		}
		assert.equal(await target.pages.hashes(0, target.pages.pageCount), before);
	});

	test("a paused guest's pages are encoded as they are, whatever a cursor has not harvested yet", async () => {
		const { guest, firstPage, write } = await create(8);
		const cursor = await guest.dirty.open();
		await write((firstPage + 1) * PAGE_BYTES, filled(3));
		await guest.pause({ deadlineMs: 5000 });
		const target = await createTarget(guest);
		for (const batch of await batches(guest, false)) await target.pages.apply(batch);
		const { pageCount } = guest.pages;
		assert.equal(await target.pages.hashes(0, pageCount), await guest.pages.hashes(0, pageCount));
		await cursor.close();
	});

	test("pages that do not exist cannot be encoded", async () => {
		const { guest } = await create(8);
		const error = await guest.pages
			.encode(Uint32Array.of(guest.pages.pageCount), { compress: false })
			.catch((reason: unknown) => reason);
		assert.instance(error, RangeError);
	});

	test("peek shows what changed and clears nothing, harvest reads and clears", async () => {
		const { guest, firstPage, write } = await create(8);
		const cursor = await guest.dirty.open();
		assert.is((await cursor.harvest()).dirtyCount, 0, "changes count from open");
		await write((firstPage + 1) * PAGE_BYTES + 5, Uint8Array.of(1));
		for (let time = 0; time < 2; time++) {
			const bits = await cursor.peek(0, guest.pages.pageCount);
			assert.ok(has(bits, firstPage + 1), `peek ${time}`);
			assert.not.ok(has(bits, firstPage + 2));
		}
		const harvest = await cursor.harvest();
		assert.ok(has(harvest.bits, firstPage + 1));
		assert.is(harvest.pageCount, guest.pages.pageCount);
		assert.is((await cursor.harvest()).dirtyCount, 0);
		await cursor.close();
	});

	test("peek answers for the candidates only", async () => {
		const { guest, firstPage, write } = await create(16);
		const cursor = await guest.dirty.open();
		await write(firstPage * PAGE_BYTES, filled(1));
		await write((firstPage + 1) * PAGE_BYTES, filled(2));
		const start = firstPage & ~7;
		const candidates = new Uint8Array(2);
		candidates[(firstPage - start) >> 3]! |= 1 << ((firstPage - start) & 7);
		const bits = await cursor.peek(start, 16, candidates);
		assert.ok(has(bits, firstPage - start));
		assert.not.ok(has(bits, firstPage + 1 - start));
		await cursor.close();
	});

	test("what one cursor harvests stays set for the others, and bits can be put back", async () => {
		const { guest, firstPage, write } = await create(8);
		const first = await guest.dirty.open();
		const second = await guest.dirty.open();
		await write(firstPage * PAGE_BYTES, filled(3));
		const harvest = await first.harvest();
		assert.ok(has(harvest.bits, firstPage));
		assert.ok(has((await second.harvest()).bits, firstPage));
		await first.putBack(harvest.bits);
		assert.ok(has((await first.harvest()).bits, firstPage));
		assert.is((await second.harvest()).dirtyCount, 0);
		await first.close();
		await first.close();
		await second.close();
	});

	const growing = harness.growPages > 0 ? test : test.skip;
	if (harness.growPages === 0) console.log(`skipped: two tests of growth; the memory of ${harness.name} does not grow`);
	growing("grown pages are dirty and belong to the next harvest", async () => {
		const { guest, grow } = await create(8);
		const before = guest.pages.pageCount;
		const cursor = await guest.dirty.open();
		await grow();
		const harvest = await cursor.harvest();
		assert.is(harvest.pageCount, before + harness.growPages);
		assert.is(guest.pages.pageCount, before + harness.growPages);
		assert.ok(has(harvest.bits, before));
		assert.ok(has(harvest.bits, before + harness.growPages - 1));
		const batch = await guest.pages.encode(Uint32Array.of(before), { compress: false });
		batch.release();
		await cursor.close();
	});

	growing("a target grows as its source has, and keeps what was installed", async () => {
		const { guest, firstPage, write, grow } = await create(8);
		await write(firstPage * PAGE_BYTES, filled(5));
		const target = await createTarget(guest);
		for (const batch of await batchesPaused(guest)) await target.pages.apply(batch);
		await grow();
		await target.pages.grow(guest.pages.pageCount);
		assert.is(target.pages.pageCount, guest.pages.pageCount);
		for (const batch of await batchesPaused(guest)) await target.pages.apply(batch);
		await guest.pause({ deadlineMs: 5000 });
		assert.equal(
			await target.pages.hashes(0, target.pages.pageCount),
			await guest.pages.hashes(0, guest.pages.pageCount),
		);
		assert.is(await code(target.pages.grow(2 ** 31)), "too-large");
	});

	test("state is captured only while paused and survives the journey", async () => {
		const { guest, firstPage, write, read } = await create(8);
		await write(firstPage * PAGE_BYTES, filled(6));
		assert.is(await code(guest.state.capture()), "not-paused");
		await guest.pause({ deadlineMs: 5000 });
		const state = await guest.state.capture();
		const target = await createTarget(guest);
		for (const batch of await batches(guest, true)) await target.pages.apply(batch);
		await target.state.restore(state);
		assert.equal(await target.state.capture(), state);
		await target.resume();
		await guest.resume();
		assert.equal(await read(firstPage * PAGE_BYTES, 16), filled(6).subarray(0, 16));
	});

	test("pausing twice and resuming twice do no harm", async () => {
		const { guest, firstPage, write } = await create(8);
		await guest.pause({ deadlineMs: 5000 });
		await guest.pause({ deadlineMs: 5000 });
		await guest.resume();
		await guest.resume();
		await write(firstPage * PAGE_BYTES, filled(1));
	});

	test("a discarded guest answers with 'gone'", async () => {
		const { guest } = await create(8);
		await guest.discard();
		await guest.discard();
		assert.is(await code(guest.pause({ deadlineMs: 1000 })), "gone");
		assert.is(await code(guest.pages.encode(Uint32Array.of(0), { compress: false })), "gone");
		assert.is(await code(guest.state.capture()), "gone");
	});

	test("three cursors agree with an oracle whatever the order of writes, peeks, harvests and encodings", async () => {
		const { guest, firstPage, freePages, write } = await create(16);
		const pages = Math.min(freePages, 8);
		let salt = 0;
		const step = fc.oneof(
			fc.record({ do: fc.constant("write" as const), page: fc.nat(pages - 1) }),
			fc.record({ do: fc.constant("harvest" as const), cursor: fc.nat(2) }),
			fc.record({ do: fc.constant("peek" as const), cursor: fc.nat(2) }),
			fc.record({ do: fc.constant("encode" as const), page: fc.nat(pages - 1) }),
		);
		await fc.assert(
			fc.asyncProperty(fc.array(step, { maxLength: 40 }), async (steps) => {
				const cursors = [await guest.dirty.open(), await guest.dirty.open(), await guest.dirty.open()];
				const oracle = cursors.map(() => new Set<number>());
				for (const action of steps) {
					if (action.do === "write") {
						salt++;
						await write((firstPage + action.page) * PAGE_BYTES + 8, new Uint8Array(Uint32Array.of(salt).buffer));
						for (const set of oracle) set.add(firstPage + action.page);
					} else if (action.do === "encode") {
						(await guest.pages.encode(Uint32Array.of(firstPage + action.page), { compress: true })).release();
					} else {
						const cursor = cursors[action.cursor]!;
						const bits =
							action.do === "peek" ? await cursor.peek(0, guest.pages.pageCount) : (await cursor.harvest()).bits;
						for (let page = firstPage; page < firstPage + pages; page++)
							assert.is(has(bits, page), oracle[action.cursor]!.has(page), `page ${page} after ${action.do}`);
						if (action.do === "harvest") oracle[action.cursor]!.clear();
					}
				}
				for (const cursor of cursors) await cursor.close();
			}),
			{ numRuns: harness.propertyRuns },
		);
	});

	test.run();

	async function batchesPaused(guest: Guest): Promise<PageBatch[]> {
		await guest.pause({ deadlineMs: 5000 });
		const made = await batches(guest, false);
		await guest.resume();
		return made;
	}
}

async function resourcesOf(guest: Guest): Promise<Map<string, Uint8Array<ArrayBuffer>>> {
	const resources = new Map<string, Uint8Array<ArrayBuffer>>();
	for (const { hash } of guest.state.layout().resources) {
		const bytes = await guest.state.resource(hash);
		if (bytes !== undefined) resources.set(hash, bytes);
	}
	return resources;
}
