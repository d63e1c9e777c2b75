// Deltas of a page against an older version of it: two formats, both directions.
//
// XBZRLE, with the byte semantics of QEMU's xbzrle.c (so that its lengths and its refusals can be compared with ours):
//
//   delta := (unchanged length, changed length, changed bytes)*      a length is 7 bits, or 14 in two bytes, low bits first
//
//   Unchanged lengths but the first are > 0, changed ones always; an unchanged rest is left out. No change: no bytes.
//
// Word mask, of our own: larger, but encoded without a branch per change and decoded with none per word:
//
//   0                  8                              8 + n
//   | u64: bit b is set | n bytes: bit w of each is set | the changed words, u64,
//   | if the 64 bytes   | if word w of that block has   | in order
//   | at 64 × b changed | changed; none is zero         |
//
// Invariants: encoders read the two pages and write [target, target + capacity) and up to DELTA_SLACK_BYTES behind it;
// decoders read [source, source + length) and up to DELTA_SLACK_BYTES behind it, which never changes their result, write
// the page, and report a delta that is malformed or would go beyond it.
// A page that a refused delta was applied to is half changed: decode onto a copy.

const PAGE_BYTES: usize = 4096;

/** What encoders may touch behind their capacity, and decoders read behind a delta. */
export const DELTA_SLACK_BYTES: usize = 64;

/** The delta does not fit its capacity, or, decoding, is none. */
const REFUSED: i32 = -1;

/** 1 if the 64 bytes at the two addresses differ. */
// @ts-ignore: decorator
@inline
function differs(a: usize, b: usize): u64 {
  const first = v128.or(v128.xor(v128.load(a), v128.load(b)), v128.xor(v128.load(a, 16), v128.load(b, 16)));
  const second = v128.or(v128.xor(v128.load(a, 32), v128.load(b, 32)), v128.xor(v128.load(a, 48), v128.load(b, 48)));
  return <u64>(v128.any_true(v128.or(first, second)) ? 1 : 0);
}

/**
 * Bit b is set if the 64 bytes at 64 × b differ: one pass without a branch, since pages change anywhere. 64 bytes per step:
 * V8 places all loads of a step before what uses them, and more than these eight spill registers (256 bytes: half the speed).
 */
// @ts-ignore: decorator
@inline
function changedBlocks(old: usize, page: usize): u64 {
  let blocks: u64 = 0;
  const end = old + PAGE_BYTES;
  do {
    blocks = (blocks >> 1) | (differs(old, page) << 63);
    old += 64;
    page += 64;
  } while (old < end);
  return blocks;
}

// @ts-ignore: decorator
@inline
function sameBytes(a: usize, b: usize): u64 {
  return <u64>(<u32>i8x16.bitmask(i8x16.eq(v128.load(a), v128.load(b))));
}

/** Bit i is set if byte i of the 64 bytes at the two addresses differs. */
// @ts-ignore: decorator
@inline
function changedBytes(a: usize, b: usize): u64 {
  const low = sameBytes(a, b) | (sameBytes(a + 16, b + 16) << 16);
  const high = sameBytes(a + 32, b + 32) | (sameBytes(a + 48, b + 48) << 16);
  return ~(low | (high << 32));
}

/** A length of up to 14 bits in one or two bytes, without a branch: lengths around 128 would mispredict. */
// @ts-ignore: decorator
@inline
function putLength(target: usize, length: u32): usize {
  const high = length >> 7;
  const isLong = <u32>(high != 0);
  store<u16>(target, length + (high << 7) + (isLong << 7));
  return target + 1 + isLong;
}

/** Copies in steps of 16, so up to 15 bytes further than asked on both sides. */
// @ts-ignore: decorator
@inline
function copyOver(target: usize, source: usize, byteLength: usize): void {
  const end = target + byteLength;
  do {
    v128.store(target, v128.load(source));
    target += 16;
    source += 16;
  } while (target < end);
}

/**
 * One changed run, with QEMU's checks in QEMU's order: two bytes must be free before each length.
 * @returns the next free address; 0 when the run does not fit
 */
// @ts-ignore: decorator
@inline
function putRun(target: usize, limit: usize, page: usize, unchanged: u32, from: u32, length: u32): usize {
  const room = limit - target;
  if (room >= <usize>length + 4 && from + length + 16 <= <u32>PAGE_BYTES) {
    target = putLength(target, unchanged);
    if (length < 128) store<u8>(target++, length);
    else target = putLength(target, length);
    copyOver(target, page + from, length);
    return target + length;
  }
  if (room < 2) return 0;
  target = putLength(target, unchanged);
  if (limit - target < 2) return 0;
  target = putLength(target, length);
  if (limit - target < <usize>length) return 0;
  memory.copy(target, page + from, length);
  return target + length;
}

