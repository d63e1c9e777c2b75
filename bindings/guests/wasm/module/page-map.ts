// The second memory that instrumented code looks pages up in: one byte for each 4 KiB page of the guest's memory, twice.
//
//   0         dirty:   1 once the page was written to; whoever harvests sets it back to 0
//   1048576   missing: 0 once the page has arrived; what else it says is added to where in the page an access starts:
//
//     bit 7 of  ((address >> 5) & 127) + missing[address >> 12]  calls out:  MISSING always, EDGE in the last 32 bytes
//
// While most pages are missing most that are here are edges. Where each access to one called out, with nothing but edges
// SQLite took 4.6 times its plain time and Lua 5.4; with the sum 2.1 and 1.9 (and without edges 2.1 and 1.8, not 1.9 and 1.6).
//
// A byte map costs a store or a load; a bit map was measured at 1.3 to 2.3 times the time of plain code, a call at 1.8
// to 3.4 (findings: WebAssembly guests). Both maps cover 4 GiB; pages of the map that are never touched cost nothing.
import { WasmModuleError } from "./errors.ts";

/** Bytes of one map: one for each page of 4 GiB. */
export const MAP_BYTES: number = 2 ** 20;
/** In the missing map: the page has not arrived. */
export const MISSING = 128;
/** In the missing map: it has, and the page behind it has not. */
export const EDGE = 1;
/** An access starts in one of so many parts of its page; the last calls out where the page is an edge. */
export const PARTS = 128;
/** From an address to its part. */
export const PART_SHIFT = 5;
export const DIRTY_OFFSET = 0;
export const MISSING_OFFSET: number = MAP_BYTES;
/** Size of the second memory in WebAssembly's pages of 64 KiB. */
export const MAP_MEMORY_PAGES: number = (2 * MAP_BYTES) / 65536;

/** A module with two memories, the smallest possible. */
const TWO_MEMORIES = Uint8Array.of(0, 0x61, 0x73, 0x6d, 1, 0, 0, 0, 5, 5, 2, 0, 0, 0, 0);

/** @returns whether this engine can run instrumented code, which needs a second memory (Node 22 and later, Deno) */
export function supportsInstrumentation(): boolean {
	return WebAssembly.validate(TWO_MEMORIES);
}

/** @throws WasmModuleError `no-second-memory` */
export function requireInstrumentation(): void {
	if (!supportsInstrumentation())
		throw new WasmModuleError(
			"no-second-memory",
			"tracking writes and checking presence need a second memory, which this engine does not have: use Node 22 or later or Deno, or the scan tracker and pre-copy",
		);
}
