/**
 * Pages of a lazily restored guest: it runs while they are still in the store. What post-copy's page server and page client
 * do over a link, with the store in the place of both.
 *
 *   touch ──▶ queue.fault ─ owed ──────▶ read and install at once
 *                         └ under way ─▶ nothing: it is coming
 *   room  ──▶ queue.push ──────────────▶ read and install, a few batches ahead, in prefetch order
 *
 * Invariants: a page is installed once, by whoever reads it first; a batch is compared with the snapshot's table of hashes
 * before it is installed, and its contents are compared with its own hashes by the guest that installs it, so nothing ever
 * sees other bytes than were saved. What could not be read stays owed: {@link LazyPages.load} takes up where it ended.
 */
import { batchHashes } from "../engine/batch.ts";
import { createEngine, type Engine } from "../engine/engine.ts";
import { PageList } from "../engine/page-list.ts";
import { pagesNamedBy } from "../paging/batch-pages.ts";
import { summarizeFaults } from "../paging/fault-figures.ts";
import { countPages, hasPage } from "../paging/missing-record.ts";
import { createPageQueue, type PageQueue } from "../paging/page-queue.ts";
import type { PushOrder } from "../policies/push-order.ts";
import type { Clock } from "../ports/clock.ts";
import type { FaultingGuest } from "../ports/faulting-guest.ts";
import type { EncodedBatch, PageBits } from "../ports/guest.ts";
import type { PageHashTable } from "../wire/digest.ts";
import type { PagingReport } from "../wire/records.ts";
import { RestoreError, toRestoreError } from "./restore-error.ts";
import type { SnapshotReader } from "./store-reader.ts";

/** Pages read in one go by the prefetch: 1 MiB, the encoder's batches. */
const PREFETCH_PAGES = 256;
/** Prefetch batches under way: one is read while one is installed. */
const PREFETCHES_UNDER_WAY = 2;

/** What lazy pages work with. */
export interface LazyServices {
	readonly guest: FaultingGuest;
	readonly snapshot: SnapshotReader;
	readonly clock: Clock;
	/** The snapshot's page hashes. */
	readonly hashes: PageHashTable;
}

/** What has been done so far. */
export interface LazyReport {
	readonly missingPages: number;
	/** Pages that were read because the guest waited for them. */
	readonly faultPages: number;
	/** Faults on pages that were on their way. */
	readonly inFlightWaits: number;
	readonly prefetchedPages: number;
	/** What the guest felt. */
	readonly faults: PagingReport;
}

/** See the head of this file. One per restored guest. */
export class LazyPages {
	readonly #services: LazyServices;
	readonly #prefetch: PushOrder;
	readonly #order: Uint32Array;
	readonly #engine: Engine = createEngine();
	readonly #list: PageList;
	readonly #missing: PageBits;
	/** In the order of their first waits. */
	readonly #faulted = new Set<number>();
	/** Pages that the guest waits for and that no reading brings. */
	readonly #awaited = new Set<number>();
	#queue: PageQueue | undefined;
	#underWay = 0;
	#missingPages: number;
	#faultPages = 0;
	#inFlightWaits = 0;
	#prefetchedPages = 0;
	/** With demand paging alone: whether the time has come to bring the rest after all. */
	#mayPush = false;
	#wake: () => void = () => undefined;
	#failure: { readonly error: unknown } | undefined;

	/** @param missing - kept and changed. @param order - pages as they were touched in an earlier run, the first one first. */
	constructor(services: LazyServices, missing: PageBits, order: Uint32Array, prefetch: PushOrder) {
		this.#services = services;
		this.#missing = missing;
		this.#missingPages = countPages(missing);
		this.#order = order;
		this.#prefetch = prefetch;
		this.#list = new PageList(this.#engine, PREFETCH_PAGES);
	}