/**
 * Encodes what changed from `old` to `page`.
 * @returns the delta's length; 0 when nothing changed; -1 when it does not fit, with QEMU's reading of that: two bytes must
 *   be free even where only an unchanged rest is left
 */
export function xbzrleEncode(old: usize, page: usize, target: usize, capacity: u32): i32 {
  let blocks = changedBlocks(old, page);
  if (blocks == 0) return capacity < 2 ? REFUSED : 0;
  const limit = target + capacity;
  let out = target;
  let done: u32 = 0; // where the last run ended
  let from: u32 = 0; // where the run began that reached the end of its block
  let to: u32 = 0; // and that end; 0: there is none
  do {
    const at = <u32>ctz(blocks) << 6;
    blocks &= blocks - 1;
    const bytes = changedBytes(old + at, page + at);
    // Runs begin and end where a byte's bit differs from the one before.
    let edges = bytes ^ (bytes << 1);
    if (to != 0) {
      if (to == at) {
        // The open run goes on over the bytes that have changed: their first edge is no beginning.
        edges ^= 1;
        to = at + <u32>ctz(edges);
        if (edges == 0) continue;
        edges &= edges - 1;
      }
      out = putRun(out, limit, page, from - done, from, to - from);
      if (out == 0) return REFUSED;
      done = to;
      to = 0;
    }
    while (edges != 0) {
      from = at + <u32>ctz(edges);
      edges &= edges - 1;
      const end = at + <u32>ctz(edges); // ctz of 0 is 64
      if (edges == 0) {
        to = end;
        break;
      }
      edges &= edges - 1;
      out = putRun(out, limit, page, from - done, from, end - from);
      if (out == 0) return REFUSED;
      done = end;
    }
  } while (blocks != 0);
  if (to != 0) {
    out = putRun(out, limit, page, from - done, from, to - from);
    if (out == 0) return REFUSED;
    done = to;
  }
  return done < <u32>PAGE_BYTES && limit - out < 2 ? REFUSED : <i32>(out - target);
}

/**
 * Overwrites `length` bytes, 1 or more, and touches nothing else: two loads that overlap cover any length. Blending the last
 * bytes into what is there reads what the run before has just written, and took up to 1.5 times as long.
 */
// @ts-ignore: decorator
@inline
function putBytes(target: usize, source: usize, length: usize): void {
  if (length < 4) {
    const middle = load<u8>(source + (length >> 1));
    const last = load<u8>(source + length - 1);
    store<u8>(target, load<u8>(source));
    store<u8>(target + (length >> 1), middle);
    store<u8>(target + length - 1, last);
  } else if (length < 8) {
    const last = load<u32>(source + length - 4);
    store<u32>(target, load<u32>(source));
    store<u32>(target + length - 4, last);
  } else if (length < 16) {
    const last = load<u64>(source + length - 8);
    store<u64>(target, load<u64>(source));
    store<u64>(target + length - 8, last);
  } else {
    const last = v128.load(source + length - 16);
    const end = target + length - 16;
    while (target < end) {
      v128.store(target, v128.load(source));
      target += 16;
      source += 16;
    }
    v128.store(end, last);
  }
}

/**
 * Applies an XBZRLE delta to a page.
 * @param source region that can be read DELTA_SLACK_BYTES behind the delta: lengths are read before it is known that they
 *   are there
 * @returns how far into the page it went; -1 when it is malformed or would go further than 4096 bytes
 */
export function xbzrleDecode(source: usize, length: u32, page: usize): i32 {
  const end = source + length;
  const limit = page + PAGE_BYTES;
  let at = source;
  let out = page;
  while (at < end) {
    const isFirst = at == source;
    let unchanged: u32;
    let changed: u32;
    let head = <u32>load<u16>(at);
    if ((head & 0x8080) == 0) {
      // Both lengths have one byte, as nearly all have where much changed,
      unchanged = head & 127;
      changed = head >> 8;
      at += 2;
    } else if (((head = load<u32>(at)) & 0x808080) == 0x80) {
      // or the first has two, as most have where little changed.
      unchanged = (head & 127) | ((head >> 1) & 0x3f80);
      changed = (head >> 16) & 127;
      at += 3;
    } else {
      const isLong = (head >> 7) & 1;
      if (((head >> 15) & isLong) != 0) return REFUSED;
      unchanged = (head & 127) | (isLong != 0 ? (head >> 1) & 0x3f80 : 0);
      at += 1 + <usize>isLong;
      const next = <u32>load<u16>(at);
      const isNextLong = (next >> 7) & 1;
      if (((next >> 15) & isNextLong) != 0) return REFUSED;
      changed = (next & 127) | (isNextLong != 0 ? (next >> 1) & 0x3f80 : 0);
      at += 1 + <usize>isNextLong;
    }
    out += unchanged;
    // Addresses stay far below 2^31 apart, so that one signed comparison covers both ends, even when they were passed: by
    // lengths that were not there as well, since a run has at least one byte behind its lengths.
    const room = min(<i32>(limit - out), <i32>(end - at));
    if (changed == 0 || <i32>changed > room || (unchanged == 0 && !isFirst)) return REFUSED;
    putBytes(out, at, changed);
    out += changed;
    at += changed;
  }
  return <i32>(out - page);
}

