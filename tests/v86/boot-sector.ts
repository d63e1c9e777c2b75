// Our own guest of 512 bytes: what boot-sector.S assembles to, in a firmware of ours that starts it. It boots in milliseconds and
// needs nothing but v86: no BIOS, no kernel, no download. What it does is told in boot-sector.S.
import { PAGE_BYTES } from "../../bindings/ports/guest.ts";

/** Code and tables; zeros up to the signature follow. */
const BOOT_SECTOR_CODE = [
	"fa31c08ed88ec08ed00f01163c7d0f20c00c010f22c0ea1b7c080066b810008ed88ec08ed0bc00700000fcbf00100100",
	"b803000000b900100000ab0500100000e2f8bf00000100b803100100b104ab0500100000e2f8b8000001000f22d80f20",
	"c00d000001800f22c0c70500090000177d0800c70504090000008e00000f011d427d0000b011e620b020e621b004e621",
	"b001e621b0fee621b034e643b09ce640b02ee640c7050c05000000001000c7051005000000004000fba10005000083f8",
	"01741983f80274f183f8037403f4ebe9c70504050000fffffffffaf48b3d0c050000fe07b9c8000000e2fe81c7001000",
	"003b3d1005000072e9a104050000ff050405000031d2b91a000000f7f18d424166baf803eeeba250ff0508050000b020",
	"e62058cf0000000000000000ffff0000009acf00ffff00000092cf001700247d0000070100080000",
].join("");

/** Where the guest keeps its variables, as physical addresses (32-bit words). */
export const Variable = { mode: 0x500, rounds: 0x504, ticks: 0x508, first: 0x50c, end: 0x510 } as const;

/** Values of {@link Variable.mode}. */
export const Mode = { wait: 0, oracle: 1, spin: 2, still: 3 } as const;

/** What the oracle sweeps unless it is told otherwise. */
export const SWEPT = { firstPage: 0x100000 / PAGE_BYTES, pageCount: 0x300000 / PAGE_BYTES } as const;

const FIRMWARE_BYTES = 65_536;
const SECTOR_AT = 0xe100;
const LOADER_AT = 0xe000;
const RESET_AT = 0xfff0;

/** cli; cld; ds = cs; es = 0; copies 512 bytes from cs:e100 to 0:7c00; jumps there. */
const LOADER = "fafc8cc88ed831c08ec0be00e1bf007cb90001f3a5ea007c0000";
/** The processor begins here: a jump to f000:e000. */
const RESET = "ea00e000f0";

/** A BIOS of 64 KiB that does nothing but start the boot sector. */
export function bootSectorFirmware(): { readonly bios: Uint8Array } {
	const bios = new Uint8Array(FIRMWARE_BYTES);
	bios.set(fromHex(BOOT_SECTOR_CODE), SECTOR_AT);
	bios.set([0x55, 0xaa], SECTOR_AT + 510);
	bios.set(fromHex(LOADER), LOADER_AT);
	bios.set(fromHex(RESET), RESET_AT);
	return { bios };
}

/** A BIOS that writes a text to the first serial port, and does nothing more. */
export function sayingFirmware(text: string): { readonly bios: Uint8Array } {
	const bios = new Uint8Array(FIRMWARE_BYTES);
	bios.set(fromHex(RESET), RESET_AT);
	// mov dx, 3f8; for each byte mov al, byte; out dx, al; then cli; hlt.
	const code = ["baf803", ...Array.from(text, (character) => `b0${hexOf(character)}ee`), "faf4ebfd"].join("");
	bios.set(fromHex(code), LOADER_AT);
	return { bios };
}

const hexOf = (character: string): string => character.charCodeAt(0).toString(16).padStart(2, "0");

function fromHex(digits: string): Uint8Array {
	return Uint8Array.from({ length: digits.length / 2 }, (_, at) =>
		Number.parseInt(digits.slice(at * 2, at * 2 + 2), 16),
	);
}

/**
 * The check of QEMU's migration tests: every byte that the oracle sweeps is equal, but for one step from one page to the next.
 *
 * @param memory - the guest's RAM while it is paused
 * @returns what is wrong, or `undefined`
 */
export function oracleFault(memory: Uint8Array): string | undefined {
	const { firstPage, pageCount } = SWEPT;
	const byteOf = (page: number): number => memory[page * PAGE_BYTES] ?? -1;
	let steps = 0;
	for (let page = firstPage + 1; page < firstPage + pageCount; page++) {
		if (byteOf(page) === byteOf(page - 1)) continue;
		if (((byteOf(page) + 1) & 0xff) !== byteOf(page - 1))
			return `page ${page}: ${byteOf(page)} after ${byteOf(page - 1)}`;
		steps++;
	}
	return steps <= 1 ? undefined : `${steps} steps among the pages, at most one is right`;
}

/** @returns what is wrong with the letters that came, from A on or from within, or `undefined` */
export function letterFault(letters: string): string | undefined {
	for (let at = 1; at < letters.length; at++) {
		const step = (letters.charCodeAt(at) - letters.charCodeAt(at - 1) + 26) % 26;
		if (step !== 1) return `letter ${at}: ${letters[at]} after ${letters[at - 1]}`;
	}
	return undefined;
}
