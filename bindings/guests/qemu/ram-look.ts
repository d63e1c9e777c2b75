// Which pages of a shard a look for changes has to read. What is not read must be known to be as the shadow has it:
//
//   all          nothing is known: every page is read
//   holes        only while the machine is paused: a page that the RAM file does not have is zero, and is not read if its shadow
//                is zero too
//   soft-dirty   a page that QEMU has not written since the marks were cleared, and we neither (soft-dirty.ts)
//
// How holes are found, without SEEK_DATA, which neither Node nor Deno has: a page that QEMU has mapped, or that we have
// written and that is not zero, is in the file. The system counts the file's pages. If there are as many of the former as
// of the latter, every other page is a hole: that is a proof, made over all shards by ram-tracking.ts. If not (the system has
// swapped pages out, or unmapped them), everything is read.

import { PAGE_BYTES } from "../../ports/guest.ts";
import type { PageFile } from "../../ports/host-files.ts";
import { bitsByteLength, countBits, forEachRun } from "../page-bits.ts";
import type { MappedPages, PageMap } from "./page-map.ts";
import type { LookKind, LookReport, ShardFacts } from "./ram-protocol.ts";

/**
 * Where less of the file is a hole than this, asking takes as long as reading: 1.2 ms for 16384 pages, whose scan takes 11 if
 * they are data and half of that if they are holes. With three quarters of 512 MB holes, a pause is 3.8 times as short.
 */
const LEAST_HOLES = 1 / 3;

/** What a look works with. */
export interface LookedAt {
	readonly facts: ShardFacts;
	readonly file: PageFile;
	readonly map: PageMap | undefined;
	/** Which pages of a run of the shard have a zero shadow: bit 0 is `firstPage`. */
	zeroShadows(firstPage: number, pageCount: number): Uint8Array;
}

/** See the head of this file. Pages are the shard's. */
export class RamLook {
	readonly #at: LookedAt;
	/** Pages that we wrote: in the file, and not zero when they were last looked at, unless QEMU has them mapped. */
	readonly #written: Uint8Array;
	/** Pages that we wrote since the last look. */
	readonly #fresh: Uint8Array;
	/** Pages whose shadow is known to be zero. */
	#zeros: Uint8Array<ArrayBuffer>;
	/** Pages that were mapped at any look since {@link start}. */
	#seen: Uint8Array<ArrayBuffer>;
	#kind: LookKind = "all";
	#mapped: MappedPages | undefined;
	#wanted: Uint8Array<ArrayBuffer> | undefined;
	#copied: Uint8Array<ArrayBuffer>;
	#allocatedPages = 0;
	#readPages = 0;

	constructor(at: LookedAt) {
		const { firstPage, pageCount, written, fresh } = at.facts;
		this.#at = at;
		const bytes = bitsByteLength(pageCount);
		this.#written = new Uint8Array(written, firstPage / 8, bytes);
		this.#fresh = new Uint8Array(fresh, firstPage / 8, bytes);
		this.#zeros = new Uint8Array(bytes);
		this.#seen = new Uint8Array(bytes);
		this.#copied = new Uint8Array(bytes);
	}

	/** The shadow is about to be made. */
	prepare(): void {
		this.#zeros.fill(0);
		this.#fresh.fill(0);
	}

	/** The shadow is new. */
	start(): void {
		const mapped = this.#read();
		if (mapped === undefined) return;
		this.#seen = mapped.present.slice();
		// Now, while the machine may run, not at its pause.
		this.#learnZeros(mapped.present);
	}

	begin(kind: LookKind): void {
		this.#copied.fill(0);
		this.#readPages = 0;
		this.#kind = kind;
		this.#wanted = undefined;
		if (kind === "holes") this.#leaveOutHoles();
		if (kind === "soft-dirty") this.#onlyWritten();
	}

	/** For a look at some pages that clears nothing; ended by {@link end}. */
	beginPeek(kind: LookKind, firstPage: number, pageCount: number): void {
		const { map, facts } = this.#at;
		if (kind !== "soft-dirty" || map === undefined || pageCount === 0) return;
		const { present, softDirty } = map.read(facts.firstPage + firstPage, pageCount);
		const from = firstPage >>> 3;
		this.#wanted ??= new Uint8Array(this.#seen.length);
		for (let at = 0; at < present.length; at++)
			this.#wanted[from + at] = softDirty[at]! | this.#fresh[from + at]! | (this.#seen[from + at]! & ~present[at]!);
	}

