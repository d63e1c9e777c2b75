// What a v86 machine boots from, and whether it fits: v86 itself looks at nothing, and would start a machine that can never boot.
//
//   RAM  0x80000    kernel's real-mode part, command line from 0x8e000 on      v86 puts them there
//        0xc0000    VGA BIOS
//        … 0xfffff  BIOS, ending here
//        0x100000   kernel's protected-mode part; it unpacks itself from there to where its header says
//        last 4 MiB initramfs                                                  machine.ts puts it there
//
// The kernel's header: Documentation/arch/x86/boot.rst of Linux.
import { V86Error } from "./errors.ts";

/** What a machine boots from: put into RAM before its first instruction. */
export interface V86Firmware {
	/** The BIOS, up to 1 MiB; its last 16 bytes are where the processor begins. */
	readonly bios: Uint8Array;
	/** Up to 128 KiB. */
	readonly vgaBios?: Uint8Array;
	readonly linux?: V86Linux;
	/** Of the network card, `aa:bb:cc:dd:ee:ff`. Random if left out; the same each time for a counted machine. */
	readonly macAddress?: string;
}

/** A kernel that the BIOS starts (SeaBIOS does). */
export interface V86Linux {
	/** A bzImage. It, and what it unpacks itself to, end below the last 4 MiB of RAM. */
	readonly kernel: Uint8Array;
	/** Placed in the last 4 MiB of RAM. */
	readonly initramfs: Uint8Array;
	readonly commandLine: string;
}

/** At the end of RAM, for the initramfs. */
export const RAMDISK_ROOM_BYTES: number = 4 * 2 ** 20;

const SMALLEST_BIOS_BYTES = 16;
const LARGEST_BIOS_BYTES = 2 ** 20;
/** From 0xc0000 to where the BIOS of a PC begins. */
const LARGEST_VGA_BIOS_BYTES = 128 * 2 ** 10;
const KERNEL_ADDRESS = 2 ** 20;
/** Below the command line. */
const LARGEST_REAL_MODE_BYTES = 0xe000;

/**
 * @throws {V86Error} `firmware`, saying what does not fit and what to do; TypeError or RangeError for what is none at all
 */
export function checkFirmware(firmware: V86Firmware, memoryByteLength: number): void {
	const { bios, vgaBios, linux, macAddress } = firmware;
	if (macAddress !== undefined && !/^[0-9a-f]{2}(:[0-9a-f]{2}){5}$/i.test(macAddress))
		throw new RangeError(`firmware.macAddress: '${macAddress}' is not of the form aa:bb:cc:dd:ee:ff`);
	requireBytes("bios", bios);
	if (bios.byteLength < SMALLEST_BIOS_BYTES || bios.byteLength > LARGEST_BIOS_BYTES)
		refuse("bios", `it has ${bios.byteLength} bytes; one has from 16 bytes to 1 MiB: give it SeaBIOS's bios.bin, say`);
	if (vgaBios !== undefined) {
		requireBytes("vgaBios", vgaBios);
		if (vgaBios.byteLength === 0 || vgaBios.byteLength > LARGEST_VGA_BIOS_BYTES)
			refuse(
				"vgaBios",
				`it has ${vgaBios.byteLength} bytes; one has up to 128 KiB: give it SeaBIOS's, or leave it out`,
			);
	}
	if (linux !== undefined) checkLinux(linux, memoryByteLength);
}

function checkLinux({ kernel, initramfs, commandLine }: V86Linux, memoryByteLength: number): void {
	requireBytes("linux.kernel", kernel);
	requireBytes("linux.initramfs", initramfs);
	if (initramfs.byteLength > RAMDISK_ROOM_BYTES)
		refuse(
			"linux.initramfs",
			`it has ${initramfs.byteLength} bytes; there is room for ${RAMDISK_ROOM_BYTES}: pack less`,
		);
	if (typeof commandLine !== "string") throw new TypeError("firmware.linux.commandLine: must be a string");
	const image = readHeader(kernel);
	if (commandLine.length > image.commandLineLimit)
		refuse("linux.commandLine", `it has ${commandLine.length} characters; this kernel takes ${image.commandLineLimit}`);
	const needed = image.endAddress + RAMDISK_ROOM_BYTES;
	if (needed > memoryByteLength)
		refuse(
			"linux.kernel",
			`it needs ${image.endAddress} bytes to unpack itself, and the initramfs the last ${RAMDISK_ROOM_BYTES}; RAM has ${memoryByteLength}: raise memoryByteLength to ${needed} or more`,
		);
}

/** What a kernel's header tells. */
interface BzImage {
	/** Where the RAM ends that it writes before it knows what is where. */
	readonly endAddress: number;
	readonly commandLineLimit: number;
}

/** @throws {V86Error} `firmware` for what is no bzImage */
function readHeader(kernel: Uint8Array): BzImage {
	const header = new DataView(kernel.buffer, kernel.byteOffset, kernel.byteLength);
	const isKernel =
		kernel.byteLength >= 0x268 && header.getUint16(0x1fe, true) === 0xaa55 && header.getUint32(0x202) === HDRS;
	if (!isKernel)
		refuse(
			"linux.kernel",
			`its ${kernel.byteLength} bytes are no Linux kernel: give it a bzImage (vmlinuz, not vmlinux)`,
		);
	const version = header.getUint16(0x206, true);
	const loadedHigh = (header.getUint8(0x211) & 1) !== 0;
	const realModeBytes = ((header.getUint8(0x1f1) || 4) + 1) * 512;
	if (version < 0x202 || !loadedHigh || realModeBytes > LARGEST_REAL_MODE_BYTES)
		refuse("linux.kernel", "it is older than boot protocol 2.02, or a zImage: give it a bzImage of Linux 2.4 or later");
	if (realModeBytes >= kernel.byteLength)
		refuse("linux.kernel", `it ends after ${kernel.byteLength} bytes, within its first part: its file is not complete`);
	const loadedEnd = KERNEL_ADDRESS + kernel.byteLength - realModeBytes;
	return {
		endAddress: Math.max(loadedEnd, version >= 0x20a ? unpackedEnd(header) : 0),
		commandLineLimit: version >= 0x206 ? header.getUint32(0x238, true) : 255,
	};
}

/** `HdrS` */
const HDRS = 0x48647253;

/** Of a kernel's fields relocatable_kernel, kernel_alignment, pref_address and init_size, as the protocol says (2.10). */
function unpackedEnd(header: DataView): number {
	const preferred = Number(header.getBigUint64(0x258, true));
	const alignment = header.getUint32(0x230, true) || 1;
	const isRelocatable = header.getUint8(0x234) !== 0;
	const lowest = Math.max(KERNEL_ADDRESS, preferred);
	const start = isRelocatable ? Math.ceil(lowest / alignment) * alignment : preferred;
	return start + header.getUint32(0x260, true);
}

function requireBytes(what: string, bytes: Uint8Array): void {
	if (!(bytes instanceof Uint8Array)) throw new TypeError(`firmware.${what}: must be a Uint8Array`);
}

function refuse(what: string, why: string): never {
	throw new V86Error("firmware", `firmware.${what}: ${why}`);
}
