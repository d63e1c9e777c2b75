// How the worker of a wasm guest finds dirty pages; cursors are numbers. Both trackers have this shape:
//
//   scan      compares the memory with a shadow copy (guests/scan-tracker.ts): sees every write, by whatever code
//   barrier   harvests the marks of code with a write barrier (barrier-tracker.ts): sees the module's writes and those that
//             host code says, in time that does not depend on the memory's size
//   verified  is a scan beside which the barrier runs, and says what the barrier has missed (verified-tracker.ts)
import type { Harvest } from "../scan-tracker.ts";

/** See the head of this file. */
export interface DirtyTracker {
	/** Whether pages are encoded from a shadow of the memory. */
	readonly attached: boolean;
	open(): Generator<void, number>;
	peek(
		cursor: number,
		firstPage: number,
		pageCount: number,
		candidates?: Uint8Array,
	): Generator<void, Uint8Array<ArrayBuffer>>;
	harvest(cursor: number): Generator<void, Harvest>;
	putBack(cursor: number, bits: Uint8Array): void;
	close(cursor: number): void;
	/** Makes sure that a page can be encoded. */
	cover(pageIndex: number): Generator<void, void>;
}

/** Names of trackers. */
export type TrackerName = "scan" | "barrier" | "verified-barrier";
