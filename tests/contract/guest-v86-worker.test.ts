import { MEMORY_BYTES } from "../v86/open-guests.ts";
import { stillInWorker, workerFactory } from "../v86/worker-guests.ts";
import { guestContract } from "./suites/guest.ts";

/** Above what the boot sector itself uses. */
const FIRST_PAGE = 0x100;

guestContract({
	name: "v86 in a worker",
	growPages: 0, // a PC's memory does not grow
	propertyRuns: 50,
	factory: () => Promise.resolve(workerFactory()),
	create: async () => {
		const guest = await stillInWorker();
		return {
			guest,
			firstPage: FIRST_PAGE,
			freePages: MEMORY_BYTES / 4096 - FIRST_PAGE,
			write: (byteOffset, bytes) => guest.writeMemory(byteOffset, bytes),
			read: (byteOffset, byteLength) => guest.readMemory(byteOffset, byteLength),
			grow: () => Promise.reject(new Error("a PC's memory does not grow")),
		};
	},
});