	/** Which pages of up to 64 to read, as bits; `undefined`: all. */
	wanted(firstPage: number, pageCount: number): Uint8Array | undefined {
		return this.#wanted?.subarray(firstPage >>> 3, (firstPage + pageCount + 7) >>> 3);
	}

	/** Pages were read from the file. */
	noteRead(pageCount: number): void {
		this.#readPages += pageCount;
	}

	/** Pages of the shadow have changed. */
	noteCopied(firstPage: number, pageCount: number): void {
		for (let page = firstPage; page < firstPage + pageCount; page++) {
			this.#zeros[page >>> 3]! &= ~(1 << (page & 7));
			this.#copied[page >>> 3]! |= 1 << (page & 7);
		}
	}

	end(): LookReport {
		const report = { kind: this.#kind, readPages: this.#readPages };
		const mapped = this.#mapped;
		const kind = this.#kind;
		this.#kind = "all";
		this.#wanted = undefined;
		this.#mapped = undefined;
		if (kind === "all" || mapped === undefined) return report;
		if (kind === "soft-dirty") {
			const lostPages = countBits(this.#seen.map((byte, at) => byte & ~mapped.present[at]!));
			for (let at = 0; at < this.#seen.length; at++) this.#seen[at]! |= mapped.present[at]!;
			return { ...report, lostPages };
		}
		this.#forgetPunched(mapped.present);
		const knownPages = countBits(this.#written.map((byte, at) => byte | mapped.present[at]!));
		return { ...report, knownPages, allocatedPages: this.#allocatedPages };
	}

	/** Pages that the marks name. For the probe. */
	softDirtyPages(): number {
		const mapped = this.#read();
		return mapped === undefined ? 0 : countBits(mapped.softDirty);
	}

	#leaveOutHoles(): void {
		const { file, facts } = this.#at;
		this.#allocatedPages = file.allocatedBytes() / PAGE_BYTES;
		const mapped = this.#allocatedPages > facts.guestPages * (1 - LEAST_HOLES) ? undefined : this.#read();
		if (mapped === undefined) {
			this.#kind = "all";
			return;
		}
		const { present } = mapped;
		this.#mapped = mapped;
		this.#learnZeros(present);
		const wanted = new Uint8Array(present.length);
		for (let at = 0; at < wanted.length; at++) {
			// Of a page that we wrote and that is zero nobody can tell whether the file has it.
			this.#written[at]! &= ~(this.#zeros[at]! & ~present[at]!);
			const some = present[at]! | this.#written[at]! | (~this.#zeros[at]! & 0xff);
			// Eight pages at a time: reads of one page take twice as long a byte.
			wanted[at] = some === 0 ? 0 : 0xff;
		}
		this.#wanted = wanted;
	}

	#onlyWritten(): void {
		const mapped = this.#read();
		if (mapped === undefined) {
			this.#kind = "all";
			return;
		}
		this.#mapped = mapped;
		// In one step: another worker may be writing pages, and notes it after.
		this.#wanted = mapped.softDirty.map((byte, at) => byte | Atomics.exchange(this.#fresh, at, 0));
	}

	/** Shadows of pages that are not mapped: most are of holes. */
	#learnZeros(present: Uint8Array): void {
		const unknown = present.map((byte, at) => ~(byte | this.#zeros[at]!));
		this.#lookForZeros(unknown);
	}

	/** A page that we wrote, that QEMU has not mapped and that has become zero was punched out, or never counts again. */
	#forgetPunched(present: Uint8Array): void {
		const doubtful = this.#copied.map((byte, at) => byte & this.#written[at]! & ~present[at]!);
		this.#lookForZeros(doubtful);
		for (let at = 0; at < doubtful.length; at++) this.#written[at]! &= ~(doubtful[at]! & this.#zeros[at]!);
	}

	/** Sets the zero bits of those of these pages whose shadow is zero. */
	#lookForZeros(pages: Uint8Array): void {
		forEachRun(pages, this.#at.facts.pageCount, (first, count) => {
			const found = this.#at.zeroShadows(first, count);
			forEachRun(found, count, (at, length) => {
				for (let page = first + at; page < first + at + length; page++) this.#zeros[page >>> 3]! |= 1 << (page & 7);
			});
		});
	}

	/** `undefined` where the system does not say. */
	#read(): MappedPages | undefined {
		const { map, facts } = this.#at;
		return map?.read(facts.firstPage, facts.pageCount);
	}
}
