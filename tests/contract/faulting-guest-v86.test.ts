import { V86WorkerGuest } from "../../bindings/guests/v86/worker-guest.ts";
import type { Guest } from "../../bindings/ports/guest.ts";
import { Variable } from "../v86/boot-sector.ts";
import { MEMORY_BYTES, runBootSector, until, word } from "../v86/open-guests.ts";
import { workerFactory } from "../v86/worker-guests.ts";
import { faultingGuestContract } from "./suites/faulting-guest.ts";

const FIRST_PAGE = 0x100;

function inWorker(guest: Guest): V86WorkerGuest {
	if (!(guest instanceof V86WorkerGuest)) throw new TypeError("no v86 guest in a worker");
	return guest;
}

faultingGuestContract({
	name: "v86 in a worker",
	factory: () => Promise.resolve(workerFactory()),
	// The source is a guest on this thread: it has only to be paused and to give its pages.
	create: async () => {
		const guest = await runBootSector("still");
		await until(() => word(guest, Variable.rounds) === 0xffff_ffff && guest.halted);
		return {
			guest,
			firstPage: FIRST_PAGE,
			freePages: MEMORY_BYTES / 4096 - FIRST_PAGE,
			write: async (byteOffset, bytes) => guest.writeMemory(byteOffset, bytes),
		};
	},
	read: (target, byteOffset, byteLength) => inWorker(target).readMemory(byteOffset, byteLength),
	write: (target, byteOffset, bytes) => inWorker(target).writeMemory(byteOffset, bytes),
});
