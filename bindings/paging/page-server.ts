/**
 * The source's side of paging: the guest runs at the target, its frozen memory here is the only copy of what is missing.
 *
 *   fault ──▶ queue.fault ─ send ──────▶ encode ──▶ urgent lane, at once
 *                         └ in flight ─▶ nothing: it is on its way
 *   room  ──▶ queue.push ──────────────▶ encode ──▶ bulk lane, a small window ahead (policies/push-window.ts)
 *   taken ──▶ room
 *   complete ─▶ compare what arrived with what is here ──▶ accepted, or the hashes that should have arrived
 *
 * Invariants: a page leaves the queue once, so on one link it is sent at most once; hashes are noted as the pages are
 * encoded, from memory that no longer changes. Which records may come when is judged by `server-states.ts` alone.
 *
 * Source: spec section 1 (Hines et al.): active push, prepaging; the window and the comparison are ours.
 */
import type { Engine } from "../engine/engine.ts";
import type { PageList } from "../engine/page-list.ts";
import type { Conversation } from "../handover/conversation.ts";
import { MoveError } from "../handover/move-error.ts";
import { type CompressionPolicy, encodeOptionsOf } from "../policies/compression.ts";
import { Pacer } from "../policies/pacing.ts";
import type { PushOrder } from "../policies/push-order.ts";
import { type BatchUnderWay, PushWindow } from "../policies/push-window.ts";
import type { Clock } from "../ports/clock.ts";
import { type Guest, PAGE_BYTES, type PageBits } from "../ports/guest.ts";
import type { Lane } from "../ports/link.ts";
import { arePromptPages } from "../ports/prompt-pages.ts";
import { PageHashTable } from "../wire/digest.ts";
import { MAX_CHUNK_BYTES } from "../wire/limits.ts";
import type { CompleteRecord, FaultRecord, PagingReport, Record, TakenRecord, Verification } from "../wire/records.ts";
import { type PagingSample, Timeline } from "./fault-figures.ts";
import type { PageQueue } from "./page-queue.ts";
import { judged, type ServerState, stepServer } from "./server-states.ts";
import { ServingRoom } from "./serving-room.ts";

/** What a page server works with. */
export interface PageServices {
	/** Paused, and it stays so. */
	readonly guest: Guest;
	readonly clock: Clock;
	readonly conversation: Conversation;
	/** Of what was sent last, page by page: the server goes on noting. */
	readonly hashes: PageHashTable;
	/** Made before the switch; a new one if left out. */
	readonly room?: ServingRoom | undefined;
}

/** What is to be served, and how. */
export interface PageServing {
	readonly owed: PageBits;
	/** Pages by last use, the most recent first, as far as it is known. */
	readonly recent: Uint32Array;
	readonly push: PushOrder;
	readonly verification: Verification;
	/** Overrules the choice that the engine makes from the link's rate. */
	readonly compression: CompressionPolicy | undefined;
	/**
	 * A cap on what is pushed, in bytes per ms. A page that the guest waits for goes at once, whatever the cap says, and the
	 * push waits the longer for it: so the sum keeps to the cap, but where the guest alone asks for more.
	 */
	readonly bandwidthBytesPerMs?: number | undefined;
	/** Longest silence of the target, in ms: then the link counts as lost. */
	readonly stallMs: number;
	/** Called when a batch has gone or been taken. */
	readonly onChange?: () => void;
	/** Called before the target is told that it has everything. */
	readonly onAccept?: () => void;
	/** Where the target's changes come back as checkpoints: who takes their records, and which pages they have changed here. */
	readonly follower?: { take(record: Record): void; readonly changedPages: ReadonlySet<number> };
}

/** What a page server has done so far. */
export interface ServingFacts {
	/** Pages not yet given to the link. */
	readonly remainingPages: number;
	/** Pages the guest waited for and that were still here. */
	readonly networkFaults: number;
	/** Faults on pages that were on their way. */
	readonly inFlightWaits: number;
	readonly pushedPages: number;
	readonly zeroPages: number;
	/** What the target takes lately, in bytes of memory per ms, whatever their encoding; 0 if unknown. */
	readonly bytesPerMs: number;
}

