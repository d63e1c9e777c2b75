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

/** Bits of the hash table for a block of a page: 0.1 % more bytes on a real heap than liblz4's 2^13, half the clearing. */
export const LZ4_PAGE_TABLE_BITS: u32 = 12;
/** Bits of the hash table for larger blocks: liblz4's. */
export const LZ4_BLOCK_TABLE_BITS: u32 = 13;
/** Bytes that a table region must have: 2^13 entries of 16 bits. */
export const LZ4_TABLE_BYTES: usize = 16384;

/** Knuth's multiplicative hash of four bytes, as the byte offset of a u16 entry. */
// @ts-ignore: decorator
@inline
function slotOf(bytes: u32, shift: u32): usize {
  return <usize>((bytes * 2654435761) >> shift) << 1;
}

// @ts-ignore: decorator
@inline
function clear(region: usize, byteLength: usize): void {
  const end = region + byteLength;
  const zero = i64x2.splat(0);
  do {
    v128.store(region, zero);
    v128.store(region, zero, 16);
    v128.store(region, zero, 32);
    v128.store(region, zero, 48);
    region += 64;
  } while (region < end);
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
function findMatch(source: usize, from: usize, last: usize, table: usize, shift: u32, misses: u32): u64 {
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

/**
 * Encodes one block.
 * @param length at most 65 536
 * @param table region of 2 << tableBits bytes
 * @param acceleration 1 searches like liblz4; n starts with steps of n and spends that much less on what does not compress
 * @returns the encoded length; 0 when the block does not fit into the capacity less LZ4_ROOM
 */
export function lz4Encode(
  source: usize,
  length: u32,
  target: usize,
  capacity: u32,
  table: usize,
  tableBits: u32,
  acceleration: u32,
): u32 {
  if (capacity <= LZ4_ROOM) return 0;
  const limit = target + capacity - LZ4_ROOM;
  const end = source + length;
  const misses = acceleration << SKIP_SHIFT;
  let anchor = source;
  let out = target;

  if (length > <u32>LAST_MATCH_START) {
    const shift = 32 - tableBits;
    const last = end - LAST_MATCH_START;
    const matchLimit = end - LAST_LITERALS;
    clear(table, <usize>2 << tableBits);
    let found = findMatch(source, source + 1, last, table, shift, misses);
    while (found != 0) {
      let at = <usize>(found >> 32);
      let match = <usize>(found & 0xffffffff);
      while (at > anchor && match > source && load<u8>(at - 1) == load<u8>(match - 1)) {
        at--;
        match--;
      }
      const literals = <u32>(at - anchor);
      if (out + literals + literals / 255 > limit) return 0;
      const token = out++;
      if (literals >= CONTINUED) out = putLength(out, literals - CONTINUED);
      copyOver(out, anchor, literals);
      out += literals;
      store<u16>(out, <u32>(at - match));
      out += 2;

      const stop = matchEnd(at + MIN_MATCH, match + MIN_MATCH, matchLimit);
      const excess = <u32>(stop - at) - MIN_MATCH;
      if (out + excess / 255 > limit) return 0;
      store<u8>(token, (min(literals, CONTINUED) << 4) | min(excess, CONTINUED));
      if (excess >= CONTINUED) out = putLength(out, excess - CONTINUED);
      at = stop;
      anchor = stop;
      if (at > last) break;

      // Remember a position inside the match; then another match often follows without literals.
      store<u16>(table + slotOf(load<u32>(at - 2), shift), <u32>(at - 2 - source));
      const slot = table + slotOf(load<u32>(at), shift);
      match = source + load<u16>(slot);
      store<u16>(slot, <u32>(at - source));
      found = load<u32>(match) == load<u32>(at)
        ? pair(at, match)
        : findMatch(source, at + 1, last, table, shift, misses);
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

const MALFORMED: i32 = -1;
/** Room in front of the decoder for a token's wide copies: 16 + 2 bytes are read at most 14 on, 16 + 18 written. */
const QUICK_INPUT: usize = 32;
const QUICK_OUTPUT: usize = 48;

/** Copies a match that may overlap itself; `room` bytes may be written from `target` on. */
// @ts-ignore: decorator
@inline
function copyMatch(target: usize, offset: usize, length: u32, room: usize): void {
  const end = target + length;
  let from = target - offset;
  if (offset >= 16 && room >= <usize>length + 16) {
    copyOver(target, from, length);
  } else if (offset >= 8 && room >= <usize>length + 8) {
    do {
      store<u64>(target, load<u64>(from));
      target += 8;
      from += 8;
    } while (target < end);
  } else if (offset == 1) {
    memory.fill(target, load<u8>(from), length);
  } else {
    do {
      store<u8>(target++, load<u8>(from++));
    } while (target < end);
  }
}

/**
 * Decodes one block.
 * @returns the decoded length, or -1 when the block is malformed or would exceed the capacity; nothing is ever written
 * outside [target, target + capacity), and what was written there before the error is undefined
 */
export function lz4Decode(source: usize, length: u32, target: usize, capacity: u32): i32 {
  const end = source + length;
  const limit = target + capacity;
  let at = source;
  let out = target;
  while (at < end) {
    const token = <u32>load<u8>(at++);
    let literals = token >> 4;
    let excess = token & CONTINUED;
    if (literals < CONTINUED && end - at >= QUICK_INPUT && limit - out >= QUICK_OUTPUT) {
      v128.store(out, v128.load(at));
      out += literals;
      at += literals;
      const offset = <usize>load<u16>(at);
      if (excess < CONTINUED && offset >= 16 && offset <= out - target) {
        at += 2;
        const match = out - offset;
        v128.store(out, v128.load(match));
        store<u16>(out, load<u16>(match, 16), 16);
        out += excess + MIN_MATCH;
        continue;
      }
    } else {
      if (literals == CONTINUED) {
        let more: u32;
        do {
          if (at >= end) return MALFORMED;
          more = load<u8>(at++);
          literals += more;
        } while (more == 255);
      }
      if (<usize>literals > end - at || <usize>literals > limit - out) return MALFORMED;
      if (end - at >= <usize>literals + 16 && limit - out >= <usize>literals + 16) copyOver(out, at, literals);
      else memory.copy(out, at, literals);
      out += literals;
      at += literals;
      if (at == end) return excess == 0 ? <i32>(out - target) : MALFORMED;
    }
    if (end - at < 2) return MALFORMED;
    const offset = <usize>load<u16>(at);
    at += 2;
    if (excess == CONTINUED) {
      let more: u32;
      do {
        if (at >= end) return MALFORMED;
        more = load<u8>(at++);
        excess += more;
      } while (more == 255);
    }
    const copied = excess + MIN_MATCH;
    if (offset == 0 || offset > out - target || <usize>copied > limit - out) return MALFORMED;
    copyMatch(out, offset, copied, limit - out);
    out += copied;
  }
  return MALFORMED;
}
