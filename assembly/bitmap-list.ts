// Listing the set bits of a bitmap, with and without clearing them: bits, and runs of bits. Three speeds: groups of 64 blocks
// that are nearly empty by a list of their words, whole blocks without bounds inside, and parts of a block with them.
import { BLOCK_SHIFT, bitmapFill, bitmapNext, bitsBelow, bitsFrom, nextClear, nonZeroWords, summaryOf } from "./bitmap";

/**
 * Writes the indices of a word's set bits as u32, in fours: up to 3 entries past the last one are over-written, which is
 * cheaper than a branch per bit (1.3 to 4 times a plain ctz loop).
 */
// @ts-ignore: decorator
@inline export function expandWord(word: u64, base: u32, out: usize): void {
  do {
    store<u32>(out, base + <u32>ctz(word));
    word &= word - 1;
    store<u32>(out, base + <u32>ctz(word), 4);
    word &= word - 1;
    store<u32>(out, base + <u32>ctz(word), 8);
    word &= word - 1;
    store<u32>(out, base + <u32>ctz(word), 12);
    word &= word - 1;
    out += 16;
  } while (word != 0);
}

/** Lists a whole block that surely fits: no bounds inside. @returns where the next entry goes */
// @ts-ignore: decorator
@inline function expandBlock(words: usize, summaryAt: usize, base: u32, at: usize, take: bool): usize {
  let mask = load<u64>(summaryAt);
  while (mask != 0) {
    const j = <usize>ctz(mask);
    mask &= mask - 1;
    const word = load<u64>(words + (j << 3));
    if (take) store<u64>(words + (j << 3), 0);
    expandWord(word, base + (<u32>j << 6), at);
    at += <usize>popcnt(word) << 2;
  }
  if (take) store<u64>(summaryAt, 0);
  return at;
}

/** Non-empty words that a sparse group of blocks has at most. */
const SPARSE_WORDS: usize = 192;
/** What the bits of a word take, and what listing may write behind them. */
const WORD_ROOM: usize = 256 + 16;
/** Room that a sparse group needs: its words' own list, and the bits of one. */
const SPARSE_ROOM: usize = (SPARSE_WORDS << 2) + WORD_ROOM;
/** After a group that is not sparse, sparseness is looked for again 16 groups on. */
const SPARSE_RETRY: u32 = 16 << 18;

/**
 * Lists the non-empty words of 64 blocks, downwards from `limit`, so that they can be read without waiting for one another:
 * half the time at 1 bit in 10 000, where each lies in a cache line of its own.
 *
 * @returns where the list begins (its last entry); 0 when there are more than SPARSE_WORDS
 */
// @ts-ignore: decorator
@inline function listWords(summary: usize, filled: u64, limit: usize): usize {
  const least = limit - (SPARSE_WORDS << 2);
  let entry = limit;
  while (filled != 0) {
    const j = <u32>ctz(filled);
    filled &= filled - 1;
    let mask = load<u64>(summary + ((<usize>j) << 3));
    if (entry - ((<usize>popcnt(mask)) << 2) < least) return 0;
    while (mask != 0) {
      entry -= 4;
      store<u32>(entry, (j << 6) + <u32>ctz(mask));
      mask &= mask - 1;
    }
  }
  return entry;
}

/** Lists one word that is mostly a single bit. @returns where the next entry goes */
// @ts-ignore: decorator
@inline function expandSparse(wordAt: usize, base: u32, at: usize, take: bool): usize {
  const word = load<u64>(wordAt);
  if (take) store<u64>(wordAt, 0);
  const count = <usize>popcnt(word);
  store<u32>(at, base + <u32>ctz(word));
  if (count != 1) expandWord(word, base, at);
  return at + (count << 2);
}

/** Sets those of 64 words to zero that the mask names. */
function clearWords(words: usize, mask: u64): void {
  for (; mask != 0; mask &= mask - 1) store<u64>(words + ((<usize>ctz(mask)) << 3), 0);
}

/**
 * Lists the bits from load(cell) to `stop`, which lie in one block, as far as they fit below `limit`; the cell then holds the
 * position to go on from, `stop` when all is read. @returns where the next entry goes
 */
function expandPart(words: usize, summaryWord: u64, cell: usize, stop: u32, at: usize, limit: usize, take: bool): usize {
  const position = load<u32>(cell);
  const base = position & ~((1 << BLOCK_SHIFT) - 1);
  let mask = summaryWord & bitsFrom(position >> 6);
  while (mask != 0) {
    const j = <u32>ctz(mask);
    mask &= mask - 1;
    const wordBase = base + (j << 6);
    if (wordBase >= stop) break;
    const wordAt = words + ((<usize>j) << 3);
    const word = load<u64>(wordAt);
    let wanted = word;
    if (wordBase < position) wanted &= bitsFrom(position);
    if (stop - wordBase < 64) wanted &= bitsBelow(stop);
    if (wanted == 0) continue;
    const room = <u32>((limit - at) >> 2);
    if (<u32>popcnt(wanted) > room) {
      // Take only the lowest `room` bits of this word, and stop right behind them.
      let left = wanted;
      for (let n: u32 = 0; n < room; ++n) {
        store<u32>(at, wordBase + <u32>ctz(left));
        left &= left - 1;
        at += 4;
      }
      if (take) store<u64>(wordAt, word & ~(wanted & ~left));
      store<u32>(cell, wordBase + <u32>ctz(left));
      return at;
    }
    if (take) store<u64>(wordAt, word & ~wanted);
    expandWord(wanted, wordBase, at);
    at += <usize>popcnt(wanted) << 2;
  }
  store<u32>(cell, stop);
  return at;
}

