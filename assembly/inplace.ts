// The second entry: kernels that run over a guest's own memory, imported as `env.memory` (unshared, no maximum: a maximum
// would refuse guests without one).
//
// Nothing may be written to the guest: no static data (an active segment would overwrite it), no stack in memory, results
// only through the engine's sinks (sink.ts). The kernels hold no address between calls, so they survive memory.grow. A
// memory may end at exactly 4 GiB: addresses past its last page wrap to 0, so page ends are compared with !=.
import { hashPage } from "./inplace-hash";
import { scanChunk, scanPair, scanSecond } from "./zero";

// @ts-ignore: decorator
@external("engine", "inplaceWord") declare function deliverWord(bitmap: usize, blocks: u32, wordIndex: u32, bits: u64): void;
// @ts-ignore: decorator
@external("engine", "inplaceDiffers") declare function differs(
  at: usize, x0: v128, x1: v128, x2: v128, x3: v128, x4: v128, x5: v128, x6: v128, x7: v128,
): u32;

/** Whether the last group's pages mostly differed at their start: compare.ts has the reason. A guess, never a result. */
let startFirst: bool = false;

/** Pages that share a guess. */
const GROUP_PAGES: u32 = 8;

// @ts-ignore: decorator
@inline function differs128(page: usize, shadow: usize): u32 {
  return differs(
    shadow,
    v128.load(page), v128.load(page, 16), v128.load(page, 32), v128.load(page, 48),
    v128.load(page, 64), v128.load(page, 80), v128.load(page, 96), v128.load(page, 112),
  );
}

/** A whole page, without an exit. @returns 1 if the two differ */
// @ts-ignore: decorator
@inline function pageDiffers(page: usize, shadow: usize): u64 {
  const end = page + 4096;
  let found: u32 = 0;
  do {
    found |= differs128(page, shadow);
    page += 128;
    shadow += 128;
  } while (page != end);
  return found;
}

/**
 * Compares up to 64 guest pages with a shadow in the engine, 128 bytes per call of the sink: 194 ns per page (64 MiB out of
 * cache, Zen 5). Copying 64 KiB chunks into the engine and comparing there took 361 ns; 64 bytes per call the same as 128.
 *
 * @returns bit i set if page i differs
 */
function compareChunk(page: usize, shadow: usize, count: u32): u64 {
  let bits: u64 = 0;
  for (let group: u32 = 0; group < count; group += GROUP_PAGES) {
    const end = min(group + GROUP_PAGES, count);
    const first = startFirst;
    let early: u32 = 0;
    for (let i = group; i < end; ++i) {
      if (first && differs128(page, shadow) != 0) {
        bits |= (<u64>1) << <u64>i;
        ++early;
      } else {
        bits |= pageDiffers(page, shadow) << <u64>i;
        if (!first && (i & 1) == 0) early += differs128(page, shadow) << 1;
      }
      page += 4096;
      shadow += 4096;
    }
    startFirst = early * 4 >= (end - group) * 3;
  }
  return bits;
}

/**
 * Sets bit firstBit + i of the engine's bitmap where guest page firstPage + i is all zero.
 *
 * @returns zero pages
 */
export function inplaceZero(firstPage: u32, count: u32, bitmap: usize, blocks: u32, firstBit: u32): u32 {
  let zeros: u64 = 0;
  const end = firstBit + count;
  let bit = firstBit;
  // In pairs of words from the two halves, as zero.ts explains.
  const firstWhole = (firstBit + 63) >> 6;
  const lastWhole = end >> 6;
  const half: u32 = firstWhole < lastWhole ? (lastWhole - firstWhole) >> 1 : 0;
  while (bit < end) {
    const wordIndex = bit >> 6;
    let page = (<usize>(firstPage + bit - firstBit)) << 12;
    if (half > 0 && wordIndex == firstWhole && (bit & 63) == 0) {
      const far = (<usize>half) << 18;
      for (let i: u32 = 0; i < half; ++i) {
        const bits = scanPair(page, page + far);
        if (bits != 0) deliverWord(bitmap, blocks, wordIndex + i, bits);
        if (scanSecond() != 0) deliverWord(bitmap, blocks, wordIndex + i + half, scanSecond());
        zeros += popcnt(bits) + popcnt(scanSecond());
        page += 64 * 4096;
      }
      bit += half << 7;
      continue;
    }
    const chunk = min((wordIndex + 1) << 6, end) - bit;
    const bits = scanChunk(page, chunk);
    if (bits != 0) deliverWord(bitmap, blocks, wordIndex, bits << (<u64>bit & 63));
    zeros += popcnt(bits);
    bit += chunk;
  }
  return <u32>zeros;
}

/**
 * Sets bit firstBit + i of the engine's bitmap where guest page firstPage + i differs from page i of the shadow, which lies
 * in the engine's memory.
 *
 * @returns pages that differ
 */
export function inplaceCompare(
  firstPage: u32, count: u32, shadow: usize, bitmap: usize, blocks: u32, firstBit: u32,
): u32 {
  let different: u64 = 0;
  let page = (<usize>firstPage) << 12;
  const end = firstBit + count;
  for (let bit = firstBit; bit < end; ) {
    const wordIndex = bit >> 6;
    const chunk = min((wordIndex + 1) << 6, end) - bit;
    const bits = compareChunk(page, shadow, chunk);
    if (bits != 0) deliverWord(bitmap, blocks, wordIndex, bits << (<u64>bit & 63));
    different += popcnt(bits);
    bit += chunk;
    page += (<usize>chunk) << 12;
    shadow += (<usize>chunk) << 12;
  }
  return <u32>different;
}

/** XXH3-128 of `count` guest pages from firstPage, 16 bytes each to the engine's memory at `out`. */
export function inplaceHashPages(firstPage: u32, count: u32, out: usize): void {
  let page = (<usize>firstPage) << 12;
  for (let i: u32 = 0; i < count; ++i) {
    hashPage(page, out);
    page += 4096;
    out += 16;
  }
}
