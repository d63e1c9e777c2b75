// Page compare: two regions of whole pages, the differing ones into a bitmap.
//
// Whether leaving a page at its first difference pays depends on the memory (64 MiB per side, out of cache, Zen 5, ns per page,
// exit every 512 bytes / no exit): all pages alike 221 / 205, every page different somewhere 435 / 187, every page different at
// its start 74 / 180. An exit breaks the processor's prefetch stream and is mispredicted; only pages that differ in their first
// 128 bytes gain, and then ten times (15 ns). So each chunk of up to 64 pages reads whole pages and samples how
// many differ early; when three quarters do, the next chunk looks at the first 128 bytes first.
import { mergeWord } from "./bitmap";

// @ts-ignore: decorator
@inline function differs64(a: usize, b: usize): v128 {
  return v128.or(
    v128.or(v128.xor(v128.load(a), v128.load(b)), v128.xor(v128.load(a, 16), v128.load(b, 16))),
    v128.or(v128.xor(v128.load(a, 32), v128.load(b, 32)), v128.xor(v128.load(a, 48), v128.load(b, 48))),
  );
}

// @ts-ignore: decorator
@inline function differs128(a: usize, b: usize): v128 {
  return v128.or(differs64(a, b), differs64(a + 64, b + 64));
}

/**
 * A whole page, without an exit. 64 bytes per step: V8 places all loads of a step before what uses them, and more than these
 * eight spill registers.
 *
 * @returns 1 if the two differ
 */
// @ts-ignore: decorator
@inline function pageDiffers(a: usize, b: usize): u64 {
  let any = i64x2.splat(0);
  const end = a + 4096;
  do {
    any = v128.or(any, differs64(a, b));
    a += 64;
    b += 64;
  } while (a < end);
  return v128.any_true(any) ? 1 : 0;
}

/** Whether the last group's pages mostly differed at their start. A guess for the next group, never a result. */
let startFirst: bool = false;

/** Pages that share a guess. */
const GROUP_PAGES: u32 = 8;

/** Compares up to 64 pages. @returns bit i set if page i differs */
function compareChunk(a: usize, b: usize, count: u32): u64 {
  let bits: u64 = 0;
  for (let first: u32 = 0; first < count; first += GROUP_PAGES) {
    const end = min(first + GROUP_PAGES, count);
    let early: u32 = 0;
    if (startFirst) {
      for (let i = first; i < end; ++i) {
        if (v128.any_true(differs128(a, b))) {
          bits |= (<u64>1) << <u64>i;
          ++early;
        } else bits |= pageDiffers(a, b) << <u64>i;
        a += 4096;
        b += 4096;
      }
    } else {
      for (let i = first; i < end; ++i) {
        bits |= pageDiffers(a, b) << <u64>i;
        // Looked at again, not peeled off the loop, which cost a quarter of the speed.
        if ((i & 1) == 0) early += v128.any_true(differs128(a, b)) ? 2 : 0;
        a += 4096;
        b += 4096;
      }
    }
    startFirst = early * 4 >= (end - first) * 3;
  }
  return bits;
}

/**
 * Sets bit firstBit + i for every i of [0, count) where page i of `a` and of `b` differ; other bits stay.
 *
 * @returns pages that differ
 */
export function comparePages(a: usize, b: usize, count: u32, bitmap: usize, blocks: u32, firstBit: u32): u32 {
  let different: u64 = 0;
  const end = firstBit + count;
  for (let bit = firstBit; bit < end; ) {
    const wordIndex = bit >> 6;
    const pages = min((wordIndex + 1) << 6, end) - bit;
    const bits = compareChunk(a, b, pages);
    mergeWord(bitmap, blocks, wordIndex, bits << (<u64>bit & 63));
    different += popcnt(bits);
    bit += pages;
    a += (<usize>pages) << 12;
    b += (<usize>pages) << 12;
  }
  return <u32>different;
}