/** How serving ended: the target has every page, and they are the source's or they are not. */
export interface ServingEnd {
	/** Pages that differ, the first of them by name; empty if none does. */
	readonly corruptPages: readonly number[];
	readonly corruptCount: number;
	readonly report: PagingReport;
}

/** Finer batches keep a capped link evenly busy, and a fault waits behind one of them at most. */
const PACED_BATCH_MS = 2;

/** Pages hashed in one call when the frozen memory is read again: 4 MiB, under 2 ms. */
const HASH_STEP_PAGES = 1024;

/** See the head of this file. One per link. */
export class PageServer {
	readonly #services: PageServices;
	readonly #serving: PageServing;
	readonly #engine: Engine;
	readonly #queue: PageQueue;
	readonly #list: PageList;
	readonly #window = new PushWindow();
	readonly #pacer: Pacer;
	readonly #underWay = new Map<number, BatchUnderWay & { readonly pages: number }>();
	readonly #timeline = new Timeline();
	#startedMs: number;
	readonly #unsent: Uint8Array | undefined;
	#state: ServerState = { name: "serving" };
	#wake: () => void = () => undefined;
	#fail: (error: unknown) => void = () => undefined;
	#finish: (end: ServingEnd) => void = () => undefined;
	#report: PagingReport | undefined;
	#lastNewsMs: number;
	#networkFaults = 0;
	#inFlightWaits = 0;
	#pushedPages = 0;
	#zeroPages = 0;

	constructor(services: PageServices, serving: PageServing) {
		this.#services = services;
		this.#serving = serving;
		const { owed, recent, push } = serving;
		const { pageCount } = services.hashes;
		const { room = new ServingRoom(pageCount, push) } = services;
		this.#engine = room.engine;
		this.#list = room.list;
		this.#queue = room.queues(pageCount).fill(owed, recent);
		if (serving.follower !== undefined) this.#unsent = serving.owed.slice();
		this.#pacer = new Pacer(services.clock);
		this.#pacer.setRate(serving.bandwidthBytesPerMs);
		this.#startedMs = services.clock.now();
		this.#lastNewsMs = this.#startedMs;
	}

	/** See {@link ServingFacts}. */
	get facts(): ServingFacts {
		return {
			remainingPages: this.#queue.remaining,
			networkFaults: this.#networkFaults,
			inFlightWaits: this.#inFlightWaits,
			pushedPages: this.#pushedPages,
			zeroPages: this.#zeroPages,
			bytesPerMs: this.#window.bytesPerMs,
		};
	}

	/** Samples over time, the present moment last. A copy of up to 512, so not for every batch. */
	get timeline(): readonly PagingSample[] {
		return this.#timeline.end(this.#sample());
	}

	/**
	 * Serves until the target has everything and the comparison is over.
	 * @param signal - ends it: the link or the conversation has failed.
	 * @throws whatever failed; the target keeps what it has, and another server can go on over another link.
	 */
	async run(signal: AbortSignal): Promise<ServingEnd> {
		this.#startedMs = this.#services.clock.now();
		this.#lastNewsMs = this.#startedMs;
		const stop = new AbortController();
		const onAbort = (): void => stop.abort(signal.reason);
		signal.addEventListener("abort", onAbort);
		try {
			return await new Promise<ServingEnd>((resolve, reject) => {
				this.#finish = resolve;
				this.#fail = reject;
				if (signal.aborted) onAbort();
				stop.signal.addEventListener("abort", () => reject(stop.signal.reason));
				this.#services.conversation.handOver((record) => this.#take(record));
				this.#push(stop.signal).catch(reject);
				this.#watch(stop.signal).catch(reject);
			});
		} finally {
			signal.removeEventListener("abort", onAbort);
			stop.abort();
			this.#wake();
		}
	}

