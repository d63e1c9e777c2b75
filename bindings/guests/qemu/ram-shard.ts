// A part of a QEMU guest's RAM file and its shadow, in one thread: pages are read from the file straight into the engine's
// memory, in pieces of 64, and compared, hashed, encoded and decoded there.
//
//   RAM file ── read 256 KiB ──▶ piece ── compare ──▶ shadow ── encode ──▶ batch
//                                  └───── copy what changed ──▲
//
// Invariant: what differs is copied to the shadow from the very piece that was compared, never from the file again: QEMU
// may write the file at any time. Pages that were never written to the file are not written to be zero: holes stay holes.
import { BatchDecoder, BatchEncoder } from "../../engine/batch.ts";
import { Bitmap } from "../../engine/bitmap.ts";
import { PageComparer } from "../../engine/compare.ts";
import { createEngine, type Engine, type Region } from "../../engine/engine.ts";
import { HASH_BYTES, PageHasher } from "../../engine/hash.ts";
import { ZeroScanner } from "../../engine/zero.ts";
import { PAGE_BYTES } from "../../ports/guest.ts";
import type { PageFile } from "../../ports/host-files.ts";
import { bitsByteLength, forEachRun, setBits } from "../page-bits.ts";
import { ScanTracker, type ShadowedMemory, STEP_PAGES } from "../scan-tracker.ts";
import type { PageMap } from "./page-map.ts";
import { RamLook } from "./ram-look.ts";
import type { ShardFacts } from "./ram-protocol.ts";

/** What techniques ask for at a time. */
const STAGED_PAGES = 512;

/** What the work on a shard needs; dropped with the shadow, because engines give nothing back. */
interface Bench {
	readonly engine: Engine;
	readonly encoder: BatchEncoder;
	readonly comparer: PageComparer;
	readonly hasher: PageHasher;
	readonly zeros: ZeroScanner;
	/** {@link STEP_PAGES} pages of the file. */
	readonly piece: Region;
	readonly changed: Bitmap;
}

/** See the head of this file. */
export class RamShard implements ShadowedMemory {
	readonly tracker: ScanTracker;
	/** Which pages the tracker has to read. */
	readonly look: RamLook;
	readonly #file: PageFile;
	readonly #facts: ShardFacts;
	/** Pages of the whole file that we have written, and since the last look: see ram-look.ts. */
	readonly #written: Uint8Array;
	readonly #fresh: Uint8Array;
	#bench: Bench | undefined;
	#shadow: Region | undefined;
	/** Which pages of the shard the piece holds. */
	#pieceFirst = 0;
	#pieceCount = 0;
	#decoder: BatchDecoder | undefined;

	constructor(file: PageFile, map: PageMap | undefined, facts: ShardFacts) {
		this.#file = file;
		this.#facts = facts;
		this.#written = new Uint8Array(facts.written);
		this.#fresh = new Uint8Array(facts.fresh);
		this.tracker = new ScanTracker(this);
		const zeroShadows = (firstPage: number, pageCount: number) => this.#zeroShadows(firstPage, pageCount);
		this.look = new RamLook({ facts, file, map, zeroShadows });
	}

	get pageCount(): number {
		return this.#facts.pageCount;
	}

	get shadowPageCount(): number {
		return this.#shadow === undefined ? 0 : this.#facts.pageCount;
	}

	extend(): void {
		this.#pieceCount = 0;
		this.#shadow ??= this.#work.engine.allocate(this.#facts.pageCount * PAGE_BYTES, PAGE_BYTES);
	}

