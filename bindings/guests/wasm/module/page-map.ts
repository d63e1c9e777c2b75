// The second memory that instrumented code looks pages up in: one byte for each 4 KiB page of the guest's memory, twice.
//
//   0         dirty:   1 once the page was written to; whoever harvests sets it back to 0
//   1048576   missing: 1 while the page has not arrived
//
// A byte map costs a store or a load; a bit map was measured at 1.3 to 2.3 times the time of plain code, a call at 1.8
// to 3.4 (findings: WebAssembly guests). Both maps cover 4 GiB; pages of the map that are never touched cost nothing.
import { WasmModuleError } from "./errors.ts";

/** Bytes of one map: one for each page of 4 GiB. */
export const MAP_BYTES: number = 2 ** 20;
/** In the missing map: the page has not arrived. */
export const MISSING = 1;
/** In the missing map: it has, and the page behind it has not. */
export const EDGE = 2;
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