	/** See {@link LazyReport}. */
	get report(): LazyReport {
		return {
			missingPages: this.#missingPages,
			faultPages: this.#faultPages,
			inFlightWaits: this.#inFlightWaits,
			prefetchedPages: this.#prefetchedPages,
			faults: summarizeFaults(this.#services.guest.faulting.faultReport()),
		};
	}

	/** Pages to prefetch first at the next restore: those the guest had to wait for, then those of the order it was given. */
	get accessOrder(): Uint32Array<ArrayBuffer> {
		const pages = new Set(this.#faulted);
		for (const page of this.#order) pages.add(page);
		return Uint32Array.from(pages);
	}

	/** Tells the paused guest what is missing: from here on faults are answered while {@link load} runs. */
	begin(): Promise<void> {
		return this.#services.guest.faulting.begin(this.#missing, (page) => this.#onFault(page));
	}

	/**
	 * Brings every page. Call it again after a failure: it goes on with what is missing.
	 * @throws {RestoreError} `store`, `corrupt`, `guest`; the guest waits where it touches what has not come. TypeError while
	 *   it runs already.
	 */
	async load(): Promise<void> {
		if (this.#queue !== undefined) throw new TypeError("load: it runs already");
		const { guest, hashes } = this.#services;
		this.#failure = undefined;
		this.#queue = createPageQueue(this.#engine, this.#missing, hashes.pageCount, this.#order, this.#prefetch);
		try {
			for (const page of [...this.#awaited]) this.#answer(page);
			await this.#push(this.#queue);
			this.#throwFailure();
			await guest.faulting.end();
		} catch (error) {
			throw toRestoreError(error, undefined);
		} finally {
			this.#queue = undefined;
		}
	}

	#throwFailure(): void {
		if (this.#failure !== undefined) throw this.#failure.error;
	}

	/** Reads ahead while there is room, until nothing is missing or something has failed. */
	async #push(queue: PageQueue): Promise<void> {
		const prefetch = this.#prefetch;
		if (prefetch.variant === "demand") void this.#allowPushLater(prefetch.pushAfterMs);
		for (;;) {
			const mayPush = prefetch.variant !== "demand" || this.#mayPush;
			while (this.#failure === undefined && mayPush && queue.remaining > 0 && this.#underWay < PREFETCHES_UNDER_WAY) {
				const count = queue.push(this.#list, PREFETCH_PAGES);
				if (count === 0) break;
				this.#prefetchedPages += count;
				this.#bring(this.#list.toArray().sort());
			}
			if (this.#underWay === 0 && (this.#failure !== undefined || this.#missingPages === 0)) return;
			await new Promise<void>((resolve) => {
				this.#wake = resolve;
			});
		}
	}

	async #allowPushLater(afterMs: number | undefined): Promise<void> {
		if (afterMs === undefined) return;
		await this.#services.clock.sleep(afterMs);
		this.#mayPush = true;
		this.#wake();
	}

	#onFault(page: number): void {
		if (!hasPage(this.#missing, page)) return;
		this.#faulted.add(page);
		this.#awaited.add(page);
		this.#answer(page);
	}

	#answer(page: number): void {
		const found = this.#queue?.fault(page);
		if (found === "in-flight") this.#inFlightWaits++;
		if (found !== "send") return; // without a queue: asked for when loading goes on
		this.#faultPages++;
		this.#bring(Uint32Array.of(page));
	}

	/** Reads pages and installs them, without anybody waiting. */
	#bring(pages: Uint32Array<ArrayBuffer>): void {
		this.#underWay++;
		this.#read(pages)
			.catch((error: unknown) => {
				this.#failure ??= { error };
			})
			.finally(() => {
				this.#underWay--;
				this.#wake();
			});
	}

	async #read(pages: Uint32Array<ArrayBuffer>): Promise<void> {
		const { snapshot, guest } = this.#services;
		const batch = await snapshot.pages(pages);
		this.#compare(batch, pages);
		const { pageIndices } = await guest.faulting.install(batch, () => undefined);
		for (const page of pageIndices) {
			this.#missing[page >>> 3]! &= ~(1 << (page & 7));
			this.#awaited.delete(page);
		}
		this.#missingPages -= pageIndices.length;
	}

	/** Before anything is installed: the batch holds the pages that were asked for, with the hashes that they must have. */
	#compare(batch: EncodedBatch, pages: Uint32Array): void {
		const named = pagesNamedBy(batch.bytes);
		if (named.length !== pages.length || named.some((page, i) => page !== pages[i]))
			throw new RestoreError("corrupt", "the store has given other pages than were asked for");
		const hashes = batchHashes(batch.bytes, named.length);
		for (const [i, page] of named.entries())
			if (this.#services.hashes.firstDifference(page, hashes.subarray(i * 16, i * 16 + 16)) !== undefined)
				throw new RestoreError("corrupt", `page ${page} is not as it was saved`, { pageIndex: page });
	}
}
