/**
 * The plainest guest: a buffer in this process that is written through its API, and a few bytes of state. For programs
 * that keep their data in one buffer, and for every test of what is above guests.
 *
 * Invariants: {@link MemoryGuest.write} fails while the guest is paused, so nothing changes then; every write is noted in
 * the dirty log before it returns, so the log is exact. While pages are missing (post-copy), what touches one waits
 * ({@link MemoryGuest.load}, {@link MemoryGuest.store}, {@link MemoryGuest.touch}) or fails (`read`, `write`); nothing ever
 * sees bytes of a page that has not come.
 */
import { BatchDecoder, BatchEncoder, batchHashes, type DecodedBatch } from "../../engine/batch.ts";
import { createEngine, type Engine } from "../../engine/engine.ts";
import { HASH_BYTES, hash128 } from "../../engine/hash.ts";
import type { BallooningGuest } from "../../ports/ballooning-guest.ts";
import type { Clock } from "../../ports/clock.ts";
import type { DeltaControl, DeltaGuest } from "../../ports/delta-guest.ts";
import type { FaultControl, FaultingGuest, InstalledPages } from "../../ports/faulting-guest.ts";
import type { GatedGuest } from "../../ports/gated-guest.ts";
import {
	type AppliedPages,
	type EncodedBatch,
	GuestError,
	type GuestFactory,
	type GuestLayout,
	type GuestPages,
	type GuestState,
	type Interruptions,
	type Obstacle,
	PAGE_BYTES,
	type PreparedTarget,
} from "../../ports/guest.ts";
import type { OrderedGuest } from "../../ports/ordered-guest.ts";
import type { GuestCheckpoint, Standby, StandbyGuest } from "../../ports/standby-guest.ts";
import { HeldOutput } from "../held-output.ts";
import { bitsByteLength } from "../page-bits.ts";
import { memoryDeltas } from "./delta-sender.ts";
import { encodePages } from "./encode-pages.ts";
import { MissingPages } from "./missing-pages.ts";
import { PageAllocator } from "./page-allocator.ts";
import { UseOrder } from "./use-order.ts";
import { WriteLog } from "./write-log.ts";

/** What a memory guest is made with. */
export interface MemoryGuestOptions {
	readonly pageCount: number;
	/** How far it may grow; `pageCount` if left out. */
	readonly maximumPageCount?: number;
	/** What must be equal on both sides. */
	readonly facts?: Readonly<Record<string, string>>;
	/** The time in ms, for what waits for missing pages take; without it they take none. */
	readonly now?: () => number;
}

/** Pages firstPage … firstPage + pageCount − 1. */
interface PageRange {
	readonly firstPage: number;
	readonly pageCount: number;
}

/**
 * See the head of this file.
 *
 * @example
 * ```ts ignore
 * const guest = new MemoryGuest({ pageCount: 1024 });
 * guest.write(5 * 4096, new TextEncoder().encode("hello"));
 * ```
 */
