/**
 * The iteration engine: sends a guest's pages in rounds while the guest runs, then the rest while it is paused. Pre-copy,
 * the save family and hybrid moves share it; they differ in the sink, the policies, and what happens around it.
 *
 *   live round     for each window of up to 1024 pages of to_send:
 *                    peek the dirty log over the window's range   → to_skip
 *                    pre-copy step                                → the pages to send now
 *                    encode beside the memory, send, note hashes
 *                  harvest the dirty log (read and clear)         → to_send of the next round
 *   final round    the guest is paused: harvest, then everything in to_send or to_fix
 *   copied         the guest is paused: harvest, and the same pages are copied; it may run on before the final round sends them
 *   left           the guest is paused: harvest, and the same pages are named instead of sent (hybrid, post-copy)
 *
 * It starts with every page, or, where its caller keeps a cursor open between snapshots, with what that cursor has.
 *
 * Invariants: a dirty bit is cleared (harvested) before its page is read, so a change is sent twice rather than lost; a
 * grown size is announced before any page beyond the old one; pages in the balloon are not sent: they are zero, as a page
 * that never travelled is, and what becomes of them after they were asked about is in the dirty log; at most a few batches are under way, whatever the size of
 * the guest.
 *
 * Source: spec section 1, Hines et al. (Xen's pre-copy as the paper describes it), with Xen's batch of 1024 pages.
 */
import type { Bitmap } from "../engine/bitmap.ts";
import { createEngine, type Engine } from "../engine/engine.ts";
import { PageList } from "../engine/page-list.ts";
import { PreCopyStep } from "../engine/precopy.ts";
import type { CompressionPolicy } from "../policies/compression.ts";
import type { ConvergenceFacts, ConvergencePolicy, RoundFacts, StopReason } from "../policies/convergence.ts";
import { LinkRate } from "../policies/link-rate.ts";
import { Pacer, type PacingPolicy } from "../policies/pacing.ts";
import { isBallooningGuest } from "../ports/ballooning-guest.ts";
import type { Clock } from "../ports/clock.ts";
import type { CopyControl } from "../ports/copying-guest.ts";
import {
	type DirtyCursor,
	type Guest,
	MAX_BATCH_PAGES,
	PAGE_BYTES,
	type PageBits,
	type PageKinds,
} from "../ports/guest.ts";
import { PageHashTable } from "../wire/digest.ts";
import { BatchPipeline } from "./batch-pipeline.ts";
import { type EncodingRound, PageEncoding } from "./page-encoding.ts";
import type { PageSink } from "./page-sink.ts";

/** Pages encoded in one call: 2 MiB are 0.4 ms of the guest's thread, and 8 % less work per page than 1 MiB. */
const ENCODE_PAGES = 512;
/** Pause between rounds when there is nothing to send. */
const IDLE_ROUND_MS = 1;
/** Under a rate cap one batch is at most so many ms of it: finer batches keep the link evenly busy. */
const PACED_BATCH_MS = 10;
/**
 * A window in which nothing was dirty is followed by windows that are not peeked, for at most so many ms: on a fast link a
 * peek reads the memory as often as encoding does, and of an idle guest it never finds anything.
 */
const QUIET_MS = 10;

/** What an iteration works with. */
export interface IterationServices {
	readonly guest: Guest;
	readonly clock: Clock;
	readonly sink: PageSink;
	/** A table that outlives the iteration: hashes of pages that are not sent again. Its own if left out. */
	readonly hashes?: PageHashTable;
}

/** A cursor that was open before the iteration, for {@link Iteration.open}. */
export interface KeptCursor {
	/** The iteration closes it with itself: a caller that keeps it gives out a cursor whose `close` does nothing. */
	readonly cursor: DirtyCursor;
	/** What round 1 sends: every page, or only those that are dirty. */
	readonly from: "everything" | "dirty";
}

/** How an iteration behaves. */
export interface IterationOptions {
	readonly pacing?: PacingPolicy | undefined;
	/** Left out: the engine chooses by the link's rate. */
	readonly compression?: CompressionPolicy | undefined;
	/** Pages of which the version sent last is held, to send deltas against it; 0 or left out: none. */
	readonly deltaCachePages?: number | undefined;
	/** Called after each window with what is left of the round. */
	readonly onWindow?: (pendingPages: number) => void;
	readonly onRound?: (round: RoundFacts) => void;
}

