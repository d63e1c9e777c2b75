// Random lives of a snapshot store against an oracle that simply remembers what the guest was: whole and incremental
// snapshots by every technique, growth, deletions, prunes that pack anew, exports, and a store that is opened again.
import fc from "fast-check";
import { suite } from "uvu";
import * as assert from "uvu/assert";
import { MemoryGuest } from "../../bindings/guests/memory/memory-guest.ts";
import { MemoryStore } from "../../bindings/lab/memory-store.ts";
import { SeededRandom } from "../../bindings/lab/seeded-random.ts";
import { openFolder } from "../../bindings/platform/open-folder.ts";
import { systemClock } from "../../bindings/platform/system-clock.ts";
import { PAGE_BYTES } from "../../bindings/ports/guest.ts";
import type { Store } from "../../bindings/ports/store.ts";
import { improvedLiveSave, liveSave } from "../../bindings/snapshot/live-save.ts";
import { type SaveResult, save } from "../../bindings/snapshot/save.ts";
import { SnapshotSeries } from "../../bindings/snapshot/series.ts";
import { SnapshotStore } from "../../bindings/snapshot/store.ts";
import { UnsyncedFiles } from "../simulation/snapshot-store-unsynced.ts";
import { assertIs, type Remembered, remember, restoreAll, restoreByPages } from "../simulation/snapshot-store-world.ts";

const test = suite("chains of snapshots");

const FIRST_PAGES = 24;
const MOST_PAGES = 40;
const clock = systemClock;

/** One thing that happens. Numbers are taken modulo what there is. */
type Act =
	| { readonly kind: "write"; readonly pages: readonly number[]; readonly seed: number }
	| { readonly kind: "clear" | "copy"; readonly page: number; readonly from: number }
	| { readonly kind: "grow"; readonly by: number }
	| { readonly kind: "save" | "live" | "improved" | "series-save" | "series-live" | "new-series" | "reopen" }
	| { readonly kind: "delete" | "export" | "check"; readonly which: number }
	| { readonly kind: "prune"; readonly repackBelow: number; readonly keep: number };

const number = fc.nat(1000);
const act: fc.Arbitrary<Act> = fc.oneof(
	fc.record({ kind: fc.constant("write" as const), pages: fc.array(number, { maxLength: 6 }), seed: number }),
	fc.record({ kind: fc.constantFrom("clear" as const, "copy" as const), page: number, from: number }),
	fc.record({ kind: fc.constant("grow" as const), by: fc.integer({ min: 1, max: 4 }) }),
	{ weight: 3, arbitrary: fc.record({ kind: fc.constantFrom("series-save" as const, "series-live" as const) }) },
	fc.record({ kind: fc.constantFrom("save" as const, "live" as const, "improved" as const) }),
	fc.record({ kind: fc.constantFrom("new-series" as const, "reopen" as const) }),
	{
		weight: 2,
		arbitrary: fc.record({
			kind: fc.constantFrom("delete" as const, "export" as const, "check" as const),
			which: number,
		}),
	},
	fc.record({ kind: fc.constant("prune" as const), repackBelow: fc.constantFrom(0, 0.3, 0.7, 1), keep: number }),
);

/** A store, its guest, and what every snapshot must come back as. */
class Life {
	readonly #store: Store;
	readonly #random: SeededRandom;
	readonly #guest = new MemoryGuest({ pageCount: FIRST_PAGES, maximumPageCount: MOST_PAGES });
	readonly #kept = new Map<string, Remembered>();
	#snapshots: SnapshotStore;
	#series: SnapshotSeries | undefined;

	constructor(store: Store, seed: number) {
		this.#store = store;
		this.#random = new SeededRandom(seed);
		this.#snapshots = this.#open();
	}

	async live(acts: readonly Act[]): Promise<void> {
		for (const one of acts) await this.#do(one);
		await this.#do({ kind: "series-live" });
		await this.#do({ kind: "prune", repackBelow: 1, keep: 1000 });
		await this.#series?.close();
		await this.#checkAll();
	}

	#open(): SnapshotStore {
		return new SnapshotStore(this.#store, { clock, random: this.#random });
	}