	compare(firstPage: number, pageCount: number, changed: Uint8Array): number {
		const { engine, comparer, piece, changed: bits } = this.#work;
		const byteLength = pageCount * PAGE_BYTES;
		const now = { offset: piece.offset, byteLength };
		const before = { offset: this.#shadow!.offset + firstPage * PAGE_BYTES, byteLength };
		this.#pieceFirst = firstPage;
		this.#pieceCount = pageCount;
		bits.clearAll();
		let count = 0;
		const look = (first: number, pages: number): void => {
			const room = engine.bytes.subarray(now.offset + first * PAGE_BYTES, now.offset + (first + pages) * PAGE_BYTES);
			this.#file.read(room, (this.#facts.firstPage + firstPage + first) * PAGE_BYTES);
			this.look.noteRead(pages);
			count += comparer.compare(now, before, bits, first, pages);
		};
		const wanted = this.look.wanted(firstPage, pageCount);
		// What changed is copied from the piece: of the pages that were not read none has.
		if (wanted === undefined) look(0, pageCount);
		else forEachRun(wanted, pageCount, look);
		if (count > 0) {
			const { offset } = bits.region;
			changed.set(engine.bytes.subarray(offset, offset + bitsByteLength(pageCount)));
		}
		return count;
	}

	copy(firstPage: number, pageCount: number): void {
		const { engine, piece } = this.#work;
		this.look.noteCopied(firstPage, pageCount);
		const to = this.#shadow!.offset + firstPage * PAGE_BYTES;
		const at = firstPage - this.#pieceFirst;
		if (at >= 0 && at + pageCount <= this.#pieceCount) {
			const from = piece.offset + at * PAGE_BYTES;
			engine.bytes.copyWithin(to, from, from + pageCount * PAGE_BYTES);
		} else {
			const room = engine.bytes.subarray(to, to + pageCount * PAGE_BYTES);
			this.#file.read(room, (this.#facts.firstPage + firstPage) * PAGE_BYTES);
		}
	}

	detach(): void {
		this.#bench?.engine.dispose();
		this.#bench = undefined;
		this.#shadow = undefined;
		this.#pieceCount = 0;
	}

	/** Encodes pages of the guest into `into`; `foreign` has the contents of those that are not of this shard, unless `still`. */
	encode(
		pageIndices: Uint32Array,
		options: {
			readonly compress: boolean;
			/** The machine is paused: read the file, whatever the shadow has. */
			readonly still: boolean;
			readonly into: Uint8Array;
			readonly foreign: Uint8Array | undefined;
		},
	): { readonly byteLength: number; readonly checksum: bigint; readonly zeroPages: number } {
		const { encoder } = this.#work;
		const { compress, still, into, foreign } = options;
		const region = still ? undefined : this.#shadow;
		if (region !== undefined && foreign === undefined)
			return encoder.encode({
				...{ pageIndices, compress, into },
				source: { kind: "region", region, firstPage: this.#facts.firstPage },
			});
		const room = encoder.staging(pageIndices.length);
		let taken = 0;
		for (let position = 0; position < pageIndices.length; ) {
			const count = this.#runLength(pageIndices, position);
			const bytes = room.subarray(position * PAGE_BYTES, (position + count) * PAGE_BYTES);
			if (foreign === undefined || this.#owns(pageIndices[position]!)) this.#take(pageIndices[position]!, still, bytes);
			else {
				bytes.set(foreign.subarray(taken, taken + bytes.byteLength));
				taken += bytes.byteLength;
			}
			position += count;
		}
		return encoder.encode({ pageIndices, compress, into, source: { kind: "staged" } });
	}

	/** Copies the contents of pages of this shard, in the list's order: what an encoder may read while the machine runs. */
	contents(pageIndices: Uint32Array, into: Uint8Array): void {
		for (let position = 0; position < pageIndices.length; ) {
			const count = this.#runLength(pageIndices, position);
			this.#take(pageIndices[position]!, false, into.subarray(position * PAGE_BYTES, (position + count) * PAGE_BYTES));
			position += count;
		}
	}

	/** Decodes, verifies and writes a batch for the whole guest. @throws {BatchError}: nothing was written */
	apply(bytes: Uint8Array, checksum: bigint): Uint32Array<ArrayBuffer> {
		this.#decoder ??= new BatchDecoder(createEngine());
		const batch = this.#decoder.decode(bytes, { pageCount: this.#facts.guestPages, checksum });
		batch.forEachRun((firstPage, pages, contents) => {
			if (contents === undefined) return this.#clear(firstPage, pages);
			this.#file.write(contents, firstPage * PAGE_BYTES);
			setBits(this.#written, firstPage, pages);
			setBits(this.#fresh, firstPage, pages);
		});
		return batch.pageIndices();
	}

	/** Which pages of the shard are all zero: by the shadow while there is one and the machine runs, else by the file as it is now. */
	zeros(still: boolean): Uint8Array<ArrayBuffer> {
		const { engine, zeros, piece, changed: bits } = this.#work;
		const { firstPage, pageCount } = this.#facts;
		const result = new Uint8Array(bitsByteLength(pageCount));
		const shadow = still ? undefined : this.#shadow;
		if (shadow === undefined) this.#pieceCount = 0;
		for (let page = 0; page < pageCount; page += STEP_PAGES) {
			const count = Math.min(STEP_PAGES, pageCount - page);
			const byteLength = count * PAGE_BYTES;
			let region: Region = { offset: piece.offset, byteLength };
			if (shadow === undefined) this.#file.read(engine.view(region), (firstPage + page) * PAGE_BYTES);
			else region = { offset: shadow.offset + page * PAGE_BYTES, byteLength };
			bits.clearAll();
			if (zeros.scan(region, bits, 0, count) === 0) continue;
			const { offset } = bits.region;
			result.set(engine.bytes.subarray(offset, offset + bitsByteLength(count)), page / 8);
		}
		return result;
	}

	/** XXH3-128 of pages as they are in the file now, 16 bytes each. */
	hashes(firstPage: number, pageCount: number): Uint8Array<ArrayBuffer> {
		const { engine, hasher, piece } = this.#work;
		const result = new Uint8Array(pageCount * HASH_BYTES);
		this.#pieceCount = 0;
		for (let done = 0; done < pageCount; done += STEP_PAGES) {
			const count = Math.min(STEP_PAGES, pageCount - done);
			this.#file.read(engine.view(piece).subarray(0, count * PAGE_BYTES), (firstPage + done) * PAGE_BYTES);
			result.set(hasher.hashPages(piece, 0, count), done * HASH_BYTES);
		}
		return result;
	}

	get #work(): Bench {
		if (this.#bench !== undefined) return this.#bench;
		const engine = createEngine();
		const encoder = new BatchEncoder(engine);
		// Now, and touched: in a pause the memory's growth would start a garbage collection of some 5 ms.
		encoder.staging(Math.min(STAGED_PAGES, this.#facts.guestPages)).fill(0);
		this.#bench = {
			engine,
			encoder,
			comparer: new PageComparer(engine),
			hasher: new PageHasher(engine),
			zeros: new ZeroScanner(engine),
			piece: engine.allocate(STEP_PAGES * PAGE_BYTES, PAGE_BYTES),
			changed: new Bitmap(engine, STEP_PAGES),
		};
		return this.#bench;
	}

	#owns(pageIndex: number): boolean {
		const { firstPage, pageCount } = this.#facts;
		return pageIndex >= firstPage && pageIndex < firstPage + pageCount;
	}

	/** Consecutive pages from this position on that are all of this shard, or none. */
	#runLength(pageIndices: Uint32Array, position: number): number {
		const first = pageIndices[position]!;
		const own = this.#owns(first);
		let count = 1;
		while (pageIndices[position + count] === first + count && this.#owns(first + count) === own) count++;
		return count;
	}

	/** What an encoder may read: the shadow while there is one and the machine runs, else the file, once. */
	#take(firstPage: number, still: boolean, into: Uint8Array): void {
		if (!still && this.#shadow !== undefined && this.#owns(firstPage)) {
			const from = this.#shadow.offset + (firstPage - this.#facts.firstPage) * PAGE_BYTES;
			into.set(this.#work.engine.bytes.subarray(from, from + into.byteLength));
		} else this.#file.read(into, firstPage * PAGE_BYTES);
	}

	#clear(firstPage: number, pageCount: number): void {
		for (let page = firstPage; page < firstPage + pageCount; page++) {
			if (((this.#written[page >>> 3]! >>> (page & 7)) & 1) === 0) continue;
			this.#file.write(ZEROS, page * PAGE_BYTES);
			setBits(this.#fresh, page, 1);
		}
	}

	/** Which pages of a run have a zero shadow. */
	#zeroShadows(firstPage: number, pageCount: number): Uint8Array {
		const { engine, zeros, changed: bits } = this.#work;
		const found = new Uint8Array(bitsByteLength(pageCount));
		for (let page = 0; page < pageCount; page += STEP_PAGES) {
			const count = Math.min(STEP_PAGES, pageCount - page);
			const offset = this.#shadow!.offset + (firstPage + page) * PAGE_BYTES;
			bits.clearAll();
			if (zeros.scan({ offset, byteLength: count * PAGE_BYTES }, bits, 0, count) === 0) continue;
			const at = bits.region.offset;
			found.set(engine.bytes.subarray(at, at + bitsByteLength(count)), page / 8);
		}
		return found;
	}
}

const ZEROS = new Uint8Array(PAGE_BYTES);
