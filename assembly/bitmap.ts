// Bitmaps over page indices, with a summary level.
//
//   region   | block 0 (64 words of 64 bits) | block 1 | … | summary word 0 | summary word 1 | …
//   summary  bit j of summary word b is set if word j of block b may be non-zero
//
// Invariants: a non-zero word always has its summary bit (the summary may be a superset: clearing a bit leaves it, the next
// harvest or rebuild removes it); bits at and beyond the bitmap's bit count are zero, and so are whole words beyond.
// A sparse set thus costs one load per 4096 bits; a dense one skips the search for non-zero words, which the summary has
// already done. Every function takes the region's offset and its block count.

/** Bits per block; a block has one summary word. */
export const BLOCK_SHIFT: u32 = 12;

// @ts-ignore: decorator
@inline export function summaryOf(bitmap: usize, blocks: u32): usize {
  return bitmap + ((<usize>blocks) << 9);
}

// @ts-ignore: decorator
@inline export function bitsFrom(position: u32): u64 {
  return (<u64>-1) << (<u64>position & 63);
}

/** Mask of the bits below `end` within its word; `end` must not be a multiple of 64. */
// @ts-ignore: decorator
@inline export function bitsBelow(end: u32): u64 {
  return ~bitsFrom(end);
}

/** ORs bits into word `wordIndex`, keeping the summary. Other kernels deliver their results through this. */
// @ts-ignore: decorator
@inline export function mergeWord(bitmap: usize, blocks: u32, wordIndex: u32, bits: u64): void {
  if (bits == 0) return;
  const at = bitmap + ((<usize>wordIndex) << 3);
  store<u64>(at, load<u64>(at) | bits);
  const summary = summaryOf(bitmap, blocks) + ((<usize>(wordIndex >> 6)) << 3);
  store<u64>(summary, load<u64>(summary) | ((<u64>1) << (<u64>wordIndex & 63)));
}

/** @returns 1 if the bit was clear before */
export function bitmapSet(bitmap: usize, blocks: u32, index: u32): u32 {
  const at = bitmap + ((<usize>(index >> 6)) << 3);
  const word = load<u64>(at);
  const bit = (<u64>1) << (<u64>index & 63);
  store<u64>(at, word | bit);
  const summary = summaryOf(bitmap, blocks) + ((<usize>(index >> BLOCK_SHIFT)) << 3);
  store<u64>(summary, load<u64>(summary) | ((<u64>1) << (<u64>(index >> 6) & 63)));
  return (word & bit) == 0 ? 1 : 0;
}

/** @returns 1 if the bit was set before */
export function bitmapClear(bitmap: usize, _blocks: u32, index: u32): u32 {
  const at = bitmap + ((<usize>(index >> 6)) << 3);
  const word = load<u64>(at);
  const bit = (<u64>1) << (<u64>index & 63);
  store<u64>(at, word & ~bit);
  return (word & bit) != 0 ? 1 : 0;
}

export function bitmapHas(bitmap: usize, index: u32): u32 {
  return <u32>((load<u64>(bitmap + ((<usize>(index >> 6)) << 3)) >> (<u64>index & 63)) & 1);
}

/** Sets (value ≠ 0) or clears the bits [first, end). */
export function bitmapFill(bitmap: usize, blocks: u32, first: u32, end: u32, value: u32): void {
  if (first >= end) return;
  const summary = summaryOf(bitmap, blocks);
  const firstWord = first >> 6;
  const lastWord = (end - 1) >> 6;
  if (value != 0) {
    fillBits(bitmap, first, end);
    // The summary is itself a bitmap over words.
    fillBits(summary, firstWord, lastWord + 1);
  } else {
    clearBits(bitmap, first, end);
    // Words that are wholly inside are zero now; those at the two edges may not be and keep their summary bit.
    const innerFirst = (first + 63) >> 6;
    const innerEnd = end >> 6;
    if (innerFirst < innerEnd) clearBits(summary, innerFirst, innerEnd);
  }
}

function fillBits(words: usize, first: u32, end: u32): void {
  const last = words + ((<usize>((end - 1) >> 6)) << 3);
  let at = words + ((<usize>(first >> 6)) << 3);
  const head = bitsFrom(first);
  const tail = (end & 63) != 0 ? bitsBelow(end) : <u64>-1;
  if (at == last) {
    store<u64>(at, load<u64>(at) | (head & tail));
    return;
  }
  store<u64>(at, load<u64>(at) | head);
  at += 8;
  memory.fill(at, 0xff, last - at);
  store<u64>(last, load<u64>(last) | tail);
}

function clearBits(words: usize, first: u32, end: u32): void {
  const last = words + ((<usize>((end - 1) >> 6)) << 3);
  let at = words + ((<usize>(first >> 6)) << 3);
  const head = bitsFrom(first);
  const tail = (end & 63) != 0 ? bitsBelow(end) : <u64>-1;
  if (at == last) {
    store<u64>(at, load<u64>(at) & ~(head & tail));
    return;
  }
  store<u64>(at, load<u64>(at) & ~head);
  at += 8;
  memory.fill(at, 0, last - at);
  store<u64>(last, load<u64>(last) & ~tail);
}

