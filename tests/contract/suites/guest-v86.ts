/** The guest contract on our own boot sector, which writes nothing once it has come to rest. */
import { Variable } from "../../v86/boot-sector.ts";
import { bootSectorFactory, MEMORY_BYTES, runBootSector, until, word } from "../../v86/open-guests.ts";
import { guestContract } from "./guest.ts";

/** Above what the boot sector itself uses. */
const FIRST_PAGE = 0x100;

/** @param tracker - how dirty pages are found. */
export function v86GuestContract(tracker: "page-walk" | "scan"): void {
	guestContract({
		name: `v86, ${tracker}`,
		growPages: 0, // a PC's memory does not grow
		propertyRuns: 100,
		factory: () => Promise.resolve(bootSectorFactory()),
		create: async () => {
			const guest = await runBootSector("still", { tracker });
			await until(() => word(guest, Variable.rounds) === 0xffff_ffff && guest.halted); // from here on only the suite writes
			return {
				guest,
				firstPage: FIRST_PAGE,
				freePages: MEMORY_BYTES / 4096 - FIRST_PAGE,
				write: async (byteOffset, bytes) => guest.writeMemory(byteOffset, bytes),
				read: async (byteOffset, byteLength) => guest.readMemory(byteOffset, byteLength),
				grow: () => Promise.reject(new Error("a PC's memory does not grow")),
			};
		},
	});
}