	/** Whether a page has not left yet. Only known where checkpoints come back. */
	isUnsent(page: number): boolean {
		return ((this.#unsent?.[page >>> 3] ?? 0) & (1 << (page & 7))) !== 0;
	}

	#take(record: Record): void {
		const { state, action } = stepServer(this.#state, record, this.#serving.follower !== undefined);
		this.#state = state;
		this.#lastNewsMs = this.#services.clock.now();
		switch (action.do) {
			case "nothing":
				break;
			case "answer":
				this.#answer(action.record);
				break;
			case "acknowledge":
				this.#acknowledge(action.record);
				break;
			case "judge":
				this.#judge(action.record).catch((error: unknown) => this.#fail(error));
				break;
			case "follow":
				this.#serving.follower?.take(action.record);
				break;
			case "end": {
				const { pageIndices, pageCount } = action.record;
				this.#finish({ corruptPages: pageIndices, corruptCount: pageCount, report: this.#report! });
			}
		}
	}

	#answer(record: FaultRecord): void {
		const pages: number[] = [];
		this.#window.fault(this.#lastNewsMs);
		for (const page of record.pageIndices) {
			const found = this.#queue.fault(page);
			if (found === "not-owed") throw new MoveError("protocol", `the target waits for page ${page}, which it has`);
			if (found === "send") pages.push(page);
			else this.#inFlightWaits++;
		}
		this.#networkFaults += pages.length;
		this.#timeline.note(this.#sample());
		if (pages.length > 0) this.#send(Uint32Array.from(pages).sort(), "urgent");
	}

	#acknowledge({ pageIndex, pageCount }: TakenRecord): void {
		const batch = this.#underWay.get(pageIndex);
		if (batch === undefined || batch.pages !== pageCount)
			throw new MoveError(
				"protocol",
				`the target has taken a batch of ${pageCount} pages from ${pageIndex}: there is none`,
			);
		this.#underWay.delete(pageIndex);
		this.#window.taken(batch, this.#services.clock.now());
		this.#timeline.note(this.#sample());
		this.#serving.onChange?.();
		this.#wake();
	}

