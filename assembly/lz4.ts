// LZ4 block format, both directions, for blocks of up to 64 KiB. Blocks are interchangeable with liblz4's.
//
//   block    := sequence* last
//   sequence := token, literal length*, literals, offset u16, match length*       (a match copies ≥ 4 bytes)
//   last     := token, literal length*, literals                                  (ends the block, no offset)
//
//   token   bit 7        4 3        0      a nibble of 15 is continued by bytes that are added up, until one is < 255
//          | literals    | match - 4 |
//
// The format wants the last 5 bytes to be literals and the last match to start 12 bytes before the end. The encoder
// starts its last match 16 bytes before it, so that literals can be copied 16 bytes at a time without ever reading past
// the block: the block may end where the memory ends.
//
// Invariants: the encoder reads [source, source + length) and writes [target, target + capacity) and its table; the
// decoder reads [source, source + length) and writes [target, target + capacity), whatever the input says.

const MIN_MATCH: u32 = 4;
const LAST_LITERALS: usize = 5;
const LAST_MATCH_START: usize = 16;
/** A nibble that says: more length bytes follow. */
const CONTINUED: u32 = 15;
/** Of its capacity the encoder leaves so much free: token 1, offset 2, first lengths 1 + 1, and 16 that copying over may touch. */
export const LZ4_ROOM: u32 = 24;
/** Misses before the search steps one byte further each time: log2. liblz4 has the same. */
const SKIP_SHIFT: u32 = 6;

/** Bits of the hash table for a block of a page: 0.2 % more bytes on real heaps than liblz4's 2^13, half the clearing. */
const PAGE_TABLE_BITS: u32 = 12;
/** Bits of the hash table for larger blocks: liblz4's. */
const BLOCK_TABLE_BITS: u32 = 13;
/** Bytes that a table region must have: 2^13 entries of 16 bits. */
export const LZ4_TABLE_BYTES: usize = 16384;