/** Set bits of one whole block. Scalar popcnt beats the SIMD one: x64 has no vector popcount below AVX-512. */
// @ts-ignore: decorator
@inline function countBlock(words: usize): u64 {
  let a: u64 = 0, b: u64 = 0, c: u64 = 0, d: u64 = 0;
  const end = words + 512;
  do {
    a += popcnt(load<u64>(words)) + popcnt(load<u64>(words, 32));
    b += popcnt(load<u64>(words, 8)) + popcnt(load<u64>(words, 40));
    c += popcnt(load<u64>(words, 16)) + popcnt(load<u64>(words, 48));
    d += popcnt(load<u64>(words, 24)) + popcnt(load<u64>(words, 56));
    words += 64;
  } while (words < end);
  return a + b + c + d;
}

/** Set bits of some words of a block, chosen by `mask`. */
// @ts-ignore: decorator
@inline function countWords(words: usize, mask: u64): u64 {
  let count: u64 = 0;
  while (mask != 0) {
    count += popcnt(load<u64>(words + (<usize>ctz(mask) << 3)));
    mask &= mask - 1;
  }
  return count;
}

/** Number of set bits in [first, end). */
export function bitmapCount(bitmap: usize, blocks: u32, first: u32, end: u32): u32 {
  if (first >= end) return 0;
  const firstWord = first >> 6;
  const lastWord = (end - 1) >> 6;
  const head = load<u64>(bitmap + ((<usize>firstWord) << 3)) & bitsFrom(first);
  const tail = (end & 63) != 0 ? bitsBelow(end) : <u64>-1;
  if (firstWord == lastWord) return <u32>popcnt(head & tail);
  let count: u64 = popcnt(head) + popcnt(load<u64>(bitmap + ((<usize>lastWord) << 3)) & tail);
  // Whole words strictly between the two edges, by block.
  const summary = summaryOf(bitmap, blocks);
  let word = firstWord + 1;
  while (word < lastWord) {
    const block = word >> 6;
    let mask = load<u64>(summary + ((<usize>block) << 3)) & bitsFrom(word);
    const blockEnd = (block + 1) << 6;
    if (blockEnd > lastWord) mask &= ~bitsFrom(lastWord); // lastWord is inside this block, not at its end
    const words = bitmap + ((<usize>block) << 9);
    // Eight words by mask cost about as much as a whole block by the unrolled loop.
    if (word == block << 6 && blockEnd <= lastWord && popcnt(mask) > 8) count += countBlock(words);
    else count += countWords(words, mask);
    word = blockEnd;
  }
  return <u32>count;
}

/** target = target and not other. */
export function bitmapAndNot(target: usize, other: usize, blocks: u32): void {
  let targetSummary = summaryOf(target, blocks);
  let otherSummary = summaryOf(other, blocks);
  for (let block: u32 = 0; block < blocks; ++block) {
    if ((load<u64>(targetSummary) & load<u64>(otherSummary)) != 0) {
      let a = target, b = other;
      const end = a + 512;
      do {
        v128.store(a, v128.andnot(v128.load(a), v128.load(b)));
        v128.store(a, v128.andnot(v128.load(a, 16), v128.load(b, 16)), 16);
        v128.store(a, v128.andnot(v128.load(a, 32), v128.load(b, 32)), 32);
        v128.store(a, v128.andnot(v128.load(a, 48), v128.load(b, 48)), 48);
        a += 64;
        b += 64;
      } while (a < end);
    }
    target += 512;
    other += 512;
    targetSummary += 8;
    otherSummary += 8;
  }
}

/** target = target or other. */
export function bitmapOr(target: usize, other: usize, blocks: u32): void {
  let targetSummary = summaryOf(target, blocks);
  let otherSummary = summaryOf(other, blocks);
  for (let block: u32 = 0; block < blocks; ++block) {
    const mask = load<u64>(otherSummary);
    if (mask != 0) {
      let a = target, b = other;
      const end = a + 512;
      do {
        v128.store(a, v128.or(v128.load(a), v128.load(b)));
        v128.store(a, v128.or(v128.load(a, 16), v128.load(b, 16)), 16);
        v128.store(a, v128.or(v128.load(a, 32), v128.load(b, 32)), 32);
        v128.store(a, v128.or(v128.load(a, 48), v128.load(b, 48)), 48);
        a += 64;
        b += 64;
      } while (a < end);
      store<u64>(targetSummary, load<u64>(targetSummary) | mask);
    }
    target += 512;
    other += 512;
    targetSummary += 8;
    otherSummary += 8;
  }
}

