// Zero-page detection: pages whose every byte is zero, into a bitmap.
import { mergeWord } from "./bitmap";

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
  } while (page < end);
  return 1;
}

/**
 * Sets bit firstBit + i for every i of [0, count) where page i is all zero; other bits stay.
 *
 * @returns zero pages
 */
export function zeroPages(pages: usize, count: u32, bitmap: usize, blocks: u32, firstBit: u32): u32 {
  let zeros: u64 = 0;
  const end = firstBit + count;
  for (let bit = firstBit; bit < end; ) {
    const wordIndex = bit >> 6;
    const wordEnd = min((wordIndex + 1) << 6, end);
    let bits: u64 = 0;
    for (; bit < wordEnd; ++bit) {
      bits |= pageIsZero(pages) << (<u64>bit & 63);
      pages += 4096;
    }
    mergeWord(bitmap, blocks, wordIndex, bits);
    zeros += popcnt(bits);
  }
  return <u32>zeros;
}
