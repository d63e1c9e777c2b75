// Page compare: two regions of whole pages, the differing ones into a bitmap.
//
// SIMD in steps of 512 bytes per side: smaller steps branch too often on pages that are alike, no step at all reads to the
// end of pages that differ early.
import { mergeWord } from "./bitmap";

// @ts-ignore: decorator
@inline function differs64(a: usize, b: usize): v128 {
  return v128.or(
    v128.or(v128.xor(v128.load(a), v128.load(b)), v128.xor(v128.load(a, 16), v128.load(b, 16))),
    v128.or(v128.xor(v128.load(a, 32), v128.load(b, 32)), v128.xor(v128.load(a, 48), v128.load(b, 48))),
  );
}

/** @returns 1 if the two pages differ */
function pageDiffers(a: usize, b: usize): u64 {
  const end = a + 4096;
  do {
    let x = v128.or(differs64(a, b), differs64(a + 64, b + 64));
    x = v128.or(x, v128.or(differs64(a + 128, b + 128), differs64(a + 192, b + 192)));
    x = v128.or(x, v128.or(differs64(a + 256, b + 256), differs64(a + 320, b + 320)));
    x = v128.or(x, v128.or(differs64(a + 384, b + 384), differs64(a + 448, b + 448)));
    if (v128.any_true(x)) return 1;
    a += 512;
    b += 512;
  } while (a < end);
  return 0;
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
    const wordEnd = min((wordIndex + 1) << 6, end);
    let bits: u64 = 0;
    for (; bit < wordEnd; ++bit) {
      bits |= pageDiffers(a, b) << (<u64>bit & 63);
      a += 4096;
      b += 4096;
    }
    mergeWord(bitmap, blocks, wordIndex, bits);
    different += popcnt(bits);
  }
  return <u32>different;
}
