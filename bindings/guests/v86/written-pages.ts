// The dirty log of a v86 guest whose page walk is patched: one byte a page in the machine's memory, set when the page may be
// written from then on. Several cursors read it; what one collects is noted for all of them.
//
//   guest ─▶ page walk ─▶ byte map ──collect: read, clear, clear the TLB──▶ bits of every cursor ──harvest──▶ reader
//
// Invariants: between two collections every page written since is marked in the map (its first write missed the TLB); a bit
// leaves a cursor only by its own harvest; a machine's pages are whole bytes of bits (hardware.ts). Pages that JavaScript writes
// (floppy, IDE: DMA) pass the walk by and are marked where that code writes. Costs nothing while no cursor is open: the map's
// address is 0 then.
//
// A guest that switches PAE on while it is watched has page tables that the patch does not see: from then on every page counts
// as written at each collection. (One that has PAE when the first cursor opens is scanned instead: see dirty-log.ts.)
import { GuestError, PAGE_BYTES } from "../../ports/guest.ts";
import { bitsByteLength, countBits, orBits } from "../page-bits.ts";
import type { Harvest } from "../scan-tracker.ts";
import type { V86Machine } from "./machine.ts";

/** See the head of this file. */
export class WrittenPages {
	readonly #machine: V86Machine;
	readonly #cursors = new Map<number, Uint8Array<ArrayBuffer>>();
	#nextCursor = 1;
	/** Address of the byte map in the machine's memory; 0 until it is needed. */
	#map = 0;
	#hooked = false;

	/** @throws {GuestError} `incompatible` when the page walk is not patched */
	constructor(machine: V86Machine) {
		if (!machine.patched) throw new GuestError("incompatible", "this build of v86 has no page walk that we know");
		this.#machine = machine;
	}

	get attached(): boolean {
		return this.#cursors.size > 0;
	}

	/** @returns a cursor with no bit set */
	open(): number {
		if (this.attached) this.#collect();
		else this.#attach();
		const cursor = this.#nextCursor++;
		this.#cursors.set(cursor, new Uint8Array(bitsByteLength(this.#machine.pageCount)));
		return cursor;
	}

	/** Which pages of the range are dirty for this cursor, among `candidates` if given. Clears nothing. */
	peek(cursor: number, firstPage: number, pageCount: number, candidates?: Uint8Array): Uint8Array<ArrayBuffer> {
		const bits = this.#bits(cursor).slice(firstPage >>> 3, (firstPage >>> 3) + bitsByteLength(pageCount));
		const map = this.#bytes();
		const everything = this.#machine.usesPae;
		for (let index = 0; index < bits.length; index++) {
			if (candidates !== undefined && candidates[index] === 0) bits[index] = 0;
			else {
				bits[index]! |= everything ? 0xff : bitsOf(map, firstPage + index * 8);
				if (candidates !== undefined) bits[index]! &= candidates[index]!;
			}
		}
		if (pageCount % 8 !== 0) bits[bits.length - 1]! &= (1 << (pageCount % 8)) - 1;
		return bits;
	}

	/** Reads and clears this cursor's bits. */
	harvest(cursor: number): Harvest {
		const own = this.#bits(cursor);
		this.#collect();
		const bits = own.slice();
		own.fill(0);
		return { bits, dirtyCount: countBits(bits), pageCount: this.#machine.pageCount };
	}

	putBack(cursor: number, bits: Uint8Array): void {
		const own = this.#bits(cursor);
		if (bits.length > own.length) throw new RangeError(`bits has ${bits.length} bytes, the memory only ${own.length}`);
		orBits(own, bits);
	}

	/** Closing twice does nothing. */
	close(cursor: number): void {
		if (!this.#cursors.delete(cursor) || this.attached) return;
		const { pageferry_written: written } = this.#machine.exports;
		written!.value = 0;
	}

	/** Pages that were written past the processor. */
	#note(firstPage: number, pageCount: number): void {
		if (this.attached) this.#bytes().fill(1, firstPage, firstPage + pageCount);
	}

	#attach(): void {
		const { exports, pageCount, cpu } = this.#machine;
		// Pages are read eight at a time, so the map begins at a multiple of 8 and has some bytes to spare.
		if (this.#map === 0) this.#map = Math.ceil(exports.v86_malloc(pageCount + 16) / 8) * 8;
		this.#hookDevices();
		this.#bytes().fill(0);
		exports.pageferry_written!.value = this.#map;
		cpu.full_clear_tlb();
	}

	/** Moves what is marked to every cursor. Reads eight pages at a time: 64 MiB are 16 KiB of map, about 2 µs. */
	#collect(): void {
		const { cpu, usesPae } = this.#machine;
		const map = this.#bytes();
		const words = new BigUint64Array(map.buffer, map.byteOffset, Math.ceil(map.length / 8));
		let some = usesPae;
		for (let index = 0; index < words.length; index++) {
			if (words[index] === 0n && !usesPae) continue;
			const bits = usesPae ? 0xff : bitsOf(map, index * 8);
			for (const cursor of this.#cursors.values()) cursor[index]! |= bits;
			words[index] = 0n;
			some = true;
		}
		if (some) cpu.full_clear_tlb();
	}

	/** The byte map: derived at each use, because the machine's memory may have grown. */
	#bytes(): Uint8Array {
		return new Uint8Array(this.#machine.exports.memory.buffer, this.#map, this.#machine.pageCount);
	}

	/** Devices write RAM through five functions of the processor. Wrapped once; they ask whether anybody watches. */
	#hookDevices(): void {
		if (this.#hooked) return;
		this.#hooked = true;
		const { cpu } = this.#machine;
		const noteBytes = (address: number, byteLength: number): void => {
			if (byteLength === 0) return;
			const first = Math.floor(address / PAGE_BYTES);
			this.#note(first, Math.floor((address + byteLength - 1) / PAGE_BYTES) - first + 1);
		};
		const { write_blob: writeBlob, zero_memory: zeroMemory, write8, write16, write32 } = cpu;
		// A driver that hints at free pages has them zeroed, and so has a machine that is reset.
		cpu.zero_memory = (address, byteLength) => {
			noteBytes(address, byteLength);
			zeroMemory(address, byteLength);
		};
		cpu.write_blob = (blob, offset) => {
			noteBytes(offset, blob.length);
			writeBlob.call(cpu, blob, offset);
		};
		const wrapped = (write: (address: number, value: number) => void, byteLength: number) => {
			return (address: number, value: number) => {
				noteBytes(address, byteLength);
				write(address, value);
			};
		};
		cpu.write8 = wrapped(write8, 1);
		cpu.write16 = wrapped(write16, 2);
		cpu.write32 = wrapped(write32, 4);
	}

	#bits(cursor: number): Uint8Array<ArrayBuffer> {
		const bits = this.#cursors.get(cursor);
		if (bits === undefined) throw new TypeError("this cursor is closed");
		return bits;
	}
}

/** Eight bytes of the map, 0 or 1 each, as bits. */
function bitsOf(map: Uint8Array, firstPage: number): number {
	let bits = 0;
	for (let bit = 0; bit < 8; bit++) bits |= (map[firstPage + bit] ?? 0) << bit;
	return bits;
}
