/**
 * The page table of a snapshot: for each page its hash and where its content lies, a pack and an entry of it. A page that is
 * in no pack is zero and takes nothing.
 *
 * In memory a pack is a *slot*, a number of this process (pack-registry.ts); in a manifest it is a number in the manifest's
 * own list. Tables of records:
 *
 *   0             4            8                                 + 16 × extents                  + 16 × hashes
 *   ┌─────────────┬────────────┬─────────────────────────────────┬──────────────────────────────┐
 *   │ extents u32 │ hashes u32 │ extents, 16 bytes each          │ XXH3-128 of each page that   │
 *   │             │            │ first page u32 · pages u32      │ is in a pack, in order       │
 *   │             │            │ pack u32 · first entry u32      │                              │
 *   └─────────────┴────────────┴─────────────────────────────────┴──────────────────────────────┘
 *
 *   pack 0xffffffff: these pages are zero (only in a delta, where the table below has them in a pack)
 *
 * Extents ascend without overlap, within a record and from one to the next. A delta names the pages that differ from the
 * table it builds on; a page beyond that table's size counts as zero there.
 */
import type { Engine } from "../engine/engine.ts";
import { HASH_BYTES, hash128 } from "../engine/hash.ts";
import { PAGE_BYTES, type PageBits } from "../ports/guest.ts";
import { PageHashTable } from "../wire/digest.ts";
import { type Place, SnapshotError } from "./image-error.ts";
import { MAX_TABLE_RECORD_BYTES } from "./image-limits.ts";

/** Instead of a pack's number: the pages are zero. */
const ZERO_PAGES = 0xffff_ffff;
const PREFIX_BYTES = 8;
const EXTENT_BYTES = 16;
/** Pages of one record at most: their hashes fill half of it, extents of single pages the other half. */
const RECORD_PAGES: number = MAX_TABLE_RECORD_BYTES / (HASH_BYTES + EXTENT_BYTES) - 1;

/** Where a page's content lies. */
export interface Location {
	readonly slot: number;
	readonly entry: number;
}

/** Turns a pack's slot into its number in a manifest's list. */
export type PackNumbering = (slot: number) => number;

/** A pack of a manifest's list: its slot, and how many entries it has. */
export interface TablePack {
	readonly slot: number;
	readonly entries: number;
}

/** See the head of this file. */
export class PageTable {
	/** Hashes of all pages, zero ones included. */
	readonly hashes: PageHashTable;
	readonly #zeroHash: Uint8Array<ArrayBuffer>;
	/** Slot + 1 by page; 0: the page is zero. */
	#slots: Uint32Array<ArrayBuffer>;
	#entries: Uint32Array<ArrayBuffer>;

	/** @param engine - for hashes; the table itself lies outside. */
	constructor(engine: Engine, pageCount: number) {
		this.hashes = new PageHashTable(engine, pageCount);
		this.#zeroHash = hash128(engine, new Uint8Array(PAGE_BYTES));
		this.#slots = new Uint32Array(pageCount);
		this.#entries = new Uint32Array(pageCount);
	}

	get pageCount(): number {
		return this.hashes.pageCount;
	}

	/** What the table itself costs. */
	get byteLength(): number {
		return this.hashes.byteLength + this.#slots.byteLength + this.#entries.byteLength;
	}

	/** Adds zero pages at the end. A smaller number changes nothing. */
	grow(pageCount: number): void {
		if (pageCount <= this.pageCount) return;
		this.hashes.grow(pageCount);
		this.#slots = grown(this.#slots, pageCount);
		this.#entries = grown(this.#entries, pageCount);
	}

	/** A table of its own with the same pages. */
	copy(engine: Engine): PageTable {
		const copy = new PageTable(engine, 0);
		copy.grow(this.pageCount);
		copy.hashes.set(range(0, this.pageCount), this.hashes.rangeBytes(0, this.pageCount));
		copy.#slots.set(this.#slots);
		copy.#entries.set(this.#entries);
		return copy;
	}

