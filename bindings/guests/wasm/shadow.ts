// The shadow copy of a wasm guest's memory: engine memory, in shards, so that no byte offset beyond 4 GiB enters a kernel
// and a guest of 4 GiB can be tracked at all. Each shard is an engine of its own, with the encoder that reads from it.
//
//   shard s: pages s × SHARD_PAGES …      [ encoder's regions │ bits of one step │ shadow, grows at the end ]
//
// Invariant: nothing else takes memory from a shard's engine once its shadow has begun, so the shadow has no gap.
import { BatchEncoder, batchLimitBytes } from "../../engine/batch.ts";
import { Bitmap } from "../../engine/bitmap.ts";
import { createEngine, type Engine, type Region } from "../../engine/engine.ts";
import { GuestMemoryKernels } from "../../engine/inplace.ts";
import { HEAP_OFFSET } from "../../engine/layout.ts";
import { GuestError, PAGE_BYTES } from "../../ports/guest.ts";
import { type ShadowedMemory, STEP_PAGES } from "../scan-tracker.ts";
import type { CompiledEngine } from "./compiled-engine.ts";

/** 1 GiB: four engines hold the largest guest, and one holds every guest up to 1 GiB. */
const SHARD_PAGES = 2 ** 18;

/** How a shadow is kept. */
export interface ShadowOptions {
	/** Whether the memory stays for the next cursor after the last was closed. */
	readonly keepShadow: boolean;
	/** The time in ms, to measure what compression costs. */
	readonly now?: () => number;
	/** Pages of a shard, a multiple of {@link STEP_PAGES}: smaller in tests. */
	readonly shardPages?: number;
}

/** Bytes touched between two yields: 0.7 ms at the 0.35 GB/s of a first touch. */
const PREFAULT_STEP_BYTES = 2 ** 18;

/** Part of the shadow. */
export interface ShadowShard {
	readonly engine: Engine;
	readonly encoder: BatchEncoder;
	readonly kernels: GuestMemoryKernels;
	/** Bits of one comparison. */
	readonly changed: Bitmap;
	/** The guest's page at the region's start. */
	readonly firstPage: number;
	region: Region;
}

/** See the head of this file. */
export class Shadow implements ShadowedMemory {
	readonly #memory: WebAssembly.Memory;
	readonly #compiled: CompiledEngine;
	readonly #keep: boolean;
	readonly #shardPages: number;
	readonly #timed: { readonly now?: () => number };
	readonly #shards: ShadowShard[] = [];
	#pageCount = 0;

	constructor(memory: WebAssembly.Memory, compiled: CompiledEngine, options: ShadowOptions) {
		this.#memory = memory;
		this.#compiled = compiled;
		this.#keep = options.keepShadow;
		this.#timed = options.now === undefined ? {} : { now: options.now };
		this.#shardPages = options.shardPages ?? SHARD_PAGES;
	}

	get pageCount(): number {
		return this.#memory.buffer.byteLength / PAGE_BYTES;
	}

	get shadowPageCount(): number {
		return this.#pageCount;
	}

	/** Bytes held, encoders included. */
	get heldBytes(): number {
		return this.#shards.reduce((sum, { engine }) => sum + engine.usedBytes, 0);
	}

	/** @returns the shard that holds this page, which must be in the shadow */
	shardOf(pageIndex: number): ShadowShard {
		return this.#shards[Math.floor(pageIndex / this.#shardPages)]!;
	}