/** Bit w is set if word w of the 64 bytes at the two addresses differs. */
// @ts-ignore: decorator
@inline
function changedWords(a: usize, b: usize): u32 {
  return (
    i64x2.bitmask(i64x2.ne(v128.load(a), v128.load(b))) |
    (i64x2.bitmask(i64x2.ne(v128.load(a, 16), v128.load(b, 16))) << 2) |
    (i64x2.bitmask(i64x2.ne(v128.load(a, 32), v128.load(b, 32))) << 4) |
    (i64x2.bitmask(i64x2.ne(v128.load(a, 48), v128.load(b, 48))) << 6)
  );
}

/** 8 if the bit is set, else 0: how far the words advance. */
// @ts-ignore: decorator
@inline
function advance(words: u32, bit: u32): usize {
  return <usize>(bit > 3 ? (words >> (bit - 3)) & 8 : (words << (3 - bit)) & 8);
}

/**
 * Encodes what changed from `old` to `page`, word by word.
 * @returns the delta's length; 0 when nothing changed; -1 when it does not fit
 */
export function wordMaskEncode(old: usize, page: usize, target: usize, capacity: u32): i32 {
  let blocks = changedBlocks(old, page);
  if (blocks == 0) return 0;
  const limit = target + capacity;
  let mask = target + 8;
  let out = mask + <usize>popcnt(blocks);
  if (out > limit) return REFUSED;
  store<u64>(target, blocks);
  do {
    const at = <usize>ctz(blocks) << 6;
    blocks &= blocks - 1;
    const from = page + at;
    const words = changedWords(old + at, from);
    store<u8>(mask++, words);
    // Every word is stored; the next one overwrites it unless it has changed.
    store<u64>(out, load<u64>(from));
    out += advance(words, 0);
    store<u64>(out, load<u64>(from, 8));
    out += advance(words, 1);
    store<u64>(out, load<u64>(from, 16));
    out += advance(words, 2);
    store<u64>(out, load<u64>(from, 24));
    out += advance(words, 3);
    store<u64>(out, load<u64>(from, 32));
    out += advance(words, 4);
    store<u64>(out, load<u64>(from, 40));
    out += advance(words, 5);
    store<u64>(out, load<u64>(from, 48));
    out += advance(words, 6);
    store<u64>(out, load<u64>(from, 56));
    out += advance(words, 7);
    if (out > limit) return REFUSED;
  } while (blocks != 0);
  return <i32>(out - target);
}

/** One word of a block: the delta's if its bit is set, else what is there. */
// @ts-ignore: decorator
@inline
function putWord(target: usize, source: usize, words: u32, bit: u32): usize {
  store<u64>(target, select(load<u64>(source), load<u64>(target), (words >> bit) & 1));
  return source + advance(words, bit);
}

/** Words that the masks at [at, at + count) announce; 0 when one of them announces none. */
// @ts-ignore: decorator
@inline
function announcedWords(at: usize, count: u32): u32 {
  let words: u32 = 0;
  let none: u32 = 0;
  for (const end = at + count; at < end; at++) {
    const mask = <u32>load<u8>(at);
    words += popcnt(mask);
    none |= mask - 1; // its top bit is set by a mask of 0 only
  }
  return <i32>none < 0 ? 0 : words;
}

/**
 * Applies a word-mask delta to a page.
 * @param source region that can be read DELTA_SLACK_BYTES behind the delta: all words of a block are read, and then chosen,
 *   and the masks are read before it is known that they are there
 * @returns 0; -1 when its length is not what its masks announce, and then the page is untouched
 */
export function wordMaskDecode(source: usize, length: u32, page: usize): i32 {
  if (length < 8) return REFUSED;
  let blocks = load<u64>(source);
  const count = <u32>popcnt(blocks);
  if (count == 0) return REFUSED;
  let mask = source + 8;
  let at = mask + count;
  const words = announcedWords(mask, count);
  if (words == 0 || length != 8 + count + (words << 3)) return REFUSED;
  do {
    const block = page + (<usize>ctz(blocks) << 6);
    blocks &= blocks - 1;
    const bits = <u32>load<u8>(mask++);
    at = putWord(block, at, bits, 0);
    at = putWord(block + 8, at, bits, 1);
    at = putWord(block + 16, at, bits, 2);
    at = putWord(block + 24, at, bits, 3);
    at = putWord(block + 32, at, bits, 4);
    at = putWord(block + 40, at, bits, 5);
    at = putWord(block + 48, at, bits, 6);
    at = putWord(block + 56, at, bits, 7);
  } while (blocks != 0);
  return 0;
}
