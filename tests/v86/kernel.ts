// A file that looks like a Linux kernel to whoever loads one, and is none.

/** What a made-up kernel claims, in bytes. */
export interface KernelClaims {
	readonly byteLength?: number;
	/** What it needs from 1 MiB on while it unpacks itself. */
	readonly initByteLength?: number;
	/** Of the boot protocol. */
	readonly version?: number;
}

/** Sectors of its real-mode part. */
const SETUP_SECTORS = 4;
export const REAL_MODE_BYTES: number = (SETUP_SECTORS + 1) * 512;

/** A bzImage of this size: its header, and bytes that are all different from those beside them. */
export function fakeKernel({ byteLength = 8192, initByteLength = 0, version = 0x20f }: KernelClaims = {}): Uint8Array {
	const kernel = Uint8Array.from({ length: byteLength }, (_, at) => (at * 7) & 0xff);
	const header = new DataView(kernel.buffer);
	header.setUint8(0x1f1, SETUP_SECTORS);
	header.setUint16(0x1fe, 0xaa55, true);
	kernel.set(new TextEncoder().encode("HdrS"), 0x202);
	header.setUint16(0x206, version, true);
	header.setUint8(0x211, 1);
	header.setUint32(0x230, 4096, true);
	header.setUint8(0x234, 1);
	header.setUint32(0x238, 255, true);
	header.setBigUint64(0x258, 2n ** 20n, true);
	header.setUint32(0x260, initByteLength, true);
	return kernel;
}
