// Opens v86 guests of our own boot sector, on the runtime that runs the test.
import type { V86Build, V86Emulator } from "../../bindings/guests/v86/emulator.ts";
import { V86GuestFactory } from "../../bindings/guests/v86/factory.ts";
import { type StartV86GuestOptions, V86Guest } from "../../bindings/guests/v86/guest.ts";
import { loadV86 } from "../../bindings/guests/v86/package.ts";
import { systemClock } from "../../bindings/platform/system-clock.ts";
import { bootSectorFirmware, Mode, Variable } from "./boot-sector.ts";

const files =
	"Deno" in globalThis
		? (await import("../../bindings/platform/deno/host-files.ts")).denoHostFiles
		: (await import("../../bindings/platform/node/host-files.ts")).nodeHostFiles;

/** v86, loaded once for a suite. */
export const v86 = await loadV86(files);

/** v86 whose machines can be looked into. `last`: the one that was built last. */
export function watchedV86(): { readonly v86: V86Build; readonly last: () => V86Emulator } {
	let last: V86Emulator | undefined;
	const Original = v86.V86 as new (options: object) => V86Emulator;
	class Watched extends Original {
		constructor(options: object) {
			super(options);
			last = this;
		}
	}
	return { v86: { ...v86, V86: Watched }, last: () => last! };
}

export const MEMORY_BYTES = 8 * 2 ** 20;

/** A guest of the boot sector that has booted and waits; see boot-sector.S for what it can do. */
export async function openBootSector(options: Partial<StartV86GuestOptions> = {}): Promise<V86Guest> {
	const guest = await V86Guest.build(
		{
			memoryByteLength: options.memoryByteLength ?? MEMORY_BYTES,
			vgaMemoryByteLength: 2 ** 18,
			time: options.time ?? "real",
			compile: options.compile ?? true,
			...(options.balloon === undefined ? {} : { balloon: options.balloon }),
		},
		{ v86, clock: systemClock, ...options },
		options.firmware ?? bootSectorFirmware(),
	);
	// It has booted when its timer ticks. A counted clock is moved by steps alone, the same number each time.
	if (options.time === "counted") await guest.advance(64);
	else {
		await guest.resume();
		await until(() => word(guest, Variable.ticks) > 0);
		await guest.pause({ deadlineMs: 1000 });
	}
	if (word(guest, Variable.ticks) === 0) throw new Error("the boot sector does not boot");
	return guest;
}

/** The same, running, at what `mode` says. */
export async function runBootSector(
	mode: keyof typeof Mode,
	options: Partial<StartV86GuestOptions> = {},
): Promise<V86Guest> {
	const guest = await openBootSector(options);
	await guest.resume();
	setMode(guest, mode);
	return guest;
}

/** A 32-bit word of RAM. */
export function word(guest: V86Guest, address: number): number {
	return new DataView(guest.readMemory(address, 4).buffer).getUint32(0, true);
}

/** Lets a running guest do something else. */
function setMode(guest: V86Guest, mode: keyof typeof Mode): void {
	guest.writeMemory(Variable.mode, Uint8Array.of(Mode[mode], 0, 0, 0));
}

/** A factory for targets. */
export function bootSectorFactory(): V86GuestFactory {
	return new V86GuestFactory({ v86, clock: systemClock });
}

/** Resolves once `done` holds, looked at every millisecond of the guest's and the host's time. */
export async function until(done: () => boolean): Promise<void> {
	while (!done()) await systemClock.sleep(1);
}