export class MemoryGuest implements FaultingGuest, OrderedGuest, BallooningGuest, DeltaGuest, GatedGuest, StandbyGuest {
	readonly kind = "memory";
	readonly dirty: WriteLog;
	readonly order: UseOrder;
	readonly faulting: FaultControl;
	readonly gate: HeldOutput = new HeldOutput({ isPaused: () => this.#status === "paused" });
	readonly standby: Standby;
	/** Hears what the guest emits, when it leaves. */
	onOutput: ((bytes: Uint8Array<ArrayBuffer>) => void) | undefined;
	/** At a target the program says anew what is free. */
	readonly balloon: PageAllocator;
	readonly deltas: DeltaControl;
	readonly pages: GuestPages;
	readonly state: GuestState;
	readonly #engine: Engine = createEngine();
	readonly #maximumPageCount: number;
	readonly #facts: Readonly<Record<string, string>>;
	readonly #missing: MissingPages;
	#decoder: BatchDecoder | undefined;
	#bytes: Uint8Array<ArrayBuffer>;
	#status: "running" | "paused" | "gone";
	/** Those who wait until the guest runs, or is gone. */
	#waiting: (() => void)[] = [];
	#state: Uint8Array<ArrayBuffer> = new Uint8Array(0);
	/** Of the last checkpoint that this paused copy has taken. */
	#standbyState: Uint8Array<ArrayBuffer> | undefined;

	/** A running guest, its memory zero. @throws RangeError for sizes that make no sense. */
	constructor(options: MemoryGuestOptions, status: "running" | "paused" = "running") {
		const { pageCount, maximumPageCount = pageCount, facts = {} } = options;
		if (!Number.isInteger(pageCount) || pageCount < 1)
			throw new RangeError(`pageCount: must be an integer from 1, got ${pageCount}`);
		if (maximumPageCount < pageCount)
			throw new RangeError(`maximumPageCount: must be at least pageCount ${pageCount}, got ${maximumPageCount}`);
		this.#bytes = new Uint8Array(pageCount * PAGE_BYTES);
		this.#maximumPageCount = maximumPageCount;
		this.#facts = facts;
		this.#status = status;
		this.dirty = new WriteLog(this.#engine, maximumPageCount, () => this.pageCount);
		this.order = new UseOrder(maximumPageCount);
		this.#missing = new MissingPages(options.now ?? (() => 0));
		this.faulting = this.#makeFaulting();
		this.balloon = new PageAllocator({
			pageCount: () => this.pageCount,
			requireRunning: () => this.#require("running"),
			requirePresent: () => this.#require("any"),
			wipe: (firstPage, pages) => this.write(firstPage * PAGE_BYTES, new Uint8Array(pages * PAGE_BYTES)),
		});
		this.pages = this.#makePages();
		this.deltas = memoryDeltas((pageIndices) => this.#sendable(pageIndices));
		this.state = this.#makeState();
		this.standby = {
			apply: (checkpoint) => this.#do(() => this.#applyCheckpoint(checkpoint)),
			settle: () =>
				this.#do(() => {
					this.#require("paused");
					if (this.#standbyState !== undefined) this.#state = this.#standbyState;
				}),
		};
	}

	/** Pages it has now. */
	get pageCount(): number {
		return this.#bytes.byteLength / PAGE_BYTES;
	}

	/** Whether it runs: only then can it be written. */
	get running(): boolean {
		return this.#status === "running";
	}

	/** The guest's state beside its memory: whatever the program wants to carry along. @throws {GuestError} unless it runs. */
	setState(bytes: Uint8Array): void {
		this.#require("running");
		this.#state = bytes.slice();
	}

	/** A copy of the state. */
	getState(): Uint8Array<ArrayBuffer> {
		return this.#state.slice();
	}

	/**
	 * Says something to the outside, where {@link onOutput} hears it: now, or when the gate lets it leave.
	 * @throws {GuestError} unless it runs.
	 */
	emit(bytes: Uint8Array): void {
		this.#require("running");
		const piece = bytes.slice();
		this.gate.emit(
			piece.byteLength,
			() => this.onOutput?.(piece),
			() => undefined,
		);
	}

	/**
	 * Writes into memory.
	 * @throws {GuestError} `gone`, `not-running` while paused, `missing` (see {@link store}); RangeError beyond the memory.
	 */
	write(byteOffset: number, bytes: Uint8Array): void {
		this.#require("running");
		const { firstPage, pageCount } = this.#use(byteOffset, bytes.byteLength);
		this.balloon.checkUse(firstPage, pageCount);
		this.#bytes.set(bytes, byteOffset);
		if (pageCount > 0) this.dirty.note(firstPage, pageCount);
	}

	/**
	 * A copy of a part of the memory.
	 * @throws {GuestError} `gone`, `missing` (see {@link load}); RangeError beyond the memory.
	 */
	read(byteOffset: number, byteLength: number): Uint8Array<ArrayBuffer> {
		this.#require("any");
		this.#use(byteOffset, byteLength);
		return this.#bytes.slice(byteOffset, byteOffset + byteLength);
	}

	/**
	 * Resolves when the pages of this range are here; to a guest whose pages are all here, at once.
	 * @throws {GuestError} `gone` if it is discarded meanwhile; RangeError beyond the memory.
	 */
	async touch(byteOffset: number, byteLength: number): Promise<void> {
		this.#require("any");
		const { firstPage, pageCount } = this.#pagesOf(byteOffset, byteLength);
		await this.#missing.wait(firstPage, pageCount);
		this.#require("any");
		this.#noteUse(firstPage, pageCount);
	}

	/** {@link read} that waits for missing pages. */
	async load(byteOffset: number, byteLength: number): Promise<Uint8Array<ArrayBuffer>> {
		await this.touch(byteOffset, byteLength);
		return this.read(byteOffset, byteLength);
	}

	/** {@link write} that waits for missing pages. */
	async store(byteOffset: number, bytes: Uint8Array): Promise<void> {
		this.#require("running");
		await this.touch(byteOffset, bytes.byteLength);
		this.write(byteOffset, bytes);
	}

	/**
	 * Does something to the guest in one piece, now or as soon as it runs again: no pause falls into it. For programs beside
	 * checkpoints and histories, which pause the guest of their own accord.
	 * @param step - synchronous; what it touches must be there (see {@link store}).
	 * @returns what the step returns
	 * @throws {GuestError} `gone`; what the step throws.
	 */
	async step<Value>(step: () => Value): Promise<Value> {
		while (this.#status === "paused") await new Promise<void>((resolve) => this.#waiting.push(resolve));
		this.#require("running");
		return step();
	}

	/** Adds zero pages at the end while running. @throws RangeError beyond the maximum. */
	growMemory(pageCount: number): void {
		this.#require("running");
		this.#resize(pageCount);
	}

	pause(): Promise<void> {
		return this.#do(() => {
			this.#status = "paused";
		});
	}

	resume(): Promise<void> {
		return this.#do(() => {
			this.#status = "running";
			this.#wake();
		});
	}

