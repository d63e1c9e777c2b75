import { SyntheticFactory } from "../../bindings/lab/synthetic-factory.ts";
import { SyntheticGuest } from "../../bindings/lab/synthetic-guest.ts";
import { VirtualClock } from "../../bindings/lab/virtual-clock.ts";
import { systemClock } from "../../bindings/platform/system-clock.ts";
import { guestContract } from "./suites/guest.ts";

const clock = new VirtualClock(systemClock);

guestContract({
	name: "synthetic",
	growPages: 3,
	propertyRuns: 200,
	factory: () => Promise.resolve(new SyntheticFactory(clock, { maximumPageCount: 1024, contents: true })),
	create: (pageCount) => {
		const guest = new SyntheticGuest({ clock, pageCount, maximumPageCount: 64, contents: true });
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
