// The bytes of a v86 machine's device state: a block of what is small, and a block for each large array. A block is a batch of
// pages, so zeros cost nothing, the rest is LZ4 and hashed, and the decoder that guards memory guards this as well.
//
//   state := "v86s" │ u32 version = 2 │ u32 blocks │ blocks × ( u32 pages │ u32 byte length ) │ batch │ batch …
//   before version 2: "v86s" │ u32 1 │ u32 pages │ u32 byte length │ batch: everything is one block
//
// Block 0 always changes. The large arrays (graphics memory, buffers of disks and of the network card) hardly do: each is
// compared with what it was at the last capture, in place where it lies in the machine's memory, and an unchanged one keeps
// its bytes.
import { BatchDecoder, BatchEncoder, BatchError, batchLimitBytes } from "../../engine/batch.ts";
import { Bitmap } from "../../engine/bitmap.ts";
import { PageComparer } from "../../engine/compare.ts";
import type { Engine, Region } from "../../engine/engine.ts";
import type { GuestMemoryKernels } from "../../engine/inplace.ts";
import { GuestError, PAGE_BYTES } from "../../ports/guest.ts";

const MAGIC = 0x73363876; // "v86s", little-endian
const VERSION = 2;
const FIXED_BYTES = 12;
const PER_BLOCK_BYTES = 8;
/** 2 MiB, the most that a graphics card has here. */
const MOST_PAGES = 512;
/** A machine has 8. */
const MOST_BLOCKS = 32;
/** Of a state of version 1: one block of 4 MiB at most. */
const MOST_PAGES_1 = 1024;

const pagesOf = (byteLength: number): number => Math.ceil(byteLength / PAGE_BYTES);

/** A large array as it is. */
export interface LargeArray {
	readonly bytes: Uint8Array;
	/** Known to be what it was at the last capture. */
	readonly unchanged: boolean;
	/** Its first page in the machine's memory, where it lies there in whole pages. */
	readonly memoryPage: number | undefined;
}

/** A large array as it was last time. */
interface Kept {
	/** Where it begins in both regions, in pages. */
	readonly firstPage: number;
	readonly byteLength: number;
	batch: Uint8Array<ArrayBuffer> | undefined;
}

/** Writes states; one for each machine. */
export class StateWriter {
	readonly #engine: Engine;
	readonly #kernels: GuestMemoryKernels;
	readonly #encoder: BatchEncoder;
	readonly #comparer: PageComparer;
	#kept: Kept[] = [];
	/** The large arrays as they are, and as they were; `undefined` until the first state. */
	#regions: { readonly now: Region; readonly before: Region; readonly changed: Bitmap } | undefined;

	/** @param kernels - over the machine's memory */
	constructor(engine: Engine, kernels: GuestMemoryKernels) {
		this.#engine = engine;
		this.#kernels = kernels;
		this.#encoder = new BatchEncoder(engine, { maxPages: MOST_PAGES });
		this.#comparer = new PageComparer(engine);
	}

	/**
	 * Copies what a state is made of.
	 * @returns what makes a state of it, whatever was copied since
	 * @param small - block 0, in pieces, each where it belongs; what lies between them is zero
	 * @param large - the arrays of the other blocks: always the same ones
	 * @throws {GuestError} `state` for more than a state can hold
	 */
	copy({
		large,
		...small
	}: {
		readonly pieces: readonly { readonly at: number; readonly bytes: Uint8Array }[];
		readonly byteLength: number;
		readonly large: readonly LargeArray[];
	}): () => Uint8Array<ArrayBuffer> {
		if (
			large.length >= MOST_BLOCKS ||
			[small, ...large.map(({ bytes }) => bytes)].some(({ byteLength }) => pagesOf(byteLength) > MOST_PAGES)
		)
			throw new GuestError("state", `device state of more than ${MOST_BLOCKS} blocks of ${MOST_PAGES} pages`);
		// All of it now: the machine's memory may grow before the state is made, and then every view of it is empty.
		const batches = this.#batchesOf(large);
		const blocks = batches.map((batch, i) => ({ pages: pagesOf(large[i]!.bytes.byteLength), batch }));
		const pages = pagesOf(small.byteLength);
		const copied = new Uint8Array(pages * PAGE_BYTES);
		for (const { at, bytes } of small.pieces) copied.set(bytes, at);
		return () => {
			this.#encoder.staging(pages).set(copied);
			const first = this.#encoder.encode({ pageIndices: listOf(pages), source: { kind: "staged" }, into: "view" });
			return joined([{ pages, batch: first.bytes }, ...blocks]);
		};
	}

	#batchesOf(large: readonly LargeArray[]): Uint8Array[] {
		this.#makeRoom(large);
		return large.map((array, index) => {
			const kept = this.#kept[index]!;
			if (kept.batch === undefined || (!array.unchanged && this.#hasChanged(array, kept)))
				kept.batch = this.#encode(array, kept);
			return kept.batch;
		});
	}

	#hasChanged({ bytes, memoryPage }: LargeArray, { firstPage, byteLength }: Kept): boolean {
		const { now, before, changed } = this.#regions!;
		const pages = pagesOf(byteLength);
		if (memoryPage !== undefined) {
			const at = { shadowPage: firstPage, bit: firstPage };
			return this.#kernels.compareToShadow(before, memoryPage, pages, changed, at) > 0;
		}
		this.#engine.bytes.set(bytes, now.offset + firstPage * PAGE_BYTES);
		return this.#comparer.compare(now, before, changed, firstPage, pages) > 0;
	}

