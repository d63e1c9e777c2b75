// The second entry: kernels that run over a guest's own memory, imported as `env.memory` (unshared, no maximum: a maximum
// would refuse guests without one).
//
// Nothing may be written to the guest: no static data (an active segment would overwrite it), no stack in memory, results
// only through the engine's sinks (sink.ts). The kernels hold no address between calls, so they survive memory.grow. A
// memory may end at exactly 4 GiB: addresses past its last page wrap to 0, so page ends are compared with !=.
import { hashPage } from "./inplace-hash";

// @ts-ignore: decorator
@external("engine", "inplaceWord") declare function deliverWord(bitmap: usize, blocks: u32, wordIndex: u32, bits: u64): void;
// @ts-ignore: decorator
@external("engine", "inplaceDiffers") declare function differs(
  at: usize, x0: v128, x1: v128, x2: v128, x3: v128, x4: v128, x5: v128, x6: v128, x7: v128,
): u32;

// @ts-ignore: decorator
@inline function any128(a: usize): v128 {
  return v128.or(
    v128.or(v128.or(v128.load(a), v128.load(a, 16)), v128.or(v128.load(a, 32), v128.load(a, 48))),
    v128.or(v128.or(v128.load(a, 64), v128.load(a, 80)), v128.or(v128.load(a, 96), v128.load(a, 112))),
  );
}

/** @returns 1 if the page is all zero */
function pageIsZero(page: usize): u64 {
  const end = page + 4096;
  do {
    if (v128.any_true(any128(page))) return 0;
    if (v128.any_true(any128(page + 128))) return 0;
    page += 256;
  } while (page != end);
  return 1;
}

/**
 * Comparing through a sink, 128 bytes per call, took 194 ns per page (64 MiB out of cache, Zen 5); copying 64 KiB chunks into
 * the engine and comparing there took 361 ns, and 64 bytes per call the same as 128.
 *
 * @returns 1 if the guest's page differs from the engine's at `shadow`
 */
function pageDiffers(page: usize, shadow: usize): u64 {
  const end = page + 4096;
  do {
    if (
      differs(
        shadow,
        v128.load(page), v128.load(page, 16), v128.load(page, 32), v128.load(page, 48),
        v128.load(page, 64), v128.load(page, 80), v128.load(page, 96), v128.load(page, 112),
      )
    ) return 1;
    page += 128;
    shadow += 128;
  } while (page != end);
  return 0;
}

/**
 * Sets bit firstBit + i of the engine's bitmap where guest page firstPage + i is all zero.
 *
 * @returns zero pages
 */
export function inplaceZero(firstPage: u32, count: u32, bitmap: usize, blocks: u32, firstBit: u32): u32 {
  let zeros: u64 = 0;
  let page = (<usize>firstPage) << 12;
  const end = firstBit + count;
  for (let bit = firstBit; bit < end; ) {
    const wordIndex = bit >> 6;
    const wordEnd = min((wordIndex + 1) << 6, end);
    let bits: u64 = 0;
    for (; bit < wordEnd; ++bit) {
      bits |= pageIsZero(page) << (<u64>bit & 63);
      page += 4096;
    }
    if (bits != 0) deliverWord(bitmap, blocks, wordIndex, bits);
    zeros += popcnt(bits);
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
    const wordEnd = min((wordIndex + 1) << 6, end);
    let bits: u64 = 0;
    for (; bit < wordEnd; ++bit) {
      bits |= pageDiffers(page, shadow) << (<u64>bit & 63);
      page += 4096;
      shadow += 4096;
    }
    if (bits != 0) deliverWord(bitmap, blocks, wordIndex, bits);
    different += popcnt(bits);
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