	async #do(one: Act): Promise<void> {
		const guest = this.#guest;
		const services = { guest, store: this.#snapshots, clock };
		const at = (page: number) => (page % guest.pageCount) * PAGE_BYTES;
		switch (one.kind) {
			case "write":
				for (const page of one.pages)
					guest.write(at(page), new SeededRandom(one.seed % 7).fill(new Uint8Array(1 + (page % 300))));
				guest.setState(Uint8Array.of(one.seed, one.pages.length));
				return;
			case "clear":
				return guest.write(at(one.page), new Uint8Array(PAGE_BYTES));
			case "copy":
				return guest.write(at(one.page), guest.read(at(one.from), PAGE_BYTES));
			case "grow":
				return guest.growMemory(Math.min(MOST_PAGES, guest.pageCount + one.by));
			case "save":
				return this.#keep(save(services));
			case "live":
				return this.#keep(liveSave(services));
			case "improved":
				return this.#keep(improvedLiveSave(services));
			case "series-save":
				this.#series ??= await SnapshotSeries.open(services);
				return this.#keep(this.#series.save());
			case "series-live":
				this.#series ??= await SnapshotSeries.open(services);
				return this.#keep(this.#series.liveSave());
			case "new-series":
				await this.#series?.close();
				this.#series = undefined;
				return;
			case "reopen":
				await this.#series?.close();
				this.#series = undefined;
				this.#snapshots = this.#open();
				return;
			case "delete":
				return this.#delete(this.#idOf(one.which));
			case "export":
				return this.#export(this.#idOf(one.which));
			case "check":
				return this.#check(this.#idOf(one.which));
			case "prune":
				return this.#prune(one.repackBelow, one.keep);
		}
	}

	#idOf(which: number): string | undefined {
		return [...this.#kept.keys()][which % Math.max(1, this.#kept.size)];
	}

	async #keep(saving: Promise<SaveResult>): Promise<void> {
		let result: SaveResult;
		try {
			result = await saving;
		} catch (error) {
			// A series whose parent was deleted says so once, and is whole the next time.
			assert.ok(this.#series !== undefined && !this.#kept.has(this.#series.parent?.id ?? ""), String(error));
			return;
		}
		this.#kept.set(result.snapshot.id, remember(this.#guest));
	}

	async #delete(id: string | undefined): Promise<void> {
		if (id === undefined) return;
		await this.#snapshots.delete(id);
		this.#kept.delete(id);
	}

	async #export(id: string | undefined): Promise<void> {
		if (id === undefined) return;
		const chunks: Uint8Array[] = [];
		for await (const chunk of this.#snapshots.export(id)) chunks.push(chunk.slice());
		const other = new SnapshotStore(new MemoryStore(), { clock, random: this.#random });
		const { id: imported } = await other.import(chunks);
		assertIs(await restoreAll(other, imported), this.#kept.get(id)!, `imported from ${id}`);
	}

	async #check(id: string | undefined): Promise<void> {
		if (id === undefined) return;
		const expected = this.#kept.get(id)!;
		await this.#snapshots.verify(id);
		assertIs(await restoreAll(this.#snapshots, id), expected, id);
		assertIs(await restoreByPages(this.#open(), id), expected, `${id}, page by page`);
	}

	async #prune(repackBelow: number, keep: number): Promise<void> {
		const ids = [...this.#kept.keys()].slice(-keep);
		await this.#snapshots.prune({ keep: ids, repackBelow, deadWriters: "all" });
		for (const id of [...this.#kept.keys()]) if (!ids.includes(id)) this.#kept.delete(id);
	}

	async #checkAll(): Promise<void> {
		const listed = (await this.#open().list()).map(({ id }) => id);
		assert.equal([...listed].sort(), [...this.#kept.keys()].sort());
		for (const id of listed) await this.#check(id);
	}
}

for (const [name, open] of [
	["memory store", async () => new MemoryStore()],
	["folder store", async () => openFolder(new UnsyncedFiles(new SeededRandom(1)).process().files, "/store")],
] as const)
	test(`whatever happens to a chain in a ${name}, each snapshot comes back as it was`, async () => {
		await fc.assert(
			fc.asyncProperty(fc.array(act, { minLength: 10, maxLength: 40, size: "max" }), fc.nat(), async (acts, seed) => {
				await new Life(await open(), seed).live(acts);
			}),
			{ numRuns: 30 },
		);
	});

test.run();
