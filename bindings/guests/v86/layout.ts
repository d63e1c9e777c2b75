// What a target of a v86 guest has to be like.
import { type GuestLayout, PAGE_BYTES } from "../../ports/guest.ts";
import { V86_VERSION } from "./emulator.ts";
import type { V86Machine } from "./machine.ts";

/** See the head of this file. */
export function layoutOf(machine: V86Machine): GuestLayout {
	const { pageCount, hardware } = machine;
	return {
		kind: "v86",
		pageBytes: PAGE_BYTES,
		pageCount,
		maximumPageCount: pageCount,
		resources: [],
		facts: {
			v86: V86_VERSION,
			vgaMemory: String(hardware.vgaMemoryByteLength),
			time: hardware.time,
			compile: String(hardware.compile),
			// Its clock goes on where it stopped, and its random numbers come from its memory: every copy draws the same.
			clock: "carried",
			random: "seeded",
			...(hardware.balloon === true ? { balloon: "true" } : {}),
			// Whose page tables are not followed: it cannot run while pages are missing.
			...(machine.usesPae ? { pageTables: "pae" } : {}),
		},
	};
}