/** See the head of this file. One per operation; {@link close} it whatever happens. */
export class Iteration {
	readonly #guest: Guest;
	readonly #clock: Clock;
	readonly #sink: PageSink;
	readonly #options: IterationOptions;
	readonly #engine: Engine;
	readonly #step: PreCopyStep;
	readonly #toSend: Bitmap;
	/** The candidates of the window that is peeked, and the pages of the one that is sent. */
	readonly #candidates: PageList;
	readonly #window: PageList;
	readonly #pacer: Pacer;
	readonly #rate = new LinkRate();
	readonly #encoding: PageEncoding;
	readonly #rounds: RoundFacts[] = [];
	/** Hashes of what was sent last, page by page. */
	readonly hashes: PageHashTable;
	#cursor: DirtyCursor | undefined;
	/** What to start with; undefined once it has started. */
	#from: KeptCursor["from"] | undefined = "everything";
	#kept = false;
	#pageCount: number;
	#sentPages = 0;
	#sentBytes = 0;
	#zeroPages = 0;
	#bandwidthBytesPerMs = 0;
	/** Until then the guest is taken to be quiet, after so many ms of it. */
	#quietUntilMs = Number.NEGATIVE_INFINITY;
	#quietMs = 0;

	constructor(services: IterationServices, options: IterationOptions) {
		this.#guest = services.guest;
		this.#clock = services.clock;
		this.#sink = services.sink;
		this.#options = options;
		this.#engine = createEngine();
		this.#pageCount = services.guest.pages.pageCount;
		const maximumPageCount = Math.max(this.#pageCount, services.guest.state.layout().maximumPageCount);
		this.#step = new PreCopyStep(this.#engine, maximumPageCount);
		this.#toSend = this.#step.toSend;
		this.#candidates = new PageList(this.#engine, MAX_BATCH_PAGES);
		this.#window = new PageList(this.#engine, MAX_BATCH_PAGES);
		this.#pacer = new Pacer(services.clock);
		this.#encoding = new PageEncoding(services.guest, options, this.#rate);
		this.hashes = services.hashes ?? new PageHashTable(this.#engine, this.#pageCount);
		this.hashes.grow(this.#pageCount);
	}

	/** Rounds so far, the final one included. */
	get rounds(): readonly RoundFacts[] {
		return this.#rounds;
	}

	/** Pages sent so far, each as often as it was sent. */
	get sentPages(): number {
		return this.#sentPages;
	}

	/** How many of {@link sentPages} were zero. */
	get zeroPages(): number {
		return this.#zeroPages;
	}

	/** How the pages were sent; undefined if the guest does not say. */
	get pageKinds(): PageKinds | undefined {
		return this.#encoding.kinds;
	}

	/** Why no versions were held for deltas although the guest could; undefined otherwise. */
	get deltaObstacle(): string | undefined {
		return this.#encoding.deltaObstacle;
	}

	/** What the operation itself holds, in bytes: bitmaps, lists, the hash table, versions sent. Not the guest's shadow. */
	get memoryBytes(): number {
		return this.#engine.usedBytes + this.hashes.byteLength + this.#encoding.memoryBytes;
	}

	/** What policies and progress look at, with this many pages pending. */
	facts(pendingPages: number): ConvergenceFacts {
		return {
			rounds: this.#rounds,
			pageCount: this.#pageCount,
			pendingPages,
			totalSentPages: this.#sentPages,
			bandwidthBytesPerMs: this.#bandwidthBytesPerMs,
			bytesPerPage: this.#sentPages === 0 ? PAGE_BYTES : this.#sentBytes / this.#sentPages,
		};
	}

	/** Attaches the dirty tracker: changes count from here, or from when the kept cursor was harvested last. */
	async open(kept?: KeptCursor): Promise<void> {
		this.#cursor = kept?.cursor ?? (await this.#guest.dirty.open());
		if (kept !== undefined) this.#from = kept.from;
		this.#kept = kept !== undefined;
	}

	/** Live rounds until the policy says stop; called again, it goes on. @returns its reason. */
	async live(policy: ConvergencePolicy, signal: AbortSignal): Promise<StopReason> {
		if (this.#from !== undefined) await this.#start(signal);
		for (;;) {
			await this.#round(signal, false);
			const pendingPages = this.#toSend.count();
			const reason = policy(this.facts(pendingPages));
			if (reason !== undefined) return reason;
			signal.throwIfAborted();
			// A policy that wants more rounds of an idle guest must not turn this into a busy loop.
			if (pendingPages === 0) await this.#clock.sleep(IDLE_ROUND_MS, signal);
		}
	}

	/** The rest, while the guest is paused. Without {@link open}: everything. */
	async final(signal: AbortSignal): Promise<void> {
		await this.#collectRest(signal);
		this.#toSend.or(this.#step.toFix); // pages that could not be sent while live
		await this.#round(signal, true);
	}

	/**
	 * While the guest is paused: copies the pages that {@link final} would send, so that it may run on before they are sent.
	 * More of them than a copy holds are sent at once.
	 * @returns what sends the rest: called once
	 */
	async copyRest(copies: CopyControl, signal: AbortSignal): Promise<(signal: AbortSignal) => Promise<void>> {
		await this.#collectRest(signal);
		this.#toSend.or(this.#step.toFix); // pages that could not be sent while live
		const pages = this.#toSend.count();
		if (pages > Math.min(copies.mostPages, MAX_BATCH_PAGES)) {
			await this.#round(signal, true);
			return () => Promise.resolve();
		}
		if (pages > 0) {
			this.#toSend.listInto(this.#candidates, 0, this.#pageCount);
			this.#encoding.from(await copies.pages(this.#candidates.toArray()));
		}
		return (later) => this.#round(later, true);
	}

	/**
	 * Instead of a live round: marks every page that is not zero to be sent, and sends none. A page that changes after it
	 * was looked at is in the dirty log.
	 */
	async markNonZero(signal: AbortSignal): Promise<void> {
		await this.#noteSize(this.#guest.pages.pageCount, signal);
		for (let first = 0; first < this.#pageCount; first += MAX_BATCH_PAGES) {
			const count = Math.min(MAX_BATCH_PAGES, this.#pageCount - first);
			const hashes = await this.#guest.pages.hashes(first, count);
			signal.throwIfAborted();
			// The table has sent nothing yet: it says that every page is zero.
			for (const page of this.hashes.differences(first, hashes)) this.#toSend.set(page);
			await this.#clock.sleep(0, signal);
		}
	}

	/** While the guest is paused: the pages that {@link final} would send, one bit each, and sends none. */
	async left(signal: AbortSignal): Promise<PageBits> {
		await this.#collectRest(signal);
		this.#toSend.or(this.#step.toFix);
		this.#step.toFix.clearAll();
		const bits = this.#toSend.rangeBytes(0, this.#pageCount);
		this.#toSend.clearAll();
		return bits;
	}

	/** While the guest is paused, after {@link left}: sends these of its pages, as the final round. */
	async finalOf(pages: PageBits, signal: AbortSignal): Promise<void> {
		this.#toSend.loadRange(0, this.#pageCount, pages);
		await this.#round(signal, true);
	}

	/** Detaches the tracker, and keeps what is known of the pages. Safe to call twice. */
	async detach(): Promise<void> {
		const cursor = this.#cursor;
		this.#cursor = undefined;
		try {
			await this.#encoding.close();
		} finally {
			await cursor?.close();
		}
	}

	/** Detaches the tracker and gives up everything. Safe to call twice. */
	async close(): Promise<void> {
		await this.detach();
		this.#engine.dispose();
	}

	/** Fills to_send for the first time. */
	async #start(signal: AbortSignal): Promise<void> {
		// The guest may have grown before the cursor was open: those pages are in no harvest.
		await this.#noteSize(this.#guest.pages.pageCount, signal);
		if (this.#kept) await this.#harvest(signal);
		if (this.#from === "everything") this.#toSend.setRange(0, this.#pageCount);
		await this.#leaveOutBalloon(signal);
		this.#from = undefined;
	}

	/** While the guest is paused: what is dirty, or what there is to start with if nothing has been sent live. */
	async #collectRest(signal: AbortSignal): Promise<void> {
		if (this.#from !== undefined && (this.#kept || this.#cursor === undefined)) await this.#start(signal);
		else await this.#harvest(signal);
	}

	async #round(signal: AbortSignal, last: boolean): Promise<void> {
		const startedMs = this.#clock.now();
		const before = { pages: this.#sentPages, bytes: this.#sentBytes };
		const toSendPages = this.#toSend.count();
		this.#pacer.setRate(last ? undefined : this.#options.pacing?.(this.#rounds));
		const skippedPages = await this.#sendWindows(toSendPages, signal, last);
		const sentBytes = this.#sentBytes - before.bytes;
		const durationMs = this.#clock.now() - startedMs;
		if (sentBytes > 0 && durationMs > 0) this.#bandwidthBytesPerMs = sentBytes / durationMs;
		const dirtiedPages = last ? 0 : await this.#harvest(signal);
		const round: RoundFacts = {
			index: this.#rounds.length + 1,
			toSendPages,
			sentPages: this.#sentPages - before.pages,
			skippedPages,
			sentBytes,
			durationMs,
			dirtiedPages,
		};
		this.#rounds.push(round);
		this.#options.onRound?.(round);
	}

	/** Sends a round window by window. @returns pages skipped. */
	async #sendWindows(toSendPages: number, signal: AbortSignal, last: boolean): Promise<number> {
		const { rate: capBytesPerMs } = this.#pacer;
		const round: EncodingRound = { index: this.#rounds.length + 1, last, capBytesPerMs };
		const pipeline = new BatchPipeline({
			...{ sink: this.#sink, clock: this.#clock, pacer: this.#pacer, rate: this.#rate, signal },
		});
		this.#quietUntilMs = Number.NEGATIVE_INFINITY;
		this.#quietMs = 0;
		await this.#encoding.begin(round);
		let skipped = 0;
		let pending = toSendPages;
		try {
			let window = this.#peekWindow(0, last);
			for (let next = await window; next !== undefined; next = await window) {
				signal.throwIfAborted();
				// The next window is peeked while this one is sent: a peek only saves work, it never decides correctness.
				window = this.#peekWindow(next.end, last);
				window.catch(() => undefined); // awaited by the loop; a failed send must not leave it unhandled
				const step = this.#step.step(this.#window, next.first, next.end - next.first, last);
				skipped += step.skipped;
				await this.#sendPages(this.#window.toArray(), round, pipeline);
				pending -= step.sent + step.skipped;
				this.#options.onWindow?.(pending);
			}
			await pipeline.drain();
			// What is left of this round on the link is what the guest would stand still for if it were paused now.
			if (!last) await this.#sink.settle?.(signal);
		} catch (error) {
			this.#encoding.failed();
			throw error;
		} finally {
			await pipeline.settle();
		}
		return skipped;
	}

	/** The next range that holds up to 1024 pages to send, with to_skip filled for it. */
	async #peekWindow(from: number, last: boolean): Promise<{ first: number; end: number } | undefined> {
		this.#toSend.listInto(this.#candidates, from, this.#pageCount - from);
		const candidates = this.#candidates.view();
		if (candidates.length === 0) return undefined;
		const first = Math.max(from, candidates[0]!);
		const end = candidates[candidates.length - 1]! + 1;
		if (!last && this.#cursor !== undefined) {
			const start = first & ~7; // bits travel as bytes
			this.#step.toSkip.loadRange(start, end - start, await this.#peek(this.#cursor, start, end - start));
		}
		return { first, end };
	}

	/** Which of the pages to send of this range are dirty again; none while the guest is taken to be quiet. */
	async #peek(cursor: DirtyCursor, first: number, count: number): Promise<PageBits> {
		const nowMs = this.#clock.now();
		if (nowMs < this.#quietUntilMs) return new Uint8Array(Math.ceil(count / 8));
		const bits = await cursor.peek(first, count, this.#toSend.rangeBytes(first, count));
		this.#quietMs = bits.some((byte) => byte !== 0) ? 0 : Math.min(QUIET_MS, this.#quietMs * 2 + 1);
		this.#quietUntilMs = nowMs + this.#quietMs;
		return bits;
	}

	async #sendPages(pageIndices: Uint32Array, round: EncodingRound, pipeline: BatchPipeline): Promise<void> {
		const rate = this.#pacer.rate ?? Number.POSITIVE_INFINITY;
		const step = Math.min(ENCODE_PAGES, Math.max(1, Math.floor((rate * PACED_BATCH_MS) / PAGE_BYTES)));
		for (let from = 0; from < pageIndices.length; from += step) {
			const some = pageIndices.slice(from, from + step);
			await pipeline.push(this.#encoding.encode(some, round), (batch) => {
				this.#encoding.note(batch);
				this.hashes.set(batch.pageIndices, batch.hashes);
				this.#sentPages += batch.pageIndices.length;
				this.#sentBytes += batch.wireByteLength;
				this.#zeroPages += batch.zeroPages;
			});
		}
	}

	/** Reads and clears the dirty log into to_send. @returns pages that were dirty. */
	async #harvest(signal: AbortSignal): Promise<number> {
		const dirty = await this.#cursor!.harvest();
		await this.#noteSize(dirty.pageCount, signal);
		this.#toSend.orRange(0, dirty.pageCount, dirty.bits);
		await this.#leaveOutBalloon(signal);
		return dirty.dirtyCount;
	}

	/** Only after the dirty log was read: a page that leaves the balloon and is written to is in the next harvest. */
	async #leaveOutBalloon(signal: AbortSignal): Promise<void> {
		if (!isBallooningGuest(this.#guest)) return;
		const out = await this.#guest.balloon.out();
		signal.throwIfAborted();
		for (const [i, byte] of out.entries())
			for (let bits = byte; bits !== 0; bits &= bits - 1) {
				const page = i * 8 + 31 - Math.clz32(bits & -bits);
				// A page that has travelled with something in it must be made zero at the other side.
				if (page < this.#pageCount && this.hashes.isZero(page)) this.#toSend.clear(page);
			}
	}

	async #noteSize(pageCount: number, signal: AbortSignal): Promise<void> {
		if (pageCount <= this.#pageCount) return;
		await this.#sink.grow(pageCount, signal);
		this.hashes.grow(pageCount);
		this.#pageCount = pageCount;
	}
}
