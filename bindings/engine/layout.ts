// Where everything lies in the engine's memory. No other file decides an address.
//
//   0x00000  never handed out: an offset of 0 is a bug, not a region
//   0x00040  XXH3's default secret, 192 bytes (written by the engine itself when it is created)
//   0x00100  cells: small in/out values of kernels that return more than one number
//   0x00200  one-shot hash state and result
//   0x01000  staging: 64 KiB that carry bytes and lists across the edge, plus 4 KiB of slack for over-writing kernels
//   0x12000  regions, handed out upwards by `Engine.allocate`, never moved, never freed: disposing the engine frees all
//
// The engine's memory ends 64 KiB below 4 GiB, so that "one past the end" of a region is always a valid u32.

/** Bytes of one guest page. Every kernel, bitmap and wire format counts in this unit. */
export const PAGE_BYTES: number = 4096;

/** Bytes by which WebAssembly memories grow. */
export const WASM_PAGE_BYTES: number = 65536;

/** XXH3's default secret: 192 bytes. */
export const SECRET_OFFSET: number = 0x40;

/** Two u32: a kernel's cursor (read and written back) and its second result. */
export const CELL_OFFSET: number = 0x100;

/** 512 bytes for a streaming hash state, so that one-shot hashing of long inputs needs no region of its own. */
export const HASH_STATE_OFFSET: number = 0x200;

/** 16 bytes: the result of the last one-shot hash. */
export const HASH_RESULT_OFFSET: number = 0x400;

/** Bytes and lists cross the edge here. */
export const STAGING_OFFSET: number = 0x1000;

/** 64 KiB keeps a staged copy inside the L2 cache; larger chunks measured no faster. */
export const STAGING_BYTES: number = 65536;

/** First byte that `Engine.allocate` may hand out. */
export const HEAP_OFFSET: number = 0x12000;

/** 4 GiB − 64 KiB: see the header. */
export const MEMORY_LIMIT_BYTES: number = 0xffff0000;

/** Kernels that expand bits in fours write up to 3 entries past their result: every list region carries this slack. */
export const LIST_SLACK_BYTES: number = 16;

/** 2^30 pages (4 TiB of guest memory, a bitmap of 130 MiB): beyond it bit positions near 2^32 could wrap in a kernel. */
export const BITMAP_LIMIT_BITS: number = 2 ** 30;

/** One summary word (64 bits) covers 64 bitmap words: a block of 4096 bits, 512 bytes. */
export const BITMAP_BLOCK_BITS: number = 4096;

/** Bytes of a bitmap block. */
const BITMAP_BLOCK_BYTES: number = 512;

/**
 * A bitmap region is its blocks, then one summary word per block.
 *
 * @param bitCount bits the bitmap must hold
 * @returns the number of blocks and the bytes of the whole region
 */
export function bitmapLayout(bitCount: number): { blockCount: number; byteLength: number } {
	const blockCount = Math.max(1, Math.ceil(bitCount / BITMAP_BLOCK_BITS));
	return { blockCount, byteLength: blockCount * (BITMAP_BLOCK_BYTES + 8) };
}