	#encode({ bytes }: LargeArray, { firstPage, byteLength }: Kept): Uint8Array<ArrayBuffer> {
		const { before } = this.#regions!;
		const pages = pagesOf(byteLength);
		const region = { offset: before.offset + firstPage * PAGE_BYTES, byteLength: pages * PAGE_BYTES };
		this.#engine.bytes.set(bytes, region.offset);
		const source = { kind: "region", region, firstPage: 0 } as const;
		return this.#encoder.encode({ pageIndices: listOf(pages), source, into: "view" }).bytes.slice();
	}

	/** A machine's arrays keep their sizes, so this has something to do once. */
	#makeRoom(large: readonly LargeArray[]): void {
		const fits = ({ byteLength }: Kept, index: number): boolean => byteLength === large[index]?.bytes.byteLength;
		if (large.length === this.#kept.length && this.#kept.every(fits)) return;
		let pages = 0;
		this.#kept = large.map(({ bytes: { byteLength } }) => {
			const firstPage = pages;
			pages += pagesOf(byteLength);
			return { firstPage, byteLength, batch: undefined };
		});
		const region = (): Region => {
			const made = this.#engine.allocate(pages * PAGE_BYTES, PAGE_BYTES);
			this.#engine.view(made).fill(0); // an array's last page need not be full
			return made;
		};
		this.#regions =
			pages === 0 ? undefined : { now: region(), before: region(), changed: new Bitmap(this.#engine, pages) };
	}
}

/** Reads states, of every version there was. */
export class StateReader {
	readonly #engine: Engine;
	#decoder: BatchDecoder | undefined;

	constructor(engine: Engine) {
		this.#engine = engine;
	}

	/**
	 * The blocks, each of whole pages.
	 * @throws {GuestError} `state`; {@link BatchError} for a block that is not what was written
	 */
	read(state: Uint8Array): { readonly version: number; readonly blocks: readonly Uint8Array<ArrayBuffer>[] } {
		// A state of either version has more.
		if (state.byteLength < FIXED_BYTES + PER_BLOCK_BYTES) throw new GuestError("state", "device state ends too early");
		const view = new DataView(state.buffer, state.byteOffset, state.byteLength);
		const word = (index: number): number => view.getUint32(index * 4, true);
		const [magic, version, count] = [word(0), word(1), word(2)];
		if (magic !== MAGIC) throw new GuestError("state", "these bytes are no device state of a v86 machine");
		if (version === 1) {
			const block = { pages: word(2), byteLength: word(3) };
			return { version, blocks: this.#read(state, [block], 16, MOST_PAGES_1) };
		}
		if (version !== VERSION) throw new GuestError("state", `device state of version ${version}, this is ${VERSION}`);
		const start = FIXED_BYTES + count * PER_BLOCK_BYTES;
		if (count === 0 || count > MOST_BLOCKS || start > state.byteLength)
			throw new GuestError("state", `device state of ${count} blocks in ${state.byteLength} bytes`);
		const blocks = Array.from({ length: count }, (_, at) => ({
			pages: word(3 + 2 * at),
			byteLength: word(4 + 2 * at),
		}));
		return { version, blocks: this.#read(state, blocks, start, MOST_PAGES) };
	}

	#read(
		state: Uint8Array,
		blocks: readonly { readonly pages: number; readonly byteLength: number }[],
		start: number,
		mostPages: number,
	): Uint8Array<ArrayBuffer>[] {
		const total = blocks.reduce((sum, { byteLength }) => sum + byteLength, start);
		const fits = blocks.every(({ pages, byteLength }) => pages <= mostPages && byteLength <= batchLimitBytes(pages));
		if (!fits || total !== state.byteLength)
			throw new GuestError("state", `device state whose blocks do not fill its ${state.byteLength} bytes`);
		this.#decoder ??= new BatchDecoder(this.#engine);
		let at = start;
		const read: Uint8Array<ArrayBuffer>[] = [];
		for (const { pages, byteLength } of blocks) {
			const unpacked = new Uint8Array(pages * PAGE_BYTES);
			const batch = this.#decoder.decode(state.subarray(at, at + byteLength), { pageCount: pages });
			if (batch.pages !== pages) throw new GuestError("state", `a block of ${pages} pages has ${batch.pages}`);
			batch.install(unpacked);
			read.push(unpacked);
			at += byteLength;
		}
		return read;
	}
}

const listOf = (pages: number): Uint32Array => Uint32Array.from({ length: pages }, (_, page) => page);

function joined(blocks: readonly { readonly pages: number; readonly batch: Uint8Array }[]): Uint8Array<ArrayBuffer> {
	const start = FIXED_BYTES + blocks.length * PER_BLOCK_BYTES;
	const state = new Uint8Array(blocks.reduce((sum, { batch }) => sum + batch.byteLength, start));
	const words = [MAGIC, VERSION, blocks.length, ...blocks.flatMap(({ pages, batch }) => [pages, batch.byteLength])];
	new Uint32Array(state.buffer, 0, words.length).set(words);
	let at = start;
	for (const { batch } of blocks) {
		state.set(batch, at);
		at += batch.byteLength;
	}
	return state;
}
