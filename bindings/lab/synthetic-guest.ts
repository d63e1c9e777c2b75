/**
 * A guest without contents, for guests of any size: each page has a version instead of bytes (`synthetic-memory.ts`), a batch
 * is a few real bytes that are charged as what those pages would be on the wire, and a workload model writes. Time is virtual.
 *
 * Invariants: the dirty log is exact; after `pause` nothing changes. By option pages written through {@link
 * SyntheticGuest.write} keep their bytes.
 */
import type { FaultControl, FaultingGuest } from "../ports/faulting-guest.ts";
import {
	GuestError,
	type GuestLayout,
	type GuestPages,
	type GuestState,
	type Interruptions,
	PAGE_BYTES,
	type PageBits,
} from "../ports/guest.ts";
import type { OrderedGuest } from "../ports/ordered-guest.ts";
import { GuestCpu, type GuestCpuOptions, type PageCosts } from "./guest-cpu.ts";
import { MissingSet } from "./missing-set.ts";
import { SyntheticDirtyLog } from "./synthetic-dirty-log.ts";
import { SyntheticMemory } from "./synthetic-memory.ts";
import type { EventClock, Scheduled } from "./virtual-clock.ts";
import { idleWorkload, type PagedRun, type Workload, type WorkloadGuest } from "./workload.ts";

/** What a synthetic guest is made with. */
export interface SyntheticGuestOptions {
	readonly clock: EventClock;
	readonly pageCount: number;
	readonly maximumPageCount?: number;
	/** Keep bytes of pages written through `write`: for tests of what is above guests. */
	readonly contents?: boolean;
	/** Whether pages begin as version 1 (in use) or 0 (zero); zero by default. */
	readonly filled?: boolean;
	/** Its part in a host's CPU, which others use too; left out, it has all it wants and nothing else takes CPU time. */
	readonly cpu?: GuestCpuOptions;
	/** Pages it cannot fault on: with pseudo-paging the kernel's own memory, and every free page that no balloon holds. */
	readonly pinned?: PageBits;
	/** What one page that is not zero takes on the wire, tables included; the engine's raw page by default. */
	readonly wireBytesPerPage?: number;
	/** The order in which pages were used, most recent first, as a kernel's scan would know it. */
	readonly recentFirst?: () => Uint32Array<ArrayBuffer>;
}

/** See the head of this file. */
export class SyntheticGuest implements FaultingGuest, OrderedGuest, WorkloadGuest {
	readonly kind = "synthetic";
	readonly dirty: SyntheticDirtyLog;
	readonly pages: GuestPages;
	readonly state: GuestState;
	readonly faulting: FaultControl;
	readonly missing: MissingSet;
	readonly clock: EventClock;
	readonly cpu: GuestCpu | undefined;
	readonly order: OrderedGuest["order"];
	readonly #options: SyntheticGuestOptions;
	readonly #memory: SyntheticMemory;
	readonly #maximumPageCount: number;
	#status: "running" | "paused" | "gone";
	#workload: Workload = idleWorkload;
	#paged: PagedRun | undefined;
	#speed = 1;
	#workedUntilMs: number;
	#cpuMs = 0;
	#state: Uint8Array<ArrayBuffer> = new Uint8Array(64);

	constructor(options: SyntheticGuestOptions, status: "running" | "paused" = "running") {
		const { clock, pageCount, maximumPageCount = pageCount, recentFirst } = options;
		this.#memory = new SyntheticMemory(options);
		this.#options = options;
		this.clock = clock;
		this.cpu = options.cpu === undefined ? undefined : new GuestCpu(options.cpu);
		this.#maximumPageCount = Math.max(pageCount, maximumPageCount);
		this.#status = status;
		this.#workedUntilMs = clock.now();
		this.missing = new MissingSet(() => clock.now());
		this.dirty = new SyntheticDirtyLog({
			catchUp: () => this.catchUp(),
			pageCount: () => this.pageCount,
			maximumPageCount: this.#maximumPageCount,
			gone: () => this.#status === "gone",
			scan: (pages) => this.cpu?.spend("scanMsPerPage", pages),
		});
		this.pages = this.#makePages();
		this.state = this.#makeState();
		this.faulting = this.#makeFaulting();
		this.order = {
			source: "uses",
			open: async () => ({
				recentFirst: async () => recentFirst?.() ?? new Uint32Array(0),
				close: async () => undefined,
			}),
		};
	}

	/** Pages it has now. */
	get pageCount(): number {
		return this.#memory.pageCount;
	}

	get running(): boolean {
		return this.#status === "running";
	}

	/** CPU time the workload has had so far, in ms. */
	get cpuMs(): number {
		return this.#cpuMs + (this.#paged?.workMs ?? 0);
	}

	/** Share of full CPU time that the workload gets from now on: 0 … 1. */
	set speed(share: number) {
		this.catchUp();
		this.#speed = share;
		this.#wantCpu();
	}

	/** Gives the guest something to do. */
	work(workload: Workload): void {
		this.catchUp();
		this.#workload = workload;
		this.#wantCpu();
	}

