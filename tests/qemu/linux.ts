// A Linux for tests of QEMU guests, made by `npm run guests`: its programs count, hash, check their own pages and keep one
// TCP connection for ever (tools/guests/linux).
import { statfsSync } from "node:fs";
import { type QemuGuest, type QemuMachine, startQemuGuest } from "../../bindings/guests/qemu/index.ts";
import type { SwitchPort } from "../../bindings/network/switch.ts";
import type { HostFiles } from "../../bindings/ports/host-files.ts";
import type { QemuStage } from "./stage.ts";

const FOLDER = "build/guests/assets/qemu";
/** Two suites at a time, each with up to three machines whose memory is in use. */
const SHARED_MEMORY_MIB = 1024;

/** Why there is no Linux to boot here; `undefined` where there is one. */
export async function whyNoLinux(files: HostFiles): Promise<string | undefined> {
	const names = await files.names(FOLDER);
	if (!(names.includes("vmlinuz") && names.includes("initramfs.gz")))
		return `no kernel in ${FOLDER}: run \`npm run guests\``;
	// A QEMU that finds no room for its memory is ended by the system in the middle of a test.
	const { bsize, blocks } = statfsSync("/dev/shm");
	const MiB = Math.floor((bsize * blocks) / 2 ** 20);
	if (MiB >= SHARED_MEMORY_MIB) return undefined;
	return `/dev/shm has ${MiB} MiB, machines of ${SHARED_MEMORY_MIB} MiB are tested: mount -o remount,size=2G /dev/shm`;
}

/** The machine with number 1 … 254 in its addresses. */
export function linuxMachine(number: number, more: Partial<QemuMachine> = {}): QemuMachine {
	return {
		memoryMiB: 128,
		boot: {
			kernel: `${FOLDER}/vmlinuz`,
			initrd: `${FOLDER}/initramfs.gz`,
			// The check counts ticks while a busy host may give the machine none, and then panics.
			append: `console=ttyS0 quiet panic=-1 no_timer_check pageferry.ip=10.0.0.${number}`,
		},
		mac: addressOf(number),
		...more,
	};
}

/** The machine's address on the network. */
export const addressOf = (number: number): string => `52:54:00:00:00:${number.toString(16).padStart(2, "0")}`;

/** The shell's greeting: from here on it takes what is typed. `ready` comes before it opens the console, which flushes it. */
export const isUp = (line: string): boolean => line.startsWith("Enter 'help'");

/** Boots it at a port of a switch. */
export async function bootLinux(stage: QemuStage, machine: QemuMachine, port: SwitchPort): Promise<QemuGuest> {
	const { platform, folder } = stage;
	return stage.keep(await startQemuGuest(platform, { machine, folder, network: port.attach, booted: isUp }));
}
