import { MemoryGuest, MemoryGuestFactory } from "../../bindings/guests/memory/memory-guest.ts";
import { guestContract } from "./suites/guest.ts";

const timeless = { now: () => 0, sleep: () => Promise.resolve() };

guestContract({
	name: "memory",
	growPages: 3,
	propertyRuns: 200,
	factory: () => Promise.resolve(new MemoryGuestFactory(timeless, 1024)),
	create: (pageCount) => {
		const guest = new MemoryGuest({ pageCount, maximumPageCount: 64 });
		return Promise.resolve({
			guest,
			firstPage: 2,
			freePages: pageCount - 2,
			write: async (byteOffset, bytes) => guest.write(byteOffset, bytes),
			read: async (byteOffset, byteLength) => guest.read(byteOffset, byteLength),
			grow: async () => guest.growMemory(guest.pageCount + 3),
		});
	},
});
