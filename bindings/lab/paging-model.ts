/**
 * Post-copy's paging as a discrete-event model around the real page queue (`paging/page-queue.ts`), for figures that only
 * depend on the order of pages: the full code is a hundred times slower, and these experiments have millions of touches.
 *
 *   process touches a missing page ─▶ fault ─ latency ─▶ queue.fault ─▶ ahead of all pushed pages ─┐
 *   queue.push ─▶ at most `queuedAhead` pages staged ──────────────────────────────────────────────┴▶ one slot each ─ latency ─▶ here
 *
 * Processes share the cores, first come first served by time slices. Parameters: findings of the prepaging study.
 */
import { createEngine } from "../engine/engine.ts";
import { PageList } from "../engine/page-list.ts";
import { createPageQueue, type PageQueue } from "../paging/page-queue.ts";
import type { PushOrder } from "../policies/push-order.ts";
import { EventQueue } from "./event-queue.ts";
import type { Program, Touch } from "./program.ts";

/** What a run is made of; times in ms. */
export interface PagingModelOptions {
	/** A page on the wire: 33 µs at gigabit Ethernet. */
	readonly slotMs?: number;
	/** One way: 60 µs. */
	readonly latencyMs?: number;
	/** Pushed pages handed out before the wire takes them: 2. */
	readonly queuedAhead?: number;
	readonly cores?: number;
	/** CPU time of a fault: 8 µs. */
	readonly faultCpuMs?: number;
	/** Longest turn of a process: 10 ms. */
	readonly sliceMs?: number;
	readonly programs: readonly Program[];
	readonly pageCount: number;
	/** The pages that are missing, by position of the pseudo-paging device: the most recently used end first. */
	readonly order: Uint32Array;
	readonly push: PushOrder;
}

/** What a run gave. */
export interface PagingModelResult {
	/** Faults that the source served on demand: the paper's network faults. */
	readonly networkFaults: number;
	/** Faults on pages that were on their way. */
	readonly inFlightWaits: number;
	/** First touches of pages that had come before. */
	readonly minorFaults: number;
	/** Summed over processes. */
	readonly blockedMs: number;
	/** CPU time of useful work until the last page came. */
	readonly workMs: number;
	readonly totalMs: number;
}

interface Process {
	readonly program: Program;
	readonly touch: Touch;
	/** Whether `touch` has been filled and not been done. */
	pending: boolean;
	blockedSinceMs: number;
}

/** Runs it until every page has come. */
export function runPagingModel(options: PagingModelOptions): PagingModelResult {
	return new PagingModel(options).run();
}

class PagingModel {
	readonly #options: Required<PagingModelOptions>;
	readonly #queue: PageQueue;
	readonly #list: PageList;
	readonly #events = new EventQueue();
	/** Per page: 0 present, 1 missing. */
	readonly #missing: Uint8Array;
	/** Pages that were missing at first and have not been touched. */
	readonly #untouched: Uint8Array;
	readonly #waiting = new Map<number, Process[]>();
	readonly #ready: Process[] = [];
	readonly #faults: number[] = [];
	readonly #staged: number[] = [];
	#idleCores: number;
	#wireBusy = false;
	#left: number;
	#networkFaults = 0;
	#inFlightWaits = 0;
	#minorFaults = 0;
	#blockedMs = 0;
	#workMs = 0;

