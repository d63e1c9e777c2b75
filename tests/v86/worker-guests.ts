// Opens v86 guests of our own boot sector in worker threads, on the runtime that runs the test.
import { V86WorkerGuestFactory } from "../../bindings/guests/v86/worker-factory.ts";
import { type StartV86WorkerGuestOptions, V86WorkerGuest } from "../../bindings/guests/v86/worker-guest.ts";
import { systemClock } from "../../bindings/platform/system-clock.ts";
import { guestPorts } from "../wasm/guest-ports.ts";
import { bootSectorFirmware, Mode, Variable } from "./boot-sector.ts";
import { MEMORY_BYTES, v86 } from "./open-guests.ts";

const { workers } = await guestPorts();

/** A guest of the boot sector that has booted, at what `mode` says. */
export async function runInWorker(
	mode: keyof typeof Mode,
	options: Partial<StartV86WorkerGuestOptions> = {},
): Promise<V86WorkerGuest> {
	const guest = await V86WorkerGuest.start({
		...{ v86, workers, clock: systemClock, firmware: bootSectorFirmware() },
		...{ memoryByteLength: MEMORY_BYTES, vgaMemoryByteLength: 2 ** 18 },
		...options,
	});
	await untilAsked(async () => (await wordOf(guest, Variable.ticks)) > 0);
	await guest.writeMemory(Variable.mode, Uint8Array.of(Mode[mode], 0, 0, 0));
	return guest;
}

/** A guest that writes nothing any more: from here on only the test does. */
export async function stillInWorker(options: Partial<StartV86WorkerGuestOptions> = {}): Promise<V86WorkerGuest> {
	const guest = await runInWorker("still", options);
	await untilAsked(
		async () => (await wordOf(guest, Variable.rounds)) === 0xffff_ffff && (await guest.progress()).halted,
	);
	return guest;
}

/** A 32-bit word of RAM. */
async function wordOf(guest: V86WorkerGuest, address: number): Promise<number> {
	return new DataView((await guest.readMemory(address, 4)).buffer).getUint32(0, true);
}

/** A factory for targets in workers. */
export function workerFactory(
	options: Partial<ConstructorParameters<typeof V86WorkerGuestFactory>[0]> = {},
): V86WorkerGuestFactory {
	return new V86WorkerGuestFactory({ v86, workers, clock: systemClock, ...options });
}

/** Resolves once `done` says so. */
async function untilAsked(done: () => Promise<boolean>): Promise<void> {
	while (!(await done())) await systemClock.sleep(1);
}