/** Knuth's multiplicative hash of four bytes, as the byte offset of a u16 entry. */
// @ts-ignore: decorator
@inline
function slotOf(bytes: u32, shift: u32): usize {
  return <usize>((bytes * 2654435761) >> shift) << 1;
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

/** The bytes that continue a length: its excess over 15. */
// @ts-ignore: decorator
@inline
function putLength(target: usize, excess: u32): usize {
  while (excess >= 255) {
    store<u8>(target++, 255);
    excess -= 255;
  }
  store<u8>(target, excess);
  return target + 1;
}

/** First address from `a` on whose byte differs from the one beside `b`; `limit` if none does. Reads below `limit`. */
// @ts-ignore: decorator
@inline
function matchEnd(a: usize, b: usize, limit: usize): usize {
  // Most matches end in the first step, of the others many are long: runs of zeros.
  if (a + 8 <= limit) {
    const difference = load<u64>(a) ^ load<u64>(b);
    if (difference != 0) return a + <usize>(ctz(difference) >> 3);
    a += 8;
    b += 8;
    while (a + 16 <= limit && !v128.any_true(v128.xor(v128.load(a), v128.load(b)))) {
      a += 16;
      b += 16;
    }
  }
  while (a + 8 <= limit) {
    const difference = load<u64>(a) ^ load<u64>(b);
    if (difference != 0) return a + <usize>(ctz(difference) >> 3);
    a += 8;
    b += 8;
  }
  while (a < limit && load<u8>(a) == load<u8>(b)) {
    a++;
    b++;
  }
  return a;
}

/**
 * Looks for four bytes that were seen before, in steps that grow while nothing is found.
 * @returns address << 32 | address of its match; 0 when there is none before `last`
 */
// @ts-ignore: decorator
@inline
function findMatch(source: usize, from: usize, last: usize, table: usize, shift: u32): u64 {
  let misses: u32 = 1 << SKIP_SHIFT;
  let next = from;
  if (next > last) return 0;
  let slot = slotOf(load<u32>(next), shift);
  while (true) {
    const at = next;
    next = at + <usize>(misses++ >> SKIP_SHIFT);
    if (next > last) return 0;
    const match = source + load<u16>(table + slot);
    store<u16>(table + slot, <u32>(at - source));
    const bytes = load<u32>(at);
    slot = slotOf(load<u32>(next), shift);
    if (load<u32>(match) == bytes) return pair(at, match);
  }
}

// @ts-ignore: decorator
@inline
function pair(at: usize, match: usize): u64 {
  return (<u64>at << 32) | <u64>match;
}

/** Zeros: 1 to 2 % of a page's time less than memory.fill, which V8 answers with a call into C. */
// @ts-ignore: decorator
@inline
function clear(at: usize, byteLength: usize): void {
  const zero = i64x2.splat(0);
  const end = at + byteLength;
  do {
    v128.store(at, zero);
    v128.store(at, zero, 16);
    v128.store(at, zero, 32);
    v128.store(at, zero, 48);
    at += 64;
  } while (at < end);
}

/** The encoder, made twice: constant table bits keep the search in registers (1 … 2 %). */
// @ts-ignore: decorator
@inline
function encode(source: usize, length: u32, target: usize, capacity: u32, table: usize, tableBits: u32): u32 {
  if (capacity <= LZ4_ROOM) return 0;
  const limit = target + capacity - LZ4_ROOM;
  const end = source + length;
  let anchor = source;
  let out = target;

  if (length > <u32>LAST_MATCH_START) {
    const shift = 32 - tableBits;
    const last = end - LAST_MATCH_START;
    const matchLimit = end - LAST_LITERALS;
    clear(table, <usize>2 << tableBits);
    let found = findMatch(source, source + 1, last, table, shift);
    while (found != 0) {
      let at = <usize>(found >> 32);
      let match = <usize>(found & 0xffffffff);
      while (at > anchor && match > source && load<u8>(at - 1) == load<u8>(match - 1)) {
        at--;
        match--;
      }
      const literals = <u32>(at - anchor);
      const stop = matchEnd(at + MIN_MATCH, match + MIN_MATCH, matchLimit);
      const excess = <u32>(stop - at) - MIN_MATCH;
      // A 128th is more than the length bytes, which are a 255th, and needs no division.
      if (out + literals + ((literals + excess) >> 7) > limit) return 0;
      store<u8>(out++, (min(literals, CONTINUED) << 4) | min(excess, CONTINUED));
      if (literals >= CONTINUED) {
        out = putLength(out, literals - CONTINUED);
        copyOver(out, anchor, literals);
      } else v128.store(out, v128.load(anchor));
      out += literals;
      store<u16>(out, <u32>(at - match));
      out += 2;
      if (excess >= CONTINUED) out = putLength(out, excess - CONTINUED);
      at = stop;
      anchor = stop;
      if (at > last) break;

      // Remember a position inside the match; then another match often follows without literals.
      store<u16>(table + slotOf(load<u32>(at - 2), shift), <u32>(at - 2 - source));
      const slot = table + slotOf(load<u32>(at), shift);
      match = source + load<u16>(slot);
      store<u16>(slot, <u32>(at - source));
      found = load<u32>(match) == load<u32>(at) ? pair(at, match) : findMatch(source, at + 1, last, table, shift);
    }
  }

  const literals = <u32>(end - anchor);
  const lengthBytes = literals < CONTINUED ? 0 : (literals - CONTINUED) / 255 + 1;
  if (out + 1 + lengthBytes + literals > limit) return 0;
  store<u8>(out++, min(literals, CONTINUED) << 4);
  if (literals >= CONTINUED) out = putLength(out, literals - CONTINUED);
  memory.copy(out, anchor, literals);
  return <u32>(out + literals - target);
}

/**
 * Encodes a block of a page.
 * @param table region of LZ4_TABLE_BYTES
 * @returns the encoded length; 0 when the block does not fit into the capacity less LZ4_ROOM
 */
export function lz4EncodePage(page: usize, target: usize, capacity: u32, table: usize): u32 {
  return encode(page, 4096, target, capacity, table, PAGE_TABLE_BITS);
}

/**
 * Encodes a block.
 * @param length at most 65 536
 * @param table region of LZ4_TABLE_BYTES
 * @returns the encoded length; 0 when the block does not fit into the capacity less LZ4_ROOM; the check is a little coarse,
 *   so a block may need up to a 128th of its length more room than it takes
 */
export function lz4Encode(source: usize, length: u32, target: usize, capacity: u32, table: usize): u32 {
  return encode(source, length, target, capacity, table, BLOCK_TABLE_BITS);
}

const MALFORMED: i32 = -1;
const TRUNCATED: u32 = 0xffffffff;
/** Room in front of the decoder's quick path: 16 literals, offset and length are read; 14 + 64 bytes written. */
const QUICK_INPUT: usize = 32;
const QUICK_OUTPUT: usize = 96;
/** Matches that one quick step copies: 19 … 64 bytes, by their continued length. */
const QUICK_MORE: u32 = 64 - CONTINUED - MIN_MATCH;

/** @returns the sum of the bytes that continue a length, sum / 255 + 1 of them; TRUNCATED when they have no end */
// @ts-ignore: decorator
@inline
function continuedLength(at: usize, end: usize): u32 {
  let sum: u32 = 0;
  for (; at < end; at++) {
    const more = <u32>load<u8>(at);
    sum += more;
    if (more != 255) return sum;
  }
  return TRUNCATED;
}

/** Copies bytes and touches nothing else: two loads that overlap cover any length of 4 and more. */
// @ts-ignore: decorator
@inline
function copyExact(target: usize, source: usize, length: usize): void {
  if (length >= 16) {
    const last = v128.load(source + length - 16);
    const end = target + length - 16;
    while (target < end) {
      v128.store(target, v128.load(source));
      target += 16;
      source += 16;
    }
    v128.store(end, last);
  } else if (length >= 8) {
    const last = load<u64>(source + length - 8);
    store<u64>(target, load<u64>(source));
    store<u64>(target + length - 8, last);
  } else if (length >= 4) {
    const last = load<u32>(source + length - 4);
    store<u32>(target, load<u32>(source));
    store<u32>(target + length - 4, last);
  } else {
    for (let i: usize = 0; i < length; i++) store<u8>(target + i, load<u8>(source + i));
  }
}

/** A match of up to 18 bytes, 8 or more back. */
// @ts-ignore: decorator
@inline
function copy18(target: usize, source: usize): void {
  store<u64>(target, load<u64>(source));
  store<u64>(target, load<u64>(source, 8), 8);
  store<u16>(target, load<u16>(source, 16), 16);
}

/** A match of up to 18 bytes, 2 back: UTF-16 text is full of them. */
// @ts-ignore: decorator
@inline
function repeat18(target: usize, pair: u16): void {
  const bytes = i16x8.splat(pair);
  v128.store(target, bytes);
  store<u16>(target, pair, 16);
}

/** A match of up to 64 bytes, 16 or more back: no loop, since leaving one at the right time is rarely predicted. */
// @ts-ignore: decorator
@inline
function copy64(target: usize, source: usize): void {
  v128.store(target, v128.load(source));
  v128.store(target, v128.load(source, 16), 16);
  v128.store(target, v128.load(source, 32), 32);
  v128.store(target, v128.load(source, 48), 48);
}

/** The 16 bytes that a match at a distance of 1, 2, 4 or 8 repeats. */
// @ts-ignore: decorator
@inline
function repeated(from: usize, offset: usize): v128 {
  if (offset == 1) return v128.load_splat<u8>(from);
  if (offset == 8) return v128.load_splat<u64>(from);
  if (offset == 4) return v128.load_splat<u32>(from);
  return v128.load_splat<u16>(from);
}

/** Copies a match that may overlap itself, in steps of 16 as long as they stay below `limit`. */
// @ts-ignore: decorator
@inline
function copyMatch(target: usize, offset: usize, length: u32, limit: usize): void {
  const end = target + length;
  const stop = min(end, limit - 15);
  if (offset >= 16) {
    while (target < stop) {
      v128.store(target, v128.load(target - offset));
      target += 16;
    }
  } else if ((offset & (offset - 1)) == 0) {
    const bytes = repeated(target - offset, offset);
    while (target < stop) {
      v128.store(target, bytes);
      target += 16;
    }
  } else if (target < stop) {
    // 16 bytes one by one; from then on what lies a multiple of the distance back can be copied.
    for (let i: usize = 0; i < 16; i++) store<u8>(target + i, load<u8>(target + i - offset));
    target += 16;
    const period = offset < 8 ? offset * ((15 + offset) / offset) : offset << 1;
    while (target < stop) {
      v128.store(target, v128.load(target - period));
      target += 16;
    }
  }
  for (; target < end; target++) store<u8>(target, load<u8>(target - offset));
}

/**
 * Decodes one block.
 * @param length below 2^24, so that no sum of lengths wraps
 * @returns the decoded length, or -1 when the block is malformed or would exceed the capacity; nothing is ever written
 * outside [target, target + capacity), and what was written there before the error is undefined
 */
export function lz4Decode(source: usize, length: u32, target: usize, capacity: u32): i32 {
  const end = source + length;
  const limit = target + capacity;
  const quickEnd = length > <u32>QUICK_INPUT ? end - QUICK_INPUT : source;
  const quickLimit = capacity > <u32>QUICK_OUTPUT ? limit - QUICK_OUTPUT : target;
  let at = source;
  let out = target;
  while (at < end) {
    const token = <u32>load<u8>(at++);
    let literals = token >> 4;
    let excess = token & CONTINUED;
    if (literals < CONTINUED && at < quickEnd && out < quickLimit) {
      v128.store(out, v128.load(at));
      out += literals;
      at += literals;
      const offset = <usize>load<u16>(at);
      if (offset <= out - target) {
        if (excess < CONTINUED) {
          if (offset >= 8) {
            copy18(out, out - offset);
            at += 2;
            out += excess + MIN_MATCH;
            continue;
          }
          if (offset == 2) {
            repeat18(out, load<u16>(out - 2));
            at += 2;
            out += excess + MIN_MATCH;
            continue;
          }
        } else if (offset >= 16) {
          const more = <u32>load<u8>(at, 2);
          if (more <= QUICK_MORE) {
            copy64(out, out - offset);
            at += 3;
            out += more + CONTINUED + MIN_MATCH;
            continue;
          }
        }
      }
    } else {
      if (literals == CONTINUED) {
        const more = continuedLength(at, end);
        if (more == TRUNCATED) return MALFORMED;
        at += more / 255 + 1;
        literals += more;
      }
      if (<usize>literals > end - at || <usize>literals > limit - out) return MALFORMED;
      if (end - at >= <usize>literals + 16 && limit - out >= <usize>literals + 16) copyOver(out, at, literals);
      else copyExact(out, at, literals);
      out += literals;
      at += literals;
      if (at == end) return excess == 0 ? <i32>(out - target) : MALFORMED;
    }
    if (end - at < 2) return MALFORMED;
    const offset = <usize>load<u16>(at);
    at += 2;
    if (excess == CONTINUED) {
      const more = continuedLength(at, end);
      if (more == TRUNCATED) return MALFORMED;
      at += more / 255 + 1;
      excess += more;
    }
    const copied = excess + MIN_MATCH;
    if (offset == 0 || offset > out - target || <usize>copied > limit - out) return MALFORMED;
    copyMatch(out, offset, copied, limit);
    out += copied;
  }
  return MALFORMED;
}
