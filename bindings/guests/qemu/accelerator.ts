// Whether a machine boots with an accelerator here. An open of /dev/kvm proves nothing: there are systems where it opens, and
// no machine ever runs its first instruction. So a machine is booted whose only act is to end QEMU with a code that nothing
// else ends it with.
import { QemuError } from "./errors.ts";
import { makeInstanceFolder } from "./instance-folder.ts";
import type { Accelerator } from "./machine.ts";
import { DEFAULT_EXECUTABLE, defaultFolder, type QemuPlace, type QemuServices, startQemu } from "./qemu-host.ts";

/** How long firmware may take to come to the boot sector, in ms: 300 under TCG on a quiet machine. */
const PROBE_MS = 20_000;
/** `mov al, 16; out 0xf4, al; hlt`: the debug-exit device makes 2 × 16 + 1 of it. */
const BOOT_SECTOR: readonly number[] = [0xb0, 0x10, 0xe6, 0xf4, 0xf4];
const EXIT_CODE = 33;
const FLOPPY_BYTES = 1_474_560;

/**
 * Boots a machine that only says it has booted.
 * @throws {QemuError} `not-installed`
 */
export async function probeAccelerator(
	services: QemuServices,
	accelerator: Accelerator,
	place: QemuPlace = {},
): Promise<boolean> {
	const { executable = DEFAULT_EXECUTABLE, folder: root = defaultFolder(services.files) } = place;
	const folder = await makeInstanceFolder(services.files, services.random, root);
	const timer = new AbortController();
	try {
		const image = new Uint8Array(FLOPPY_BYTES);
		image.set(BOOT_SECTOR);
		image.set([0x55, 0xaa], 510);
		await services.files.write(`${folder}/probe.img`, image);
		const process = await startQemu(services, executable, [
			...[
				"-accel",
				accelerator,
				"-cpu",
				"max",
				"-machine",
				"pc",
				"-m",
				"4M",
				"-nodefaults",
				"-no-user-config",
				"-display",
				"none",
			],
			...["-drive", `if=floppy,format=raw,readonly=on,file.locking=off,file=${folder}/probe.img`],
			...["-device", "isa-debug-exit,iobase=0xf4,iosize=0x04"],
		]);
		const late = services.clock.sleep(PROBE_MS, timer.signal).then(
			() => process.kill("SIGKILL"),
			() => undefined, // it ended in time
		);
		const { code } = await process.ended;
		timer.abort();
		await late;
		return code === EXIT_CODE;
	} finally {
		await services.files.removeTree(folder);
	}
}

/** @throws {QemuError} `no-accelerator` */
export async function checkAccelerator(
	services: QemuServices,
	accelerator: Accelerator,
	place: QemuPlace,
): Promise<void> {
	// Software always works, if QEMU does.
	if (accelerator === "tcg" || (await probeAccelerator(services, accelerator, place))) return;
	throw new QemuError("no-accelerator", `no machine boots with ${accelerator} here: use "tcg", or leave it out`);
}