/**
 * Lists set bits of [load(cell), end) in ascending order, clearing them if `take`. Stops at `capacity` entries; the cell
 * then holds the position to go on from, `end` when all is read. `out` needs 16 bytes of slack.
 */
// @ts-ignore: decorator
@inline function enumerate(bitmap: usize, blocks: u32, cell: usize, end: u32, out: usize, capacity: u32, take: bool): u32 {
  const summary = summaryOf(bitmap, blocks);
  const limit = out + ((<usize>capacity) << 2);
  let position = load<u32>(cell);
  let at = out;
  let sparseFrom: u32 = 0;
  while (position < end) {
    const block = position >> BLOCK_SHIFT;
    const base = block << BLOCK_SHIFT;
    const summaryAt = summary + ((<usize>block) << 3);
    const words = bitmap + ((<usize>block) << 9);
    if (position == base && position >= sparseFrom && block + 64 <= end >> BLOCK_SHIFT && limit - at >= SPARSE_ROOM) {
      const filled = nonZeroWords(summaryAt);
      const entry = listWords(summaryAt, filled, limit);
      if (entry != 0) {
        // As far as the bits do not reach the list of words; what is left is read as the list's end is.
        let next = limit;
        while (next > entry && at + WORD_ROOM <= entry) {
          next -= 4;
          const index = load<u32>(next);
          at = expandSparse(words + ((<usize>index) << 3), base + (index << 6), at, take);
        }
        if (next > entry) position = base + (load<u32>(next - 4) << 6);
        else {
          if (take) clearWords(summaryAt, filled);
          position = base + (64 << BLOCK_SHIFT);
        }
        continue;
      }
      sparseFrom = base + SPARSE_RETRY;
    }
    if (position == base && end - base >= 4096 && limit - at >= 16384) {
      if (block + 64 <= end >> BLOCK_SHIFT) {
        // 64 blocks: find those that are not empty without a branch for each, which halves the time at 1 bit in 10 000.
        let filled = nonZeroWords(summaryAt);
        while (filled != 0 && limit - at >= 16384) {
          const j = <u32>ctz(filled);
          filled &= filled - 1;
          at = expandBlock(words + ((<usize>j) << 9), summaryAt + ((<usize>j) << 3), base + (j << BLOCK_SHIFT), at, take);
        }
        position = filled != 0 ? base + (<u32>ctz(filled) << BLOCK_SHIFT) : base + (64 << BLOCK_SHIFT);
        continue;
      }
      at = expandBlock(words, summaryAt, base, at, take);
      position = base + 4096;
      continue;
    }
    const stop: u32 = end - base >= 4096 ? base + 4096 : end;
    store<u32>(cell, position);
    at = expandPart(words, load<u64>(summaryAt), cell, stop, at, limit, take);
    position = load<u32>(cell);
    if (position < stop) return <u32>((at - out) >> 2);
  }
  store<u32>(cell, end);
  return <u32>((at - out) >> 2);
}

/** Lists without clearing. See {@link enumerate}. @returns entries written */
export function bitmapList(bitmap: usize, blocks: u32, cell: usize, end: u32, out: usize, capacity: u32): u32 {
  return enumerate(bitmap, blocks, cell, end, out, capacity, false);
}

/** Lists and clears in one step. See {@link enumerate}. @returns entries written */
export function bitmapHarvest(bitmap: usize, blocks: u32, cell: usize, end: u32, out: usize, capacity: u32): u32 {
  return enumerate(bitmap, blocks, cell, end, out, capacity, true);
}

// @ts-ignore: decorator
@inline function enumerateRuns(bitmap: usize, blocks: u32, cell: usize, end: u32, out: usize, capacity: u32, take: bool): u32 {
  let position = load<u32>(cell);
  let count: u32 = 0;
  while (count < capacity) {
    const start = bitmapNext(bitmap, blocks, position, end);
    position = start;
    if (start >= end) break;
    position = nextClear(bitmap, start, end);
    store<u32>(out, start);
    store<u32>(out, position - start, 4);
    if (take) bitmapFill(bitmap, blocks, start, position, 0);
    out += 8;
    ++count;
  }
  store<u32>(cell, position);
  return count;
}

/** Lists maximal runs of set bits as (start, length) pairs, up to `capacity` pairs. @returns pairs written */
export function bitmapRuns(bitmap: usize, blocks: u32, cell: usize, end: u32, out: usize, capacity: u32): u32 {
  return enumerateRuns(bitmap, blocks, cell, end, out, capacity, false);
}

/** Lists runs and clears them in one step. @returns pairs written */
export function bitmapHarvestRuns(bitmap: usize, blocks: u32, cell: usize, end: u32, out: usize, capacity: u32): u32 {
  return enumerateRuns(bitmap, blocks, cell, end, out, capacity, true);
}