/** target = target and other. */
export function bitmapAnd(target: usize, other: usize, blocks: u32): void {
  let targetSummary = summaryOf(target, blocks);
  let otherSummary = summaryOf(other, blocks);
  for (let block: u32 = 0; block < blocks; ++block) {
    const mask = load<u64>(targetSummary);
    if (mask != 0) {
      const both = mask & load<u64>(otherSummary);
      if (both == 0) {
        memory.fill(target, 0, 512);
      } else {
        let a = target, b = other;
        const end = a + 512;
        do {
          v128.store(a, v128.and(v128.load(a), v128.load(b)));
          v128.store(a, v128.and(v128.load(a, 16), v128.load(b, 16)), 16);
          v128.store(a, v128.and(v128.load(a, 32), v128.load(b, 32)), 32);
          v128.store(a, v128.and(v128.load(a, 48), v128.load(b, 48)), 48);
          a += 64;
          b += 64;
        } while (a < end);
      }
      store<u64>(targetSummary, both);
    }
    target += 512;
    other += 512;
    targetSummary += 8;
    otherSummary += 8;
  }
}

/** target = other. */
export function bitmapCopy(target: usize, other: usize, blocks: u32): void {
  let targetSummary = summaryOf(target, blocks);
  let otherSummary = summaryOf(other, blocks);
  for (let block: u32 = 0; block < blocks; ++block) {
    const mask = load<u64>(otherSummary);
    if ((mask | load<u64>(targetSummary)) != 0) {
      memory.copy(target, other, 512);
      store<u64>(targetSummary, mask);
    }
    target += 512;
    other += 512;
    targetSummary += 8;
    otherSummary += 8;
  }
}

/** @returns 1 if both hold the same bits, whatever their summaries say */
export function bitmapEqual(a: usize, b: usize, blocks: u32): u32 {
  const aSummary = summaryOf(a, blocks);
  const bSummary = summaryOf(b, blocks);
  for (let block: usize = 0; block < <usize>blocks; ++block) {
    let mask = load<u64>(aSummary + (block << 3)) | load<u64>(bSummary + (block << 3));
    const words = block << 9;
    while (mask != 0) {
      const word = words + (<usize>ctz(mask) << 3);
      if (load<u64>(a + word) != load<u64>(b + word)) return 0;
      mask &= mask - 1;
    }
  }
  return 1;
}

/** Mask of the non-zero words of one block, 16 words per step. */
// @ts-ignore: decorator
@inline export function nonZeroWords(words: usize): u64 {
  const zero = i64x2.splat(0);
  let mask: u64 = 0;
  for (let shift: u64 = 0; shift < 64; shift += 16) {
    const bits =
      i64x2.bitmask(i64x2.ne(v128.load(words), zero)) |
      (i64x2.bitmask(i64x2.ne(v128.load(words, 16), zero)) << 2) |
      (i64x2.bitmask(i64x2.ne(v128.load(words, 32), zero)) << 4) |
      (i64x2.bitmask(i64x2.ne(v128.load(words, 48), zero)) << 6) |
      (i64x2.bitmask(i64x2.ne(v128.load(words, 64), zero)) << 8) |
      (i64x2.bitmask(i64x2.ne(v128.load(words, 80), zero)) << 10) |
      (i64x2.bitmask(i64x2.ne(v128.load(words, 96), zero)) << 12) |
      (i64x2.bitmask(i64x2.ne(v128.load(words, 112), zero)) << 14);
    mask |= (<u64>bits) << shift;
    words += 128;
  }
  return mask;
}

/** Makes the summary exact, after the words were written from outside. */
export function bitmapSummarize(bitmap: usize, blocks: u32, firstBlock: u32, endBlock: u32): void {
  let summary = summaryOf(bitmap, blocks) + ((<usize>firstBlock) << 3);
  let block = bitmap + ((<usize>firstBlock) << 9);
  for (let n = firstBlock; n < endBlock; ++n) {
    store<u64>(summary, nonZeroWords(block));
    block += 512;
    summary += 8;
  }
}

/** First set bit of [first, end), or `end`. */
export function bitmapNext(bitmap: usize, blocks: u32, first: u32, end: u32): u32 {
  if (first >= end) return end;
  const summary = summaryOf(bitmap, blocks);
  let word = load<u64>(bitmap + ((<usize>(first >> 6)) << 3)) & bitsFrom(first);
  let index = first >> 6;
  if (word == 0) {
    ++index;
    const wordEnd = (end + 63) >> 6;
    while (index < wordEnd) {
      const mask = load<u64>(summary + ((<usize>(index >> 6)) << 3)) & bitsFrom(index);
      if (mask == 0) {
        index = (index | 63) + 1;
        continue;
      }
      index = (index & ~63) + <u32>ctz(mask);
      word = load<u64>(bitmap + ((<usize>index) << 3));
      if (word != 0) break;
      ++index; // a stale summary bit
    }
    if (word == 0) return end;
  }
  const found = (index << 6) + <u32>ctz(word);
  return found < end ? found : end;
}

/** First clear bit of [first, end), or `end`. */
export function nextClear(bitmap: usize, first: u32, end: u32): u32 {
  let index = first >> 6;
  let word = ~load<u64>(bitmap + ((<usize>index) << 3)) & bitsFrom(first);
  const wordEnd = (end + 63) >> 6;
  while (word == 0) {
    if (++index >= wordEnd) return end;
    word = ~load<u64>(bitmap + ((<usize>index) << 3));
  }
  const found = (index << 6) + <u32>ctz(word);
  return found < end ? found : end;
}