	/** Lets the workload do what it has had time for. */
	catchUp(): void {
		const now = this.clock.now();
		const elapsedMs = now - this.#workedUntilMs;
		this.#workedUntilMs = now;
		if (this.#status !== "running" || this.#paged !== undefined || elapsedMs <= 0) return;
		const cpuMs = this.cpu === undefined ? elapsedMs * this.#speed : this.cpu.take();
		this.#cpuMs += cpuMs;
		this.#workload.advance(this, cpuMs);
	}

	/** One process of the workload computes on one core, and then acts. */
	compute(cpuMs: number, action: () => void): Scheduled {
		return this.cpu === undefined ? this.clock.schedule(cpuMs, action) : this.cpu.compute(cpuMs, action);
	}

	/** A workload writes a page. */
	touchWrite(page: number): void {
		this.#memory.versions[page]!++;
		this.dirty.mark(page);
	}

	/** The versions, for a workload's inner loop. */
	get versions(): Uint32Array<ArrayBuffer> {
		return this.#memory.versions;
	}

	/** Gives up pages, as a balloon or a kernel that clears them would: they are zero again. */
	clearPages(firstPage: number, pageCount: number): void {
		this.catchUp();
		const { versions } = this.#memory;
		for (let page = firstPage; page < firstPage + pageCount; page++) {
			versions[page] = 0;
			this.dirty.mark(page);
		}
	}

	/** Writes bytes. @throws {GuestError} unless it runs; TypeError for a guest without contents; RangeError. */
	write(byteOffset: number, bytes: Uint8Array): void {
		this.#require("running");
		this.#memory.write(byteOffset, bytes, (page) => this.touchWrite(page));
	}

	/** Reads bytes of a guest with contents. */
	read(byteOffset: number, byteLength: number): Uint8Array<ArrayBuffer> {
		this.#require("any");
		return this.#memory.read(byteOffset, byteLength);
	}

	/** Adds zero pages while running. */
	growMemory(pageCount: number): void {
		this.#require("running");
		this.#resize(pageCount);
	}

	pause(): Promise<void> {
		return this.#do(() => {
			this.catchUp();
			this.#stopPaged();
			this.#status = "paused";
			this.#wantCpu();
		});
	}

	resume(): Promise<void> {
		return this.#do(() => {
			if (this.#status === "running") return;
			this.#workedUntilMs = this.clock.now();
			this.#status = "running";
			if (this.missing.count > 0) this.#paged = this.#workload.startPaged?.(this);
			this.#wantCpu();
		});
	}

	discard(): Promise<void> {
		this.#stopPaged();
		this.#status = "gone";
		this.#wantCpu();
		this.#memory.clear();
		return Promise.resolve();
	}

	takeInterruptions(): Interruptions {
		return { slicesMs: [], pauseWaitMs: 0 };
	}

	/** Tells the host what the workload takes from now on. Processes that wait for pages take theirs step by step. */
	#wantCpu(): void {
		const isBusy = this.#status === "running" && this.#paged === undefined;
		this.cpu?.want(isBusy ? (this.#workload.cores ?? 1) : 0, this.#speed);
	}

	/** Works on pages when the host has had CPU time for it. */
	async #onPages<T>(cost: keyof PageCosts, pages: () => number, work: () => T): Promise<T> {
		this.#require("any");
		if (this.cpu !== undefined) {
			await this.cpu.spend(cost, pages());
			this.#require("any");
		}
		return work();
	}

	#stopPaged(): void {
		this.#cpuMs += this.#paged?.workMs ?? 0;
		this.#paged?.stop();
		this.#paged = undefined;
	}

	#makePages(): GuestPages {
		const guest = this;
		return {
			get pageCount() {
				return guest.pageCount;
			},
			encode: (pages) => {
				const pageIndices = pages.slice();
				return this.#onPages(
					"encodeMsPerPage",
					() => pageIndices.length,
					() => {
						this.catchUp();
						return this.#memory.encode(pageIndices);
					},
				);
			},
			apply: (batch) =>
				this.#onPages(
					"applyMsPerPage",
					() => this.#memory.decode(batch).pageIndices.length,
					() => {
						this.#require("paused");
						return this.#memory.apply(batch);
					},
				),
			hashes: (firstPage, pageCount) =>
				this.#onPages(
					"hashMsPerPage",
					() => pageCount,
					() => {
						this.catchUp();
						return this.#memory.hashes(firstPage, pageCount);
					},
				),
			grow: (pageCount) => this.#do(() => this.#resize(pageCount)),
		};
	}

	#makeState(): GuestState {
		return {
			layout: (): GuestLayout => ({
				kind: this.kind,
				pageBytes: PAGE_BYTES,
				pageCount: this.pageCount,
				maximumPageCount: this.#maximumPageCount,
				resources: [],
				facts: {},
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
			pinned: () => this.#do(() => this.#options.pinned?.slice() ?? new Uint8Array(Math.ceil(this.pageCount / 8))),
			begin: (missing, onFault) =>
				this.#do(() => {
					this.#require("paused");
					this.missing.begin(missing, onFault);
				}),
			install: (batch, taken) =>
				this.#onPages(
					"applyMsPerPage",
					() => this.#memory.decode(batch).pageIndices.length,
					() => this.#memory.install(batch, this.missing, taken),
				),
			end: () =>
				this.#do(() => {
					this.missing.end();
					this.#stopPaged();
					this.#workedUntilMs = this.clock.now();
					this.#wantCpu();
				}),
			faultReport: () => this.missing.report(),
		};
	}

	#resize(pageCount: number): void {
		if (pageCount > this.#maximumPageCount)
			throw new GuestError("too-large", `${pageCount} pages, at most ${this.#maximumPageCount}`);
		const before = this.pageCount;
		if (pageCount <= before) return;
		this.#memory.grow(pageCount);
		for (let page = before; page < pageCount; page++) this.dirty.mark(page);
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
