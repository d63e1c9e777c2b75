import { MemoryGuest, MemoryGuestFactory } from "../../bindings/guests/memory/memory-guest.ts";
import type { FaultingGuest } from "../../bindings/ports/faulting-guest.ts";
import { faultingGuestContract } from "./suites/faulting-guest.ts";

const timeless = { now: () => 0, sleep: () => Promise.resolve() };

function memory(guest: FaultingGuest): MemoryGuest {
	if (!(guest instanceof MemoryGuest)) throw new TypeError("not a memory guest");
	return guest;
}

faultingGuestContract({
	name: "memory",
	factory: () => Promise.resolve(new MemoryGuestFactory(timeless, 1024)),
	create: (pageCount) => {
		const guest = new MemoryGuest({ pageCount });
		return Promise.resolve({
			guest,
			firstPage: 2,
			freePages: pageCount - 2,
			write: async (byteOffset, bytes) => guest.write(byteOffset, bytes),
		});
	},
	read: (target, byteOffset, byteLength) => memory(target).load(byteOffset, byteLength),
	write: (target, byteOffset, bytes) => memory(target).store(byteOffset, bytes),
});
