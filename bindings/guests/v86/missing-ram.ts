// RAM pages of a v86 machine that are missing, in the worker that steps it: whatever reads or writes RAM asks here first, and the
// thread stands still until the page is there.
//
//   guest's access ─▶ TLB miss ─▶ page walk ─▶ onWalk: the walk is made here first, by the same tables: page directory, page
//                                              table and page, each of which may be missing
//   device or host ─▶ touch: the pages of a range
//
// v86 fills its translation buffer (TLB) in the page walk alone, and `begin` clears it: no access passes by. What v86 reads at
// physical addresses without a walk:
//   interrupt vectors of real mode     page 0, which travels inside the switch (V86_PINNED_PAGE)
//   a descriptor or an I/O permission  that goes on into the next page: v86 reads on in physical memory. Where a table goes on
//                                      beyond a page, the next page is brought with it
//   the page directory pointers (PAE)  the walk here does not know them: once PAE is on, every page is brought first
//   the BIOS below 4 GiB               a window on the first megabyte
//   the compiler                       translates each page by a walk as well
// RAM behind the graphics card's window (0xA0000 to 0xBFFFF) is reached by nobody.
//
// Invariants: see fault-work.ts. When nothing is missing any more, no walk is reported.
import { BatchDecoder } from "../../engine/batch.ts";
import type { Engine } from "../../engine/engine.ts";
import type { Clock } from "../../ports/clock.ts";
import { GuestError, PAGE_BYTES, type PageBits } from "../../ports/guest.ts";
import type { FaultMemory } from "../fault-inbox.ts";
import { type FaultEvents, FaultWork } from "../fault-work.ts";
import { OwedPages } from "../owed-pages.ts";
import { CR4_PAE, CR4_PSE, Place } from "./emulator.ts";
import type { V86Machine } from "./machine.ts";

/** Holds what real mode reads without a page walk: it is never missing. */
export const V86_PINNED_PAGE = 0;

const PRESENT = 1;
const LARGE = 0x80;
/** From here on the BIOS is seen once more. */
const BIOS_WINDOW = 0xfff0_0000;
const BIOS_WINDOW_MASK = 0xf_ffff;

/** A wait that is longer than this is an outage: it is not the guest's time, as a pause is not. */
const OUTAGE_MS = 100;

/** See the head of this file. One per machine; does nothing until {@link begin}. */
export class MissingRam {
	readonly #clock: Clock;
	#machine: V86Machine | undefined;
	#engine: Engine | undefined;
	/** Its room in the engine is never given back: one for all times that pages are missing. */
	#decoder: BatchDecoder | undefined;
	#faults: FaultWork | undefined;
	/** Not 0: the next use of the page is to be heard of. */
	#heard: Uint8Array = new Uint8Array(0);
	/** The machine's memory. */
	#words: Int32Array = new Int32Array(0);
	#hooked = false;

	constructor(clock: Clock) {
		this.#clock = clock;
	}

	/** The machine that has been built, and the engine beside it. */
	connect(machine: V86Machine, engine: Engine): void {
		this.#machine = machine;
		this.#engine = engine;
	}

	/** Pages that are missing. */
	get remaining(): number {
		return this.#faults?.remaining ?? 0;
	}