	/** Pushes while there is room, until nothing is left. */
	async #push(signal: AbortSignal): Promise<void> {
		const { push } = this.#serving;
		if (push.variant === "demand") {
			await this.#services.clock.sleep(push.pushAfterMs ?? Number.POSITIVE_INFINITY, signal).catch(ignoreStop);
			if (signal.aborted) return;
		}
		while (!signal.aborted && this.#queue.remaining > 0) {
			while (this.#window.hasRoom) {
				const { waitMs } = this.#pacer;
				if (waitMs > 0) await this.#services.clock.sleep(waitMs, signal).catch(ignoreStop);
				if (signal.aborted) return;
				const count = this.#queue.push(this.#list, this.#batchPages);
				if (count === 0) return;
				this.#pushedPages += count;
				this.#send(this.#list.toArray().sort(), "bulk");
			}
			await new Promise<void>((resolve) => {
				this.#wake = resolve;
			});
		}
	}

	/** Pages of the next push: under a cap no more than it lets out in {@link PACED_BATCH_MS}. */
	get #batchPages(): number {
		const paced = Math.floor(((this.#pacer.rate ?? Number.POSITIVE_INFINITY) * PACED_BATCH_MS) / PAGE_BYTES);
		return Math.min(this.#list.capacity, this.#window.batchPages, Math.max(1, paced));
	}

	/** What the link carries, as far as it is known. */
	get #linkBytesPerMs(): number {
		const { bytesPerMs } = this.#window;
		return Math.min(bytesPerMs || Number.POSITIVE_INFINITY, this.#pacer.rate ?? Number.POSITIVE_INFINITY);
	}

	/** Encodes and sends without waiting: the next page must not wait for this one. */
	#send(pages: Uint32Array<ArrayBuffer>, lane: Lane): void {
		const { guest, clock, conversation, hashes } = this.#services;
		// Charged at full size until the encoder has said what it is: what is handed out is in flight.
		const sent = this.#window.sent(pages.length * PAGE_BYTES, clock.now());
		if (this.#unsent !== undefined) for (const page of pages) this.#unsent[page >>> 3]! &= ~(1 << (page & 7));
		this.#underWay.set(pages[0]!, { ...sent, pages: pages.length });
		this.#pacer.charge(pages.length * PAGE_BYTES);
		const run = async (): Promise<void> => {
			const options = encodeOptionsOf(this.#serving.compression, this.#linkBytesPerMs);
			const { pages: memory } = guest;
			const now = arePromptPages(memory) ? memory.encodeNow(pages, options) : undefined;
			const batch = now ?? (await memory.encode(pages, options));
			try {
				hashes.set(batch.pageIndices, batch.hashes);
				this.#zeroPages += batch.zeroPages;
				this.#pacer.charge(batch.wireByteLength - pages.length * PAGE_BYTES);
				await conversation.sendBatch(batch, lane);
			} finally {
				batch.release();
			}
			this.#serving.onChange?.();
		};
		run().catch((error: unknown) => this.#fail(error));
	}

	/** A peer that says nothing any more has stopped, whatever its connection says. */
	async #watch(signal: AbortSignal): Promise<void> {
		const { clock, conversation } = this.#services;
		const { stallMs } = this.#serving;
		while (!signal.aborted) {
			conversation.send({ type: "alive" }, "urgent").catch((error: unknown) => this.#fail(error));
			await clock.sleep(stallMs / 4, signal).catch(ignoreStop);
			const silentMs = clock.now() - this.#lastNewsMs;
			if (!signal.aborted && silentMs >= stallMs)
				throw new MoveError("deadline", `the target has said nothing for ${silentMs} ms`);
		}
	}

	/** Compares what arrived with what was sent, or (full) with the frozen memory itself. */
	async #judge({ digest, pageCount, report }: CompleteRecord): Promise<void> {
		const { conversation, hashes } = this.#services;
		if (this.#queue.remaining > 0 || this.#underWay.size > 0 || pageCount !== hashes.pageCount)
			throw new MoveError("protocol", "the target says that it has every page, but pages are still owed");
		this.#report = report;
		const own = this.#serving.verification === "full" ? await this.#frozenHashes() : hashes;
		const same = own.digest(new Uint8Array(0)) === digest;
		this.#state = judged(this.#state, same);
		if (same) {
			this.#serving.onAccept?.();
			await conversation.send({ type: "accepted" });
			this.#finish({ corruptPages: [], corruptCount: 0, report });
			return;
		}
		const step = MAX_CHUNK_BYTES / 16;
		for (let first = 0; first < pageCount; first += step)
			await conversation.send({
				type: "hashes",
				firstPage: first,
				hashes: own.rangeBytes(first, Math.min(step, pageCount - first)),
			});
	}

	async #frozenHashes(): Promise<PageHashTable> {
		const { guest, hashes } = this.#services;
		const frozen = new PageHashTable(this.#engine, hashes.pageCount);
		for (let first = 0; first < hashes.pageCount; first += HASH_STEP_PAGES) {
			const count = Math.min(HASH_STEP_PAGES, hashes.pageCount - first);
			const pages = Uint32Array.from({ length: count }, (_, i) => first + i);
			frozen.set(pages, await guest.pages.hashes(first, count));
		}
		// What checkpoints have changed here went out before, as its hash was noted then.
		for (const page of this.#serving.follower?.changedPages ?? [])
			if (page < hashes.pageCount) frozen.set(Uint32Array.of(page), hashes.rangeBytes(page, 1));
		return frozen;
	}

	#sample(): PagingSample {
		return {
			atMs: this.#services.clock.now() - this.#startedMs,
			missingPages: this.#queue.remaining,
			faultPages: this.#networkFaults,
			inFlightWaits: this.#inFlightWaits,
		};
	}
}

/** A sleep that ends because the serving has. */
function ignoreStop(): void {}
