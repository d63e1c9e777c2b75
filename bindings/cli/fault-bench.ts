/** What the lab's fault schedules run on here: this runtime's clock, and memory guests where bytes are needed. */
import { MemoryGuest, MemoryGuestFactory } from "../guests/memory/memory-guest.ts";
import type { FaultBench } from "../lab/faults/save-guest.ts";
import { systemClock } from "../platform/system-clock.ts";

/** See the head of this file. */
export const FAULT_BENCH: FaultBench = {
	real: systemClock,
	guests: {
		create: (pageCount, maximumPageCount, now) => new MemoryGuest({ pageCount, maximumPageCount, now }),
		factory: (clock, maximumPageCount) => new MemoryGuestFactory(clock, maximumPageCount),
		is: (guest) => guest instanceof MemoryGuest,
	},
};
