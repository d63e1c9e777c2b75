// A machine for tests that fits in a boot sector, ours: it adds 1 to the first byte of every page from 1 MiB up to a limit,
// page after page, over and over. So whenever it is stopped all of these bytes are equal, or there is one edge, where the
// bytes fall by one (the oracle of QEMU's own migration tests). After each round it says the round's number, 8 hex digits,
// on the serial line, and rests.
//
//	cli; A20 by port 0x92; protected mode, flat segments, stack at 0x7000; ebp = 0; say "counting"
//	round:	for (edi = 0x100000; edi < limit; edi += 4096) incb (edi)
//		ebp++; say ebp; for (ecx = delay; --ecx;)
//	say:	wait for the line's status bit 5 (0x3fd), send (0x3f8), until a zero byte
//	limit at 500, delay at 504, both u32
//
// The listing above, assembled once by GNU as (i386, origin 0x7c00).
const CODE =
	"fa31c08ed8e4920c02e692660f0116c07c0f20c00c010f22c066ea217c0000080066b810008ed88ec08ed0bc00700000" +
	"31edbed67c0000e84f000000bf00001000fe0781c7001000003b3df47d000072f04589e8bf00060000b908000000c1c0" +
	"0489c383e30f8a9bc67c0000881f47e2edc7070a000000be00060000e80a0000008b0df87d0000e2feebb1bafd030000" +
	"eca82074fbbaf8030000ac84c07403eeebe9c38d742600900000000000000000ffff0000009acf00ffff00000092cf00" +
	"1700a87c000030313233343536373839616263646566636f756e74696e670a00";

/** Where counting begins. */
export const FIRST_COUNTED_PAGE = 256;

/** A boot floppy's image. @param delay - loops of one instruction between two rounds */
export function counterFloppy(options: { readonly limitMiB: number; readonly delay: number }): Uint8Array<ArrayBuffer> {
	const image = new Uint8Array(1_474_560);
	for (let at = 0; at < CODE.length; at += 2) image[at / 2] = Number.parseInt(CODE.slice(at, at + 2), 16);
	const view = new DataView(image.buffer);
	view.setUint32(500, options.limitMiB * 2 ** 20, true);
	view.setUint32(504, options.delay, true);
	view.setUint16(510, 0xaa55, true);
	return image;
}

/**
 * Looks at the counted bytes, one per page.
 * @returns `undefined` if they are equal or fall once by one; else what is wrong
 */
export function oracleComplaint(bytes: Uint8Array): string | undefined {
	let edges = 0;
	for (let page = 1; page < bytes.length; page++) {
		if (bytes[page] === bytes[page - 1]) continue;
		if (((bytes[page]! + 1) & 0xff) !== bytes[page - 1])
			return `page ${FIRST_COUNTED_PAGE + page} has ${bytes[page]}, the one before ${bytes[page - 1]}`;
		edges++;
	}
	return edges > 1 ? `${edges} edges` : undefined;
}