	/** Where a page lies; `undefined` for a zero page. */
	locate(page: number): Location | undefined {
		const slot = this.#slots[page] ?? 0;
		return slot === 0 ? undefined : { slot: slot - 1, entry: this.#entries[page]! };
	}

	/** Notes where pages lie. @param hashes - 16 bytes a page. */
	place(pageIndices: Uint32Array, hashes: Uint8Array, locations: readonly (Location | undefined)[]): void {
		this.hashes.set(pageIndices, hashes);
		for (let i = 0; i < pageIndices.length; i++) {
			const location = locations[i];
			this.#slots[pageIndices[i]!] = location === undefined ? 0 : location.slot + 1;
			this.#entries[pageIndices[i]!] = location?.entry ?? 0;
		}
	}

	/** Moves pages to where they lie now; their contents stay. */
	relocate(at: (location: Location) => Location | undefined): void {
		for (let page = 0; page < this.pageCount; page++) {
			const from = this.locate(page);
			const to = from === undefined ? undefined : at(from);
			if (to === undefined) continue;
			this.#slots[page] = to.slot + 1;
			this.#entries[page] = to.entry;
		}
	}

	/** Pages that are in a pack. */
	countStored(): number {
		let count = 0;
		for (const slot of this.#slots) if (slot !== 0) count++;
		return count;
	}

	/** One bit for each page that is in a pack. */
	storedBits(): PageBits {
		const bits = new Uint8Array(Math.ceil(this.pageCount / 8));
		for (let page = 0; page < this.pageCount; page++) if (this.#slots[page] !== 0) bits[page >>> 3]! |= 1 << (page & 7);
		return bits;
	}

	/**
	 * Pages whose contents differ, by their hashes; a page that one of the two does not have counts as zero there.
	 * @returns one bit a page, of the larger guest.
	 */
	differences(other: PageTable): PageBits {
		const shared = Math.min(this.pageCount, other.pageCount);
		const larger = this.pageCount > shared ? this : other;
		const bits = new Uint8Array(Math.ceil(larger.pageCount / 8));
		const add = (page: number) => {
			bits[page >>> 3]! |= 1 << (page & 7);
		};
		for (const page of this.hashes.differences(0, other.hashes.rangeBytes(0, shared))) add(page);
		for (let page = shared; page < larger.pageCount; page++) if (larger.#slots[page] !== 0) add(page);
		return bits;
	}

	/** Slots of all packs in use, ascending, with the entries that are. */
	usedEntries(): Map<number, { page: number; entry: number }[]> {
		const used = new Map<number, { page: number; entry: number }[]>();
		for (let page = 0; page < this.pageCount; page++) {
			const slot = this.#slots[page]! - 1;
			if (slot < 0) continue;
			const list = used.get(slot);
			const item = { page, entry: this.#entries[page]! };
			if (list === undefined) used.set(slot, [item]);
			else list.push(item);
		}
		return new Map([...used].sort(([a], [b]) => a - b));
	}

	/**
	 * The table as payloads of table records: all of it, or what differs from `base`.
	 * @param numberOf - called for each pack that the records name.
	 */
	encode(numberOf: PackNumbering, base?: PageTable): Uint8Array<ArrayBuffer>[] {
		const records: Uint8Array<ArrayBuffer>[] = [];
		let extents: number[] = [];
		let pages: number[] = [];
		let weight = 0;
		const finish = () => {
			if (extents.length > 0) records.push(this.#encodeRecord(extents, pages));
			extents = [];
			pages = [];
			weight = 0;
		};
		for (let page = 0; page < this.pageCount; page++) {
			const slot = this.#slots[page]!;
			const entry = this.#entries[page]!;
			const isKnown = base === undefined ? slot === 0 : base.#isAt(page, slot, entry);
			if (isKnown) continue;
			if (weight >= RECORD_PAGES) finish();
			weight++;
			if (slot !== 0) pages.push(page);
			const last = extents.length - 4;
			const pack = slot === 0 ? ZERO_PAGES : numberOf(slot - 1);
			const follows =
				last >= 0 &&
				extents[last + 2] === pack &&
				extents[last]! + extents[last + 1]! === page &&
				(slot === 0 || extents[last + 3]! + extents[last + 1]! === entry);
			if (follows) extents[last + 1]!++;
			else extents.push(page, 1, pack, slot === 0 ? 0 : entry);
		}
		finish();
		return records;
	}

	/**
	 * Applies table records, those of the full table first.
	 * @throws {SnapshotError} `corrupt` naming record and page; the table is then of no use.
	 */
	decode(payload: Uint8Array, packs: readonly TablePack[], start: number, place: Place): number {
		const view = new DataView(payload.buffer, payload.byteOffset, payload.byteLength);
		const fail = (message: string, pageIndex?: number): never => {
			throw new SnapshotError("corrupt", message, pageIndex === undefined ? place : { ...place, pageIndex });
		};
		if (payload.byteLength < PREFIX_BYTES) return fail("is shorter than its prefix");
		const extents = view.getUint32(0, true);
		const hashes = view.getUint32(4, true);
		if (payload.byteLength !== PREFIX_BYTES + extents * EXTENT_BYTES + hashes * HASH_BYTES)
			return fail("has another length than its counts say");
		let hashAt = PREFIX_BYTES + extents * EXTENT_BYTES;
		let next = start;
		for (let i = 0; i < extents; i++) {
			const at = PREFIX_BYTES + i * EXTENT_BYTES;
			const [first, count, pack, entry] = [0, 4, 8, 12].map((word) => view.getUint32(at + word, true));
			const end = first! + count!;
			if (first! < next || count === 0 || end > this.pageCount)
				return fail("extents overlap or leave the guest", first);
			next = end;
			if (pack === ZERO_PAGES) {
				this.#clear(first!, count!);
				continue;
			}
			const from = packs[pack!];
			if (from === undefined || entry! + count! > from.entries) return fail("names an entry that no pack has", first);
			const hashEnd = hashAt + count! * HASH_BYTES;
			if (hashEnd > payload.byteLength) return fail("has too few hashes", first);
			this.#assign(first!, payload.subarray(hashAt, hashEnd), from.slot, entry!);
			hashAt = hashEnd;
		}
		if (hashAt !== payload.byteLength) return fail("has too many hashes");
		return next;
	}

	#isAt(page: number, slot: number, entry: number): boolean {
		return page < this.pageCount
			? this.#slots[page] === slot && (slot === 0 || this.#entries[page] === entry)
			: slot === 0;
	}

	#assign(first: number, hashes: Uint8Array, slot: number, entry: number): void {
		const count = hashes.byteLength / HASH_BYTES;
		this.hashes.set(range(first, count), hashes);
		this.#slots.fill(slot + 1, first, first + count);
		for (let i = 0; i < count; i++) this.#entries[first + i] = entry + i;
	}

	#clear(first: number, count: number): void {
		for (let page = first; page < first + count; page++) {
			if (this.#slots[page] === 0) continue;
			this.hashes.set(Uint32Array.of(page), this.#zeroHash);
			this.#slots[page] = 0;
			this.#entries[page] = 0;
		}
	}

	#encodeRecord(extents: readonly number[], pages: readonly number[]): Uint8Array<ArrayBuffer> {
		const count = extents.length / 4;
		const payload = new Uint8Array(PREFIX_BYTES + count * EXTENT_BYTES + pages.length * HASH_BYTES);
		const words = new Uint32Array(payload.buffer);
		words[0] = count;
		words[1] = pages.length;
		words.set(extents, PREFIX_BYTES / 4);
		let at = PREFIX_BYTES + count * EXTENT_BYTES;
		for (let i = 0; i < pages.length; ) {
			let run = 1;
			while (pages[i + run] === pages[i]! + run) run++;
			payload.set(this.hashes.rangeBytes(pages[i]!, run), at);
			at += run * HASH_BYTES;
			i += run;
		}
		return payload;
	}
}

function range(first: number, count: number): Uint32Array<ArrayBuffer> {
	const pages = new Uint32Array(count);
	for (let i = 0; i < count; i++) pages[i] = first + i;
	return pages;
}

function grown(from: Uint32Array, length: number): Uint32Array<ArrayBuffer> {
	const to = new Uint32Array(length);
	to.set(from);
	return to;
}
