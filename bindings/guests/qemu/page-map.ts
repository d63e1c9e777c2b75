// What the system's page tables say about a QEMU's RAM: which pages it has mapped, and which it has written since the marks
// were last cleared. Read from /proc/PID/pagemap, 8 bytes a page, without privileges by the process's own user.
//
//   bit 63  present       the page is mapped: the RAM file has it, so it is no hole
//   bit 62  swapped       never for a shared file: what was swapped out is simply not mapped
//   bit 55  soft-dirty    written since "4" was written to /proc/PID/clear_refs, or mapped anew
//
// Source: Linux, Documentation/admin-guide/mm/pagemap.rst and soft-dirty.rst.
import { PAGE_BYTES } from "../../ports/guest.ts";
import type { PageSource } from "../../ports/host-files.ts";
import { bitsByteLength } from "../page-bits.ts";

const ENTRY_BYTES = 8;
/** In an entry's high word. */
const PRESENT_OR_SWAPPED = 0xc000_0000 | 0;
const SOFT_DIRTY = 1 << 23;

/** Where the entries of a RAM file are. */
export interface RamMapping {
	/** `/proc/PID/pagemap`. */
	readonly path: string;
	/** Of page 0 in QEMU's address space. */
	readonly address: number;
}

/**
 * Finds a file in a process's list of mappings (`/proc/PID/maps`).
 * @returns the address of its first byte; `undefined` if it is not mapped whole, once, and in one piece
 */
export function mappedAddress(maps: string, path: string, byteLength: number): number | undefined {
	let address: number | undefined;
	let end = 0;
	for (const line of maps.split("\n")) {
		const found = /^([0-9a-f]+)-([0-9a-f]+) \S+ ([0-9a-f]+) \S+ \d+\s+(.*)$/.exec(line);
		if (found?.[4] !== path) continue;
		const [from, to, offset] = [1, 2, 3].map((at) => Number.parseInt(found[at]!, 16));
		// The system may list one mapping in parts that follow each other.
		if (address === undefined ? offset !== 0 : from !== end || offset !== end - address) return undefined;
		address ??= from!;
		end = to!;
	}
	return address !== undefined && end - address === byteLength ? address : undefined;
}

/** Bits of a range of pages. */
export interface MappedPages {
	readonly present: Uint8Array<ArrayBuffer>;
	readonly softDirty: Uint8Array<ArrayBuffer>;
}

/** See the head of this file. */
export class PageMap {
	readonly #source: PageSource;
	readonly #address: number;
	#room = new Uint8Array(0);

	constructor(source: PageSource, address: number) {
		this.#source = source;
		this.#address = address;
	}

	/** @param firstPage - of the file. Throws the system's error. */
	read(firstPage: number, pageCount: number): MappedPages {
		const byteLength = pageCount * ENTRY_BYTES;
		if (this.#room.byteLength < byteLength) this.#room = new Uint8Array(byteLength);
		const bytes = this.#room.subarray(0, byteLength);
		this.#source.read(bytes, (this.#address / PAGE_BYTES + firstPage) * ENTRY_BYTES);
		// Linux on x86-64: little-endian, as this thread.
		const words = new Int32Array(bytes.buffer, 0, pageCount * 2);
		const present = new Uint8Array(bitsByteLength(pageCount));
		const softDirty = new Uint8Array(present.byteLength);
		for (let page = 0; page < pageCount; page++) {
			const high = words[page * 2 + 1]!;
			if ((high & PRESENT_OR_SWAPPED) !== 0) present[page >>> 3]! |= 1 << (page & 7);
			if ((high & SOFT_DIRTY) !== 0) softDirty[page >>> 3]! |= 1 << (page & 7);
		}
		return { present, softDirty };
	}

	close(): void {
		this.#source.close();
	}
}