	constructor(options: PagingModelOptions) {
		const defaults = { slotMs: 0.033, latencyMs: 0.06, queuedAhead: 2, cores: 2, faultCpuMs: 0.008, sliceMs: 10 };
		this.#options = { ...defaults, ...options };
		const { pageCount, order, push } = options;
		const owed = new Uint8Array(Math.ceil(pageCount / 8));
		for (const page of order) owed[page >>> 3]! |= 1 << (page & 7);
		const engine = createEngine();
		this.#queue = createPageQueue(engine, owed, pageCount, order, push);
		this.#list = new PageList(engine, 1);
		this.#missing = new Uint8Array(pageCount);
		for (const page of order) this.#missing[page] = 1;
		this.#untouched = this.#missing.slice();
		this.#left = order.length;
		this.#idleCores = this.#options.cores;
		for (const program of options.programs)
			this.#ready.push({
				...{ program, pending: false, blockedSinceMs: 0 },
				touch: { page: 0, write: false, workMs: 0 },
			});
	}

	run(): PagingModelResult {
		this.#transmit();
		this.#dispatch();
		while (this.#left > 0 && this.#events.step());
		return {
			networkFaults: this.#networkFaults,
			inFlightWaits: this.#inFlightWaits,
			minorFaults: this.#minorFaults,
			blockedMs: this.#blockedMs,
			workMs: this.#workMs,
			totalMs: this.#events.nowMs,
		};
	}

	#dispatch(): void {
		while (this.#idleCores > 0) {
			const process = this.#ready.shift();
			if (process === undefined) return;
			this.#idleCores--;
			this.#slice(process, this.#options.sliceMs);
		}
	}

	/** Runs a process ahead to its next missing page or the end of its slice: what is present stays so. */
	#slice(process: Process, leftMs: number): void {
		const { touch, program } = process;
		let usedMs = 0;
		for (;;) {
			if (!process.pending && !program.next(touch)) break;
			process.pending = true;
			if (this.#missing[touch.page] === 1 || usedMs >= leftMs) break;
			if (this.#untouched[touch.page] === 1) {
				this.#untouched[touch.page] = 0;
				this.#minorFaults++;
			}
			usedMs += touch.workMs;
			process.pending = false;
		}
		this.#workMs += usedMs;
		this.#events.schedule(usedMs, () => this.#sliceEnd(process, leftMs - usedMs));
	}

	#sliceEnd(process: Process, leftMs: number): void {
		const { page } = process.touch;
		if (process.pending && this.#missing[page] === 1) {
			this.#events.schedule(this.#options.faultCpuMs, () => {
				this.#idleCores++;
				this.#block(process, page);
				this.#dispatch();
			});
			return;
		}
		if (process.pending && leftMs > 0) {
			this.#slice(process, leftMs);
			return;
		}
		this.#idleCores++;
		if (process.pending) this.#ready.push(process);
		this.#dispatch();
	}

	#block(process: Process, page: number): void {
		if (this.#missing[page] === 0) {
			this.#ready.push(process);
			return;
		}
		this.#untouched[page] = 0;
		process.blockedSinceMs = this.#events.nowMs;
		const waiting = this.#waiting.get(page);
		if (waiting !== undefined) {
			waiting.push(process);
			return;
		}
		this.#waiting.set(page, [process]);
		this.#events.schedule(this.#options.latencyMs, () => {
			if (this.#queue.fault(page) === "send") {
				this.#networkFaults++;
				this.#faults.push(page);
			} else this.#inFlightWaits++;
			this.#transmit();
		});
	}

	#transmit(): void {
		const { queuedAhead, slotMs, latencyMs } = this.#options;
		while (this.#staged.length < queuedAhead && this.#queue.remaining > 0 && this.#queue.push(this.#list, 1) === 1)
			this.#staged.push(this.#list.view()[0]!);
		if (this.#wireBusy) return;
		const page = this.#faults.shift() ?? this.#staged.shift();
		if (page === undefined) return;
		this.#wireBusy = true;
		this.#events.schedule(slotMs, () => {
			this.#wireBusy = false;
			this.#events.schedule(latencyMs, () => this.#arrive(page));
			this.#transmit();
		});
	}

	#arrive(page: number): void {
		this.#missing[page] = 0;
		this.#left--;
		for (const process of this.#waiting.get(page) ?? []) {
			this.#blockedMs += this.#events.nowMs - process.blockedSinceMs;
			this.#ready.push(process);
		}
		this.#waiting.delete(page);
		this.#dispatch();
	}
}