	/** @returns the first page after this page's shard */
	shardEnd(pageIndex: number): number {
		return (Math.floor(pageIndex / this.#shardPages) + 1) * this.#shardPages;
	}

	/** All or nothing: pages that could not be given room are not counted. @throws GuestError `too-large` */
	extend(pageCount: number): void {
		try {
			for (let first = 0, index = 0; first < pageCount; first += this.#shardPages, index++)
				this.#extendShard(
					this.#shards[index] ?? this.#startShard(index),
					Math.min(pageCount - first, this.#shardPages),
				);
		} catch (cause) {
			if (!(cause instanceof RangeError)) throw cause;
			throw new GuestError("too-large", `no memory for a shadow of ${pageCount} pages: ${cause.message}`, cause);
		}
		this.#pageCount = Math.max(this.#pageCount, pageCount);
	}

	#extendShard(shard: ShadowShard, pageCount: number): void {
		const { offset, byteLength } = shard.region;
		const missingBytes = pageCount * PAGE_BYTES - byteLength;
		if (missingBytes <= 0) return;
		const more = shard.engine.allocate(missingBytes, byteLength === 0 ? PAGE_BYTES : 64);
		if (byteLength > 0 && more.offset !== offset + byteLength)
			// allowed (bare-error): the invariant at the head of this file
			throw new Error("shadow: the engine handed out memory between two parts of one shadow");
		shard.region = byteLength === 0 ? more : { offset, byteLength: byteLength + more.byteLength };
	}

	#startShard(index: number): ShadowShard {
		const engine = createEngine(this.#compiled.engine);
		const shard: ShadowShard = {
			engine,
			encoder: new BatchEncoder(engine, this.#timed),
			kernels: new GuestMemoryKernels(engine, this.#memory, this.#compiled.inplace),
			changed: new Bitmap(engine, STEP_PAGES),
			firstPage: index * this.#shardPages,
			region: { offset: 0, byteLength: 0 },
		};
		this.#shards.push(shard);
		return shard;
	}

	/** Gives the shadow room for the memory as it is now and touches all of it. Only while no cursor is open. */
	*prefault(): Generator<void, void> {
		this.extend(this.pageCount);
		for (const { engine } of this.#shards) {
			for (let offset = HEAP_OFFSET; offset < engine.usedBytes; offset += PREFAULT_STEP_BYTES) {
				engine.prefault({ offset, byteLength: Math.min(PREFAULT_STEP_BYTES, engine.usedBytes - offset) });
				yield;
			}
		}
	}

	compare(firstPage: number, pageCount: number, changed: Uint8Array): number {
		const inShard = Math.min(pageCount, this.shardEnd(firstPage) - firstPage);
		const { engine, kernels, changed: bits, firstPage: shardFirst, region } = this.shardOf(firstPage);
		bits.clearAll();
		let count = kernels.compareToShadow(region, firstPage, inShard, bits, {
			shadowPage: firstPage - shardFirst,
			bit: 0,
		});
		if (count > 0) {
			const { offset } = bits.region;
			changed.set(engine.bytes.subarray(offset, offset + Math.ceil(inShard / 8)));
		}
		if (inShard < pageCount)
			count += this.compare(firstPage + inShard, pageCount - inShard, changed.subarray(inShard >>> 3));
		return count;
	}

	copy(firstPage: number, pageCount: number): void {
		const inShard = Math.min(pageCount, this.shardEnd(firstPage) - firstPage);
		const { kernels, firstPage: shardFirst, region } = this.shardOf(firstPage);
		kernels.copyOut(firstPage, inShard, region, firstPage - shardFirst);
		if (inShard < pageCount) this.copy(firstPage + inShard, pageCount - inShard);
	}

	/** Copies pages of the shadow, one after another. */
	read(firstPage: number, pageCount: number, into: Uint8Array): void {
		const inShard = Math.min(pageCount, this.shardEnd(firstPage) - firstPage);
		const { engine, firstPage: shardFirst, region } = this.shardOf(firstPage);
		const from = region.offset + (firstPage - shardFirst) * PAGE_BYTES;
		into.set(engine.bytes.subarray(from, from + inShard * PAGE_BYTES));
		if (inShard < pageCount) this.read(firstPage + inShard, pageCount - inShard, into.subarray(inShard * PAGE_BYTES));
	}

	detach(): void {
		if (!this.#keep) this.release();
	}

	/** Lets each kernel that works on the shadow run once: the first call of a kernel is slower. */
	warm(): void {
		const pageIndices = Uint32Array.of(0);
		const into = new Uint8Array(batchLimitBytes(1));
		for (const { encoder, region, firstPage } of this.#shards) {
			pageIndices[0] = firstPage;
			for (const compress of [false, true])
				encoder.encode({ pageIndices, source: { kind: "region", region, firstPage }, compress, into });
			this.compare(firstPage, Math.min(STEP_PAGES, this.#pageCount - firstPage), new Uint8Array(STEP_PAGES / 8));
		}
	}

	/** Frees everything. */
	release(): void {
		for (const { engine } of this.#shards.splice(0)) engine.dispose();
		this.#pageCount = 0;
	}
}