	/**
	 * These pages are missing from now on.
	 * @throws {GuestError} `incompatible` where page walks are not seen, or the guest uses PAE; `state` when it has begun before
	 */
	begin(shared: FaultMemory, missing: PageBits, events: FaultEvents): void {
		const machine = this.#machine!;
		if (this.#faults !== undefined) throw new GuestError("state", "begin: pages of this guest are missing already");
		const obstacle = faultingObstacle(machine.patched, machine.usesPae);
		if (obstacle !== undefined) throw new GuestError("incompatible", `begin: ${obstacle}`);
		if ((missing[V86_PINNED_PAGE >>> 3]! & (1 << (V86_PINNED_PAGE & 7))) !== 0)
			throw new GuestError("incompatible", `begin: page ${V86_PINNED_PAGE} of a v86 guest cannot be waited for`);
		const owed = new OwedPages(missing, shared.pageCount);
		const memory = (): Uint8Array => machine.ram;
		this.#decoder ??= new BatchDecoder(this.#engine!);
		const decoder = this.#decoder;
		this.#faults = new FaultWork({ memory, decoder, clock: this.#clock, events, missing: owed }, shared);
		this.#heard = owed.states;
		this.#hookDevices(machine);
		machine.exports.pageferry_walks!.value = 1;
		machine.cpu.full_clear_tlb();
	}

	/** Nothing is missing (any more). @throws {GuestError} `state` if pages are */
	end(): void {
		const { remaining } = this;
		if (remaining > 0) throw new GuestError("state", `end: ${remaining} pages are still missing`);
		this.#stop();
	}

	#stop(): void {
		if (this.#faults === undefined) return;
		this.#faults.end();
		this.#faults = undefined;
		this.#machine!.exports.pageferry_walks!.value = 0;
	}

	/** Installs what has come, a batch at a time. */
	*drain(): Generator<void, void> {
		const faults = this.#faults;
		if (faults !== undefined) yield* faults.drain();
	}

	/** @throws {GuestError} `missing` if any of these pages is */
	require(what: string, firstPage: number, pageCount: number): void {
		if (this.#faults?.hasAny(firstPage, pageCount))
			throw new GuestError("missing", `${what}: pages of this guest are not here yet`);
	}

	/** A page walk begins for this virtual address. */
	onWalk(address: number): void {
		if (this.#faults === undefined) return;
		const machine = this.#machine!;
		const { buffer } = machine.exports.memory;
		if (this.#words.buffer !== buffer) this.#words = new Int32Array(buffer);
		const words = this.#words;
		const cr4 = words[CONTROL + 4]!;
		if ((cr4 & CR4_PAE) !== 0) {
			this.touch(0, machine.hardware.memoryByteLength);
			return;
		}
		const physical = words[CONTROL]! >= 0 ? address : this.#walked(address, (cr4 & CR4_PSE) !== 0);
		if (physical !== undefined) this.#arrive(physical, address);
	}

	/** Where a walk of the page tables ends; `undefined` where it ends in a page fault. */
	#walked(address: number, hasLargePages: boolean): number | undefined {
		const directory = this.#words[CONTROL + 3]! + ((address >>> 22) << 2);
		const directoryEntry = this.#read(directory >>> 0);
		if ((directoryEntry & PRESENT) === 0) return undefined;
		if ((directoryEntry & LARGE) !== 0 && hasLargePages)
			return ((directoryEntry & 0xffc0_0000) | (address & 0x3f_f000)) >>> 0;
		const entry = this.#read(((directoryEntry & -PAGE_BYTES) + (((address >>> 12) & 0x3ff) << 2)) >>> 0);
		return (entry & PRESENT) === 0 ? undefined : (entry & -PAGE_BYTES) >>> 0;
	}

	/** A word of a page table, which is brought first. */
	#read(physical: number): number {
		const { memoryByteLength } = this.#machine!.hardware;
		if (physical >= memoryByteLength) return 0;
		this.#need(physical >>> 12);
		return this.#words[(this.#machine!.ramOffset + physical) >>> 2]!;
	}

	/** The walk ends at this page. */
	#arrive(physical: number, address: number): void {
		const at = physical >= BIOS_WINDOW ? physical & BIOS_WINDOW_MASK : physical;
		this.#need(at >>> 12);
		if (this.#goesOn(address)) this.#need((at >>> 12) + 1);
	}

	/** Whether a table of descriptors or the task state begins before the end of this virtual page, and goes on beyond it. */
	#goesOn(address: number): boolean {
		const from = address - (address % PAGE_BYTES);
		const end = from + PAGE_BYTES;
		for (let table = 0; table < TABLES.length; table += 2) {
			const base = this.#words[TABLES[table]!]! >>> 0;
			const last = base + (this.#words[TABLES[table + 1]!]! >>> 0);
			if (base < end && last >= end) return true;
		}
		return false;
	}

	#need(page: number): void {
		if (page < this.#heard.length && this.#heard[page] !== 0) this.touch(page * PAGE_BYTES, 1);
	}

	/** Returns once the pages of a range are there. */
	touch(address: number, byteLength: number): void {
		const faults = this.#faults;
		if (faults === undefined) return;
		const { time } = this.#machine!;
		const [startedMs, guestMs] = [this.#clock.now(), time.valueMs];
		faults.touch(address, Math.min(byteLength, this.#machine!.hardware.memoryByteLength - address));
		if (this.#clock.now() - startedMs > OUTAGE_MS) time.set(guestMs);
	}

	/** Devices reach RAM through functions of the processor. Wrapped once; they ask whether anything is missing. */
	#hookDevices({ cpu }: V86Machine): void {
		if (this.#hooked) return;
		this.#hooked = true;
		const { write_blob: writeBlob, read_blob: readBlob, zero_memory: zeroMemory } = cpu;
		cpu.zero_memory = (address, byteLength) => {
			this.touch(address, byteLength);
			zeroMemory(address, byteLength);
		};
		cpu.write_blob = (blob, offset) => {
			this.touch(offset, blob.length);
			writeBlob.call(cpu, blob, offset);
		};
		cpu.read_blob = (offset, length) => {
			this.touch(offset, length);
			return readBlob.call(cpu, offset, length);
		};
		const word = <Rest extends readonly number[], Result>(
			work: (address: number, ...rest: Rest) => Result,
			byteLength: number,
		) => {
			return (address: number, ...rest: Rest): Result => {
				this.touch(address, byteLength);
				return work(address, ...rest);
			};
		};
		cpu.read8 = word(cpu.read8, 1);
		cpu.read16 = word(cpu.read16, 2);
		cpu.read32s = word(cpu.read32s, 4);
		cpu.write8 = word(cpu.write8, 1);
		cpu.write16 = word(cpu.write16, 2);
		cpu.write32 = word(cpu.write32, 4);
	}
}

const CONTROL = Place.controlRegisters / 4;
const TASK = 6;
/** Where base and limit of each table lie: of segments, of interrupts, and the task state. */
const TABLES = [
	...[Place.segmentTable / 4 + 1, Place.segmentTable / 4],
	...[Place.interruptTable / 4 + 1, Place.interruptTable / 4],
	...[Place.segmentBases / 4 + TASK, Place.segmentLimits / 4 + TASK],
];

/** Why a machine cannot run while pages are missing; `undefined` if it can. */
export function faultingObstacle(patched: boolean, usesPae: boolean): string | undefined {
	if (!patched) return "the page walk of this build of v86 is not known: use pre-copy or stop-and-copy";
	if (usesPae) return "the guest's kernel uses PAE, whose page tables are not followed: use pre-copy or stop-and-copy";
	return undefined;
}
