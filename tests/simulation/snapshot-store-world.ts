// A guest whose memory is known, saved into a snapshot store and compared with what comes out of it.
import * as assert from "uvu/assert";
import { MemoryGuest } from "../../bindings/guests/memory/memory-guest.ts";
import type { SeededRandom } from "../../bindings/lab/seeded-random.ts";
import { MAX_BATCH_PAGES, PAGE_BYTES } from "../../bindings/ports/guest.ts";
import type { BeginOptions, SnapshotInfo, SnapshotStore, SnapshotWriter } from "../../bindings/snapshot/store.ts";

/** What a page may be filled with: nothing, noise, noise and zeros, a few words again and again. */
function pageOf(random: SeededRandom): Uint8Array<ArrayBuffer> {
	const page = new Uint8Array(PAGE_BYTES);
	const kind = random.nextU32() % 4;
	if (kind === 0) return page;
	if (kind === 1) return random.fill(page);
	if (kind === 2) return random.fill(page).fill(0, random.nextU32() % PAGE_BYTES);
	const word = random.nextU32() % 16;
	return page.map((_, i) => (i % 7 === 0 ? word + 1 : i % 5));
}

/** A running guest of so many pages, filled from the seed. */
export function guestOf(random: SeededRandom, pageCount: number, maximumPageCount = pageCount): MemoryGuest {
	const guest = new MemoryGuest({ pageCount, maximumPageCount, facts: { program: "test" } });
	for (let page = 0; page < pageCount; page++) guest.write(page * PAGE_BYTES, pageOf(random));
	guest.setState(random.fill(new Uint8Array(random.nextU32() % 200)));
	return guest;
}

/** All pages, or those that are given, into a writer. */
export async function acceptPages(
	writer: SnapshotWriter,
	guest: MemoryGuest,
	pages: readonly number[] = Array.from({ length: guest.pageCount }, (_, page) => page),
	batchPages = MAX_BATCH_PAGES,
): Promise<void> {
	for (let from = 0; from < pages.length; from += batchPages) {
		const batch = await guest.pages.encode(Uint32Array.from(pages.slice(from, from + batchPages)), { compress: true });
		await writer.accept(batch, new AbortController().signal);
		batch.release();
	}
}

/** Saves a guest, whole or on top of a parent. */
export async function save(
	store: SnapshotStore,
	guest: MemoryGuest,
	options: Partial<BeginOptions> & { readonly pages?: readonly number[]; readonly batchPages?: number } = {},
): Promise<SnapshotInfo> {
	const { pages, batchPages, ...begin } = options;
	const writer = await store.begin({ layout: guest.state.layout(), ...begin });
	try {
		await acceptPages(writer, guest, pages, batchPages);
		return await writer.commit({ state: guest.getState() });
	} catch (error) {
		await writer.abort();
		throw error;
	}
}

/** What a guest's memory and state are: what must come back. */
export interface Remembered {
	readonly memory: Uint8Array;
	readonly state: Uint8Array;
}

export const remember = (guest: MemoryGuest): Remembered => ({
	memory: guest.read(0, guest.pageCount * PAGE_BYTES),
	state: guest.getState(),
});

/** Restores a snapshot into a fresh guest, by all its batches. */
export async function restoreAll(store: SnapshotStore, id: string): Promise<MemoryGuest> {
	const reader = await store.open(id);
	const guest = new MemoryGuest({ pageCount: reader.layout.pageCount }, "paused");
	for await (const batch of reader.batches()) await guest.pages.apply(batch);
	await guest.state.restore(reader.state());
	return guest;
}

/** Restores a snapshot page by page, in chunks. */
export async function restoreByPages(store: SnapshotStore, id: string, chunk = 7): Promise<MemoryGuest> {
	const reader = await store.open(id);
	const guest = new MemoryGuest({ pageCount: reader.layout.pageCount }, "paused");
	for (let first = 0; first < guest.pageCount; first += chunk) {
		const pages = Uint32Array.from({ length: Math.min(chunk, guest.pageCount - first) }, (_, i) => first + i);
		await guest.pages.apply(await reader.pages(pages));
	}
	await guest.state.restore(reader.state());
	return guest;
}

/** The guest is what was remembered, byte by byte. */
export function assertIs(guest: MemoryGuest, expected: Remembered, what = ""): void {
	assert.is(guest.pageCount * PAGE_BYTES, expected.memory.byteLength, `${what}: size`);
	const found = guest.read(0, guest.pageCount * PAGE_BYTES);
	const wrong = found.findIndex((byte, i) => byte !== expected.memory[i]);
	assert.is(wrong, -1, `${what}: page ${Math.floor(wrong / PAGE_BYTES)} differs`);
	assert.equal(guest.getState(), expected.state, `${what}: state`);
}
