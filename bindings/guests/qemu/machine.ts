// What a QEMU machine is made of, as plain data, the same at the source and at every target: its arguments, and the facts
// by which two sides find out whether they mean the same machine.
import { PAGE_BYTES } from "../../ports/guest.ts";
import type { HostFiles } from "../../ports/host-files.ts";
import { QemuError } from "./errors.ts";

/** A machine. Paths are of this host; at a target they lead to files with the same contents. */
export interface QemuMachine {
	/** From 1 to 65536 MiB: the RAM file's size. A Linux of Debian's needs 96. */
	readonly memoryMiB: number;
	/** Processors; 1 if left out. */
	readonly cpus?: number;
	/** A kernel to boot, or the image of a floppy disk whose first sector is booted. */
	readonly boot: QemuKernel | QemuFloppy;
	/** A network card, by its address (`52:54:00:…`); none if left out. */
	readonly mac?: string;
	/** Whether it has a balloon (virtio, gives pages back by itself under pressure); `false` if left out. */
	readonly balloon?: boolean;
	/** QEMU's machine type; `pc` if left out. */
	readonly type?: string;
}

/** See {@link QemuMachine.boot}. */
export interface QemuKernel {
	readonly kernel: string;
	readonly initrd?: string;
	/** The kernel's command line. */
	readonly append?: string;
}

/** See {@link QemuMachine.boot}. */
export interface QemuFloppy {
	readonly floppy: string;
}

/** How processors are emulated: `tcg` in software, everywhere; `kvm` by the system, only where a machine has booted with it. */
export type Accelerator = "tcg" | "kvm";

const LARGEST_MIB = 65536;
const MAC = /^[0-9a-f]{2}(:[0-9a-f]{2}){5}$/;

/** @throws RangeError naming the argument */
export function checkMachine(machine: QemuMachine): void {
	const { memoryMiB, cpus = 1, mac, boot } = machine;
	if (!Number.isInteger(memoryMiB) || memoryMiB < 1 || memoryMiB > LARGEST_MIB)
		throw new RangeError(`machine.memoryMiB: must be an integer from 1 to ${LARGEST_MIB}, got ${memoryMiB}`);
	if (!Number.isInteger(cpus) || cpus < 1 || cpus > 255)
		throw new RangeError(`machine.cpus: must be an integer from 1 to 255, got ${cpus}`);
	if (mac !== undefined && (!MAC.test(mac) || (Number.parseInt(mac.slice(0, 2), 16) & 1) === 1))
		throw new RangeError(`machine.mac: must be a card's own address such as 52:54:00:00:00:01, got ${mac}`);
	// QEMU's options are lists with commas.
	for (const path of filesOf(boot))
		if (path.includes(",")) throw new RangeError(`machine.boot: QEMU takes no comma in a path, got ${path}`);
}

/** @returns pages of its memory */
export function pagesOf({ memoryMiB }: QemuMachine): number {
	return (memoryMiB * 2 ** 20) / PAGE_BYTES;
}

/**
 * What must be equal on both sides.
 * @throws {QemuError} `no-file`
 */
export async function machineFacts(
	machine: QemuMachine,
	host: { readonly files: HostFiles; readonly version: string; readonly accelerator: Accelerator },
): Promise<Readonly<Record<string, string>>> {
	const { cpus = 1, boot, mac = "none", balloon = false, type = "pc" } = machine;
	return {
		qemu: host.version,
		accelerator: host.accelerator,
		machine: type,
		cpus: String(cpus),
		mac,
		balloon: String(balloon),
		...("floppy" in boot
			? { floppy: await fileHash(host.files, boot.floppy) }
			: {
					kernel: await fileHash(host.files, boot.kernel),
					initrd: boot.initrd === undefined ? "none" : await fileHash(host.files, boot.initrd),
					append: boot.append ?? "",
				}),
	};
}

/** Where the pieces of one instance lie. */
export interface InstancePaths {
	readonly ram: string;
	readonly control: string;
	readonly console: string;
	readonly network: string;
}

/** QEMU's arguments. @param incoming whether it waits for a state instead of booting */
export function machineArguments(
	machine: QemuMachine,
	paths: InstancePaths,
	options: { readonly accelerator: Accelerator; readonly incoming: boolean },
): readonly string[] {
	const { memoryMiB, cpus = 1, boot, mac, balloon = false, type = "pc" } = machine;
	const size = `${memoryMiB}M`;
	const socket = (id: string, path: string) => ["-chardev", `socket,id=${id},path=${path},server=off`];
	return [
		...["-accel", options.accelerator === "kvm" ? "kvm" : "tcg,thread=multi", "-cpu", "max", "-smp", String(cpus)],
		...["-m", size, "-object", `memory-backend-file,id=ram,size=${size},mem-path=${paths.ram},share=on`],
		...["-machine", `${type},memory-backend=ram`, "-nodefaults", "-no-user-config", "-no-reboot"],
		...["-display", "none", "-monitor", "none"],
		...[...socket("control", paths.control), "-mon", "chardev=control,mode=control"],
		...[...socket("console", paths.console), "-serial", "chardev:console"],
		...(mac === undefined
			? []
			: [
					...["-netdev", `stream,id=net,server=off,addr.type=unix,addr.path=${paths.network}`],
					...["-device", `virtio-net-pci,netdev=net,mac=${mac},romfile=`],
				]),
		// Without deflate-on-oom a machine that needs its memory back panics.
		...(balloon ? ["-device", "virtio-balloon-pci,id=balloon,deflate-on-oom=on"] : []),
		...bootArguments(boot),
		...(options.incoming ? ["-incoming", "defer"] : []),
	];
}

function bootArguments(boot: QemuMachine["boot"]): readonly string[] {
	// Read only, and of the instance's own: two machines of one image do not wait for each other's lock.
	if ("floppy" in boot) return ["-drive", `if=floppy,format=raw,readonly=on,file.locking=off,file=${boot.floppy}`];
	const { kernel, initrd, append } = boot;
	return [
		...["-kernel", kernel],
		...(initrd === undefined ? [] : ["-initrd", initrd]),
		...(append === undefined ? [] : ["-append", append]),
	];
}

const filesOf = (boot: QemuMachine["boot"]): readonly string[] =>
	"floppy" in boot ? [boot.floppy] : boot.initrd === undefined ? [boot.kernel] : [boot.kernel, boot.initrd];

async function fileHash(files: HostFiles, path: string): Promise<string> {
	const bytes = await files.read(path);
	if (bytes === undefined)
		throw new QemuError("no-file", `${path} is not there: the machine cannot boot from it; build or name another`);
	const hash = new Uint8Array(await crypto.subtle.digest("SHA-256", bytes));
	return Array.from(hash, (byte) => byte.toString(16).padStart(2, "0")).join("");
}