	discard(): Promise<void> {
		this.#status = "gone";
		this.#wake();
		this.#missing.fail(new GuestError("gone", "the guest has been discarded"));
		this.#bytes = new Uint8Array(0);
		this.#engine.dispose();
		return Promise.resolve();
	}

	takeInterruptions(): Interruptions {
		return { slicesMs: [], pauseWaitMs: 0 };
	}

	#makePages(): GuestPages {
		const guest = this;
		const encoder = new BatchEncoder(this.#engine);
		return {
			get pageCount() {
				return guest.pageCount;
			},
			encode: (pageIndices, options) =>
				this.#do(() => encodePages(encoder, this.#sendable(pageIndices), pageIndices, options)),
			apply: (batch) => this.#do(() => this.#apply(batch)),
			hashes: (firstPage, pageCount) => this.#do(() => this.#hashes(firstPage, pageCount)),
			grow: (pageCount) => this.#do(() => this.#resize(pageCount)),
		};
	}

	#makeState(): GuestState {
		return {
			layout: () => ({
				kind: this.kind,
				pageBytes: PAGE_BYTES,
				pageCount: this.pageCount,
				maximumPageCount: this.#maximumPageCount,
				resources: [],
				facts: this.#facts,
			}),
			capture: () =>
				this.#do(() => {
					this.#require("paused");
					return this.#state.slice();
				}),
			restore: (bytes) =>
				this.#do(() => {
					this.#require("paused");
					this.#state = bytes.slice();
				}),
			resource: () => Promise.resolve(undefined),
		};
	}

	#makeFaulting(): FaultControl {
		return {
			pinned: () => this.#do(() => new Uint8Array(bitsByteLength(this.pageCount))),
			begin: (missing, onFault) =>
				this.#do(() => {
					this.#require("paused");
					this.#missing.begin(missing, this.pageCount, onFault);
				}),
			install: (batch, taken) => this.#do(() => this.#install(batch, taken)),
			end: () => this.#do(() => this.#missing.end()),
			faultReport: () => this.#missing.report(),
		};
	}

	/** The memory, if all of these pages are here. */
	#sendable(pageIndices: Uint32Array): Uint8Array {
		this.#require("any");
		if (pageIndices.some((page) => this.#missing.has(page)))
			throw new GuestError("missing", "pages that are not here yet cannot be sent on");
		return this.#bytes;
	}

	#apply(batch: EncodedBatch): AppliedPages {
		this.#require("paused");
		const decoded = this.#decode(batch, this.pageCount, this.#bytes);
		decoded.install(this.#bytes);
		return { pageIndices: decoded.pageIndices(), hashes: batchHashes(batch.bytes, decoded.pages) };
	}

	#applyCheckpoint({ pageCount, batches, state }: GuestCheckpoint): void {
		this.#require("paused");
		this.#checkSize(pageCount);
		const size = Math.max(pageCount, this.pageCount);
		for (const batch of batches) this.#decode(batch, size);
		this.#resize(size);
		for (const batch of batches) {
			const decoded = this.#decode(batch);
			decoded.install(this.#bytes);
			for (const page of decoded.pageIndices()) this.dirty.note(page, 1);
		}
		this.#standbyState = state.slice();
	}

	/** @param base - what deltas are applied to; without it they are refused. */
	#decode({ bytes, checksum }: EncodedBatch, pageCount = this.pageCount, base?: Uint8Array): DecodedBatch {
		this.#decoder ??= new BatchDecoder(this.#engine);
		return this.#decoder.decode(bytes, base === undefined ? { pageCount, checksum } : { pageCount, checksum, base });
	}

	#install(batch: EncodedBatch, taken: () => void): InstalledPages {
		const decoded = this.#decode(batch);
		const pageIndices = decoded.pageIndices();
		const hashes = batchHashes(batch.bytes, decoded.pages);
		// Pages that are here may have changed since: what the batch says of them is undone before anybody can see it.
		const kept = pageIndices.filter((page) => !this.#missing.has(page));
		const contents = Array.from(kept, (page) => this.#bytes.slice(page * PAGE_BYTES, (page + 1) * PAGE_BYTES));
		decoded.install(this.#bytes);
		for (const [i, page] of kept.entries()) this.#bytes.set(contents[i]!, page * PAGE_BYTES);
		taken();
		const isNew = Array.from(pageIndices, (page) => this.#missing.has(page));
		for (const page of pageIndices) if (this.#missing.has(page)) this.#missing.arrived(page);
		return {
			pageIndices: pageIndices.filter((_, i) => isNew[i]),
			hashes: hashes.filter((_, i) => isNew[Math.floor(i / HASH_BYTES)]),
			duplicates: kept.length,
		};
	}

	/** The pages of a range, noted as used; all are here. */
	#use(byteOffset: number, byteLength: number): PageRange {
		const range = this.#pagesOf(byteOffset, byteLength);
		if (this.#missing.hasAny(range.firstPage, range.pageCount))
			throw new GuestError("missing", "pages of this range are not here yet: load, store and touch wait for them");
		this.#noteUse(range.firstPage, range.pageCount);
		return range;
	}

	#noteUse(firstPage: number, pageCount: number): void {
		this.order.note(firstPage, pageCount);
		this.#missing.noteTouch(firstPage, pageCount);
	}

	#pagesOf(byteOffset: number, byteLength: number): PageRange {
		if (byteOffset < 0 || byteOffset + byteLength > this.#bytes.byteLength)
			throw new RangeError(`byteOffset: ${byteOffset} + ${byteLength} bytes lie beyond ${this.#bytes.byteLength}`);
		const firstPage = Math.floor(byteOffset / PAGE_BYTES);
		if (byteLength === 0) return { firstPage, pageCount: 0 };
		return { firstPage, pageCount: Math.floor((byteOffset + byteLength - 1) / PAGE_BYTES) - firstPage + 1 };
	}

	#hashes(firstPage: number, pageCount: number): Uint8Array {
		if (this.#missing.hasAny(firstPage, pageCount))
			throw new GuestError("missing", "pages that are not here yet have no hash");
		const hashes = new Uint8Array(pageCount * HASH_BYTES);
		for (let i = 0; i < pageCount; i++) {
			const at = (firstPage + i) * PAGE_BYTES;
			hashes.set(hash128(this.#engine, this.#bytes.subarray(at, at + PAGE_BYTES)), i * HASH_BYTES);
		}
		return hashes;
	}

	#checkSize(pageCount: number): void {
		if (pageCount > this.#maximumPageCount)
			throw new GuestError(
				"too-large",
				`${pageCount} pages are more than this guest's limit of ${this.#maximumPageCount}`,
			);
	}

	#resize(pageCount: number): void {
		this.#checkSize(pageCount);
		const before = this.pageCount;
		if (pageCount <= before) return;
		const grown = new Uint8Array(pageCount * PAGE_BYTES);
		grown.set(this.#bytes);
		this.#bytes = grown;
		this.dirty.note(before, pageCount - before);
	}

	#wake(): void {
		for (const resume of this.#waiting.splice(0)) resume();
	}

	#require(status: "running" | "paused" | "any"): void {
		if (this.#status === "gone") throw new GuestError("gone", "the guest has been discarded");
		if (status === "running" && this.#status !== "running") throw new GuestError("not-running", "the guest is paused");
		if (status === "paused" && this.#status !== "paused") throw new GuestError("not-paused", "the guest runs");
	}

	/** Runs `work` unless the guest is gone; what it throws rejects. */
	async #do<T>(work: () => T): Promise<T> {
		this.#require("any");
		return work();
	}
}

/** Builds targets for memory guests. */
export class MemoryGuestFactory implements GuestFactory {
	readonly kind = "memory";
	readonly #clock: Clock;
	readonly #maximumPageCount: number;
	readonly #facts: Readonly<Record<string, string>>;

	/** @param maximumPageCount - the largest guest this side takes. @param facts - what a guest must agree with. */
	constructor(clock: Clock, maximumPageCount: number, facts: Readonly<Record<string, string>> = {}) {
		this.#clock = clock;
		this.#maximumPageCount = maximumPageCount;
		this.#facts = facts;
	}

	check(layout: GuestLayout): readonly Obstacle[] {
		const obstacles: Obstacle[] = [];
		const add = (fact: string, message: string) => obstacles.push({ fact, message });
		if (layout.pageBytes !== PAGE_BYTES)
			add("pageBytes", `pages of ${layout.pageBytes} bytes, this target has ${PAGE_BYTES}`);
		if (layout.pageCount > this.#maximumPageCount)
			add("pageCount", `${layout.pageCount} pages, this target takes at most ${this.#maximumPageCount}`);
		for (const name of new Set([...Object.keys(layout.facts), ...Object.keys(this.#facts)]))
			if (layout.facts[name] !== this.#facts[name])
				add(
					name,
					`the fact '${name}' is '${layout.facts[name] ?? "missing"}' at the source and '${this.#facts[name] ?? "missing"}' here`,
				);
		return obstacles;
	}

	missing(): readonly string[] {
		return [];
	}

	setUp(layout: GuestLayout): Promise<PreparedTarget & { readonly guest: MemoryGuest }> {
		const startedMs = this.#clock.now();
		const maximumPageCount = Math.min(this.#maximumPageCount, Math.max(layout.maximumPageCount, layout.pageCount));
		const now = () => this.#clock.now();
		const guest = new MemoryGuest(
			{ pageCount: layout.pageCount, maximumPageCount, facts: layout.facts, now },
			"paused",
		);
		return Promise.resolve({ guest, setupMs: this.#clock.now() - startedMs });
	}
}
