// XXH3, 64 and 128 bits, default secret, seed 0, bit-exact with xxHash 0.8 (its specification: doc/xxhash_spec.md).
//
//   length   0…16, 17…128, 129…240   scalar formulas over the whole input
//            more                    8 accumulators of 64 bits; a *stripe* is 64 bytes, a *block* is 16 stripes followed by a
//                                    scramble; the last 64 bytes are always mixed once more with their own part of the secret
//
// The secret (192 bytes) lies in memory at `secret`: data segments are not allowed (a module over a guest's memory would
// overwrite the guest), so `hashSetUp` writes it.
//
// Two tricks of the long loop: the even and odd u32 of two vectors are gathered by one shuffle each and multiplied by
// extmul; and the plain data, which XXH3 adds to the *neighbour* accumulator, is summed unswapped and swapped once per block.
//
// A streaming state is 512 bytes:
//   0 accumulators (64) | 64 total length u64 | 72 buffered bytes u32 | 76 stripes since the last scramble u32 | 128 buffer (256)
// It holds the first 256 bytes, then always the last 1…256; the last 64 consumed bytes stay at the buffer's end, because a
// digest needs 64 bytes even when fewer are buffered.

const PRIME32_1: u64 = 0x9e3779b1;
const PRIME32_2: u64 = 0x85ebca77;
const PRIME32_3: u64 = 0xc2b2ae3d;
const PRIME64_1: u64 = 0x9e3779b185ebca87;
const PRIME64_2: u64 = 0xc2b2ae3d27d4eb4f;
const PRIME64_3: u64 = 0x165667b19e3779f9;
const PRIME64_4: u64 = 0x85ebca77c2b2ae63;
const PRIME64_5: u64 = 0x27d4eb2f165667c5;
const PRIME_MX1: u64 = 0x165667919e3779f9;
const PRIME_MX2: u64 = 0x9fb21c651e98df25;

/** Offset of the secret used for the last stripe, for the low and for the high merge, and for scrambling. */
const LAST_STRIPE: usize = 121;
const MERGE_LOW: usize = 11;
const MERGE_HIGH: usize = 117;
const SCRAMBLE: usize = 128;

const TOTAL: usize = 64;
const BUFFERED: usize = 72;
const STRIPES: usize = 76;
const BUFFER: usize = 128;
const BUFFER_BYTES: usize = 256;

/** Writes XXH3's default secret. */
export function hashSetUp(secret: usize): void {
  v128.store(secret, i64x2(0xbe4ba423396cfeb8, 0x1cad21f72c81017c));
  v128.store(secret, i64x2(0xdb979083e96dd4de, 0x1f67b3b7a4a44072), 16);
  v128.store(secret, i64x2(0x78e5c0cc4ee679cb, 0x2172ffcc7dd05a82), 32);
  v128.store(secret, i64x2(0x8e2443f7744608b8, 0x4c263a81e69035e0), 48);
  v128.store(secret, i64x2(0xcb00c391bb52283c, 0xa32e531b8b65d088), 64);
  v128.store(secret, i64x2(0x4ef90da297486471, 0xd8acdea946ef1938), 80);
  v128.store(secret, i64x2(0x3f349ce33f76faa8, 0x1d4f0bc7c7bbdcf9), 96);
  v128.store(secret, i64x2(0x3159b4cd4be0518a, 0x647378d9c97e9fc8), 112);
  v128.store(secret, i64x2(0xc3ebd33483acc5ea, 0xeb6313faffa081c5), 128);
  v128.store(secret, i64x2(0x49daf0b751dd0d17, 0x9e68d429265516d3), 144);
  v128.store(secret, i64x2(0xfca1477d58be162b, 0xce31d07ad1b8f88f), 160);
  v128.store(secret, i64x2(0x280416958f3acb45, 0x7e404bbbcafbd7af), 176);
}

/** High 64 bits of a 64 × 64 multiplication. */
// @ts-ignore: decorator
@inline function multiplyHigh(a: u64, b: u64): u64 {
  const aLow = a & 0xffffffff, aHigh = a >> 32, bLow = b & 0xffffffff, bHigh = b >> 32;
  const lowLow = aLow * bLow, highLow = aHigh * bLow, lowHigh = aLow * bHigh, highHigh = aHigh * bHigh;
  const cross = (lowLow >> 32) + (highLow & 0xffffffff) + lowHigh;
  return (highLow >> 32) + (cross >> 32) + highHigh;
}

/** XXH3's fold: both halves of the 128-bit product, xored. */
// @ts-ignore: decorator
@inline function fold(a: u64, b: u64): u64 {
  return multiplyHigh(a, b) ^ (a * b);
}

// @ts-ignore: decorator
@inline function avalanche(h: u64): u64 {
  h ^= h >> 37;
  h *= PRIME_MX1;
  return h ^ (h >> 32);
}

/** The finalizer of XXH64, used for inputs up to 3 bytes. */
// @ts-ignore: decorator
@inline function avalanche64(h: u64): u64 {
  h ^= h >> 33;
  h *= PRIME64_2;
  h ^= h >> 29;
  h *= PRIME64_3;
  return h ^ (h >> 32);
}

/** Mixes 16 bytes of input with 16 of the secret. */
// @ts-ignore: decorator
@inline function mix16(at: usize, secret: usize): u64 {
  return fold(load<u64>(at) ^ load<u64>(secret), load<u64>(at, 8) ^ load<u64>(secret, 8));
}

// @ts-ignore: decorator
@inline function swapHalves(x: v128): v128 {
  return v128.shuffle<u64>(x, x, 1, 0);
}

// @ts-ignore: decorator
@inline function evenLanes(x: v128, y: v128): v128 {
  return v128.shuffle<u32>(x, y, 0, 2, 4, 6);
}

// @ts-ignore: decorator
@inline function oddLanes(x: v128, y: v128): v128 {
  return v128.shuffle<u32>(x, y, 1, 3, 5, 7);
}

// @ts-ignore: decorator
@inline function scramble(acc: v128, key: v128): v128 {
  return i64x2.mul(v128.xor(v128.xor(acc, i64x2.shr_u(acc, 47)), key), i64x2.splat(PRIME32_1));
}

// @ts-ignore: decorator
@inline function merge(a: v128, b: v128, c: v128, d: v128, secret: usize, start: u64): u64 {
  return avalanche(
    start +
      fold(i64x2.extract_lane(a, 0) ^ load<u64>(secret), i64x2.extract_lane(a, 1) ^ load<u64>(secret, 8)) +
      fold(i64x2.extract_lane(b, 0) ^ load<u64>(secret, 16), i64x2.extract_lane(b, 1) ^ load<u64>(secret, 24)) +
      fold(i64x2.extract_lane(c, 0) ^ load<u64>(secret, 32), i64x2.extract_lane(c, 1) ^ load<u64>(secret, 40)) +
      fold(i64x2.extract_lane(d, 0) ^ load<u64>(secret, 48), i64x2.extract_lane(d, 1) ^ load<u64>(secret, 56)),
  );
}

/** Inputs longer than 240 bytes; 4096-byte pages take the same path (three blocks, 15 stripes, the last stripe). */
// @ts-ignore: decorator
@inline function hashLong(secret: usize, at: usize, byteLength: u32, out: usize, wide: bool): void {
  let a = i64x2(PRIME32_3, PRIME64_1), b = i64x2(PRIME64_2, PRIME64_3);
  let c = i64x2(PRIME64_4, PRIME32_2), d = i64x2(PRIME64_5, PRIME32_1);
  const zero = i64x2.splat(0);
  const last = at + byteLength - 64;
  let stripes = (byteLength - 1) >> 6;
  while (true) {
    const inBlock: u32 = stripes < 16 ? stripes : 16;
    let key = secret;
    const keyEnd = secret + (inBlock << 3);
    let sumA = zero, sumB = zero, sumC = zero, sumD = zero;
    while (key < keyEnd) {
      let x = v128.load(at), y = v128.load(at, 16);
      sumA = i64x2.add(sumA, x);
      sumB = i64x2.add(sumB, y);
      x = v128.xor(x, v128.load(key));
      y = v128.xor(y, v128.load(key, 16));
      let even = evenLanes(x, y), odd = oddLanes(x, y);
      a = i64x2.add(a, i64x2.extmul_low_i32x4_u(even, odd));
      b = i64x2.add(b, i64x2.extmul_high_i32x4_u(even, odd));
      x = v128.load(at, 32);
      y = v128.load(at, 48);
      sumC = i64x2.add(sumC, x);
      sumD = i64x2.add(sumD, y);
      x = v128.xor(x, v128.load(key, 32));
      y = v128.xor(y, v128.load(key, 48));
      even = evenLanes(x, y);
      odd = oddLanes(x, y);
      c = i64x2.add(c, i64x2.extmul_low_i32x4_u(even, odd));
      d = i64x2.add(d, i64x2.extmul_high_i32x4_u(even, odd));
      at += 64;
      key += 8;
    }
    a = i64x2.add(a, swapHalves(sumA));
    b = i64x2.add(b, swapHalves(sumB));
    c = i64x2.add(c, swapHalves(sumC));
    d = i64x2.add(d, swapHalves(sumD));
    if (inBlock < 16) break;
    stripes -= 16;
    a = scramble(a, v128.load(secret, SCRAMBLE));
    b = scramble(b, v128.load(secret, SCRAMBLE + 16));
    c = scramble(c, v128.load(secret, SCRAMBLE + 32));
    d = scramble(d, v128.load(secret, SCRAMBLE + 48));
  }
  const w = v128.load(last), x = v128.load(last, 16), y = v128.load(last, 32), z = v128.load(last, 48);
  const keyed0 = v128.xor(w, v128.load(secret, LAST_STRIPE)), keyed1 = v128.xor(x, v128.load(secret, LAST_STRIPE + 16));
  const keyed2 = v128.xor(y, v128.load(secret, LAST_STRIPE + 32)), keyed3 = v128.xor(z, v128.load(secret, LAST_STRIPE + 48));
  let even = evenLanes(keyed0, keyed1), odd = oddLanes(keyed0, keyed1);
  a = i64x2.add(i64x2.add(a, swapHalves(w)), i64x2.extmul_low_i32x4_u(even, odd));
  b = i64x2.add(i64x2.add(b, swapHalves(x)), i64x2.extmul_high_i32x4_u(even, odd));
  even = evenLanes(keyed2, keyed3);
  odd = oddLanes(keyed2, keyed3);
  c = i64x2.add(i64x2.add(c, swapHalves(y)), i64x2.extmul_low_i32x4_u(even, odd));
  d = i64x2.add(i64x2.add(d, swapHalves(z)), i64x2.extmul_high_i32x4_u(even, odd));
  store<u64>(out, merge(a, b, c, d, secret + MERGE_LOW, <u64>byteLength * PRIME64_1));
  if (wide) store<u64>(out, merge(a, b, c, d, secret + MERGE_HIGH, ~(<u64>byteLength * PRIME64_2)), 8);
}

function hashLong64(secret: usize, at: usize, byteLength: u32, out: usize): void {
  hashLong(secret, at, byteLength, out, false);
}

function hashLong128(secret: usize, at: usize, byteLength: u32, out: usize): void {
  hashLong(secret, at, byteLength, out, true);
}

function short64(secret: usize, at: usize, length: u32): u64 {
  if (length > 8) {
    const flipLow = load<u64>(secret, 24) ^ load<u64>(secret, 32);
    const flipHigh = load<u64>(secret, 40) ^ load<u64>(secret, 48);
    const low = load<u64>(at) ^ flipLow;
    const high = load<u64>(at + length - 8) ^ flipHigh;
    return avalanche(<u64>length + bswap(low) + high + fold(low, high));
  }
  if (length >= 4) {
    const low = <u64>load<u32>(at), high = <u64>load<u32>(at + length - 4);
    let h = (high + (low << 32)) ^ load<u64>(secret, 8) ^ load<u64>(secret, 16);
    h ^= rotl(h, 49) ^ rotl(h, 24);
    h *= PRIME_MX2;
    h ^= (h >> 35) + <u64>length;
    h *= PRIME_MX2;
    return h ^ (h >> 28);
  }
  if (length > 0) {
    const flip = <u64>(load<u32>(secret) ^ load<u32>(secret, 4));
    return avalanche64(combined(at, length) ^ flip);
  }
  return avalanche64(load<u64>(secret, 56) ^ load<u64>(secret, 64));
}

/** One to three bytes and their count in 32 bits. */
// @ts-ignore: decorator
@inline function combined(at: usize, length: u32): u64 {
  const first = <u32>load<u8>(at), middle = <u32>load<u8>(at + (length >> 1)), last = <u32>load<u8>(at + length - 1);
  return <u64>((first << 16) | (middle << 24) | last | (length << 8));
}

function medium64(secret: usize, at: usize, length: u32): u64 {
  let h = <u64>length * PRIME64_1;
  const end = at + length;
  if (length > 128) {
    for (let i: usize = 0; i < 128; i += 16) h += mix16(at + i, secret + i);
    h = avalanche(h);
    const rounds = <usize>(length & ~15);
    for (let i: usize = 128; i < rounds; i += 16) h += mix16(at + i, secret + i - 125);
    return avalanche(h + mix16(end - 16, secret + 119));
  }
  if (length > 32) {
    if (length > 64) {
      if (length > 96) h += mix16(at + 48, secret + 96) + mix16(end - 64, secret + 112);
      h += mix16(at + 32, secret + 64) + mix16(end - 48, secret + 80);
    }
    h += mix16(at + 16, secret + 32) + mix16(end - 32, secret + 48);
  }
  return avalanche(h + mix16(at, secret) + mix16(end - 16, secret + 16));
}

function short128(secret: usize, at: usize, length: u32, out: usize): void {
  let low: u64, high: u64;
  if (length > 8) {
    const flipLow = load<u64>(secret, 32) ^ load<u64>(secret, 40);
    const flipHigh = load<u64>(secret, 48) ^ load<u64>(secret, 56);
    const first = load<u64>(at);
    let last = load<u64>(at + length - 8);
    const product = first ^ last ^ flipLow;
    let productLow = product * PRIME64_1;
    let productHigh = multiplyHigh(product, PRIME64_1);
    productLow += <u64>(length - 1) << 54;
    last ^= flipHigh;
    productHigh += last + (last & 0xffffffff) * (PRIME32_2 - 1);
    productLow ^= bswap(productHigh);
    low = avalanche(productLow * PRIME64_2);
    high = avalanche(multiplyHigh(productLow, PRIME64_2) + productHigh * PRIME64_2);
  } else if (length >= 4) {
    const first = <u64>load<u32>(at), last = <u64>load<u32>(at + length - 4);
    const keyed = (first + (last << 32)) ^ load<u64>(secret, 16) ^ load<u64>(secret, 24);
    const factor = PRIME64_1 + (<u64>length << 2);
    low = keyed * factor;
    high = multiplyHigh(keyed, factor);
    high += low << 1;
    low ^= high >> 3;
    low ^= low >> 35;
    low *= PRIME_MX2;
    low ^= low >> 28;
    high = avalanche(high);
  } else if (length > 0) {
    const word = <u32>combined(at, length);
    const turned = <u64>rotl<u32>(bswap<u32>(word), 13);
    low = avalanche64(<u64>word ^ <u64>(load<u32>(secret) ^ load<u32>(secret, 4)));
    high = avalanche64(turned ^ <u64>(load<u32>(secret, 8) ^ load<u32>(secret, 12)));
  } else {
    low = avalanche64(load<u64>(secret, 64) ^ load<u64>(secret, 72));
    high = avalanche64(load<u64>(secret, 80) ^ load<u64>(secret, 88));
  }
  store<u64>(out, low);
  store<u64>(out, high, 8);
}

// @ts-ignore: decorator
@inline function sum16(at: usize): u64 {
  return load<u64>(at) + load<u64>(at, 8);
}

/** Mixes 32 bytes: 16 at `first`, 16 at `second`, into the two halves kept at `out`. */
// @ts-ignore: decorator
@inline function mix32(out: usize, first: usize, second: usize, secret: usize): void {
  store<u64>(out, (load<u64>(out) + mix16(first, secret)) ^ sum16(second));
  store<u64>(out, (load<u64>(out, 8) + mix16(second, secret + 16)) ^ sum16(first), 8);
}

function medium128(secret: usize, at: usize, length: u32, out: usize): void {
  store<u64>(out, <u64>length * PRIME64_1);
  store<u64>(out, 0, 8);
  const end = at + length;
  if (length > 128) {
    for (let i: usize = 0; i < 128; i += 32) mix32(out, at + i, at + i + 16, secret + i);
    store<u64>(out, avalanche(load<u64>(out)));
    store<u64>(out, avalanche(load<u64>(out, 8)), 8);
    const rounds = <usize>(length & ~31);
    for (let i: usize = 128; i < rounds; i += 32) mix32(out, at + i, at + i + 16, secret + i - 125);
    mix32(out, end - 16, end - 32, secret + 103);
  } else {
    if (length > 32) {
      if (length > 64) {
        if (length > 96) mix32(out, at + 48, end - 64, secret + 96);
        mix32(out, at + 32, end - 48, secret + 64);
      }
      mix32(out, at + 16, end - 32, secret + 32);
    }
    mix32(out, at, end - 16, secret);
  }
  const low = load<u64>(out), high = load<u64>(out, 8);
  store<u64>(out, avalanche(low + high));
  store<u64>(out, 0 - avalanche(low * PRIME64_1 + high * PRIME64_4 + <u64>length * PRIME64_2), 8);
}

/** XXH3_64bits of any length; 8 bytes, little-endian, to `out`. */
export function hash64(secret: usize, at: usize, byteLength: u32, out: usize): void {
  if (byteLength > 240) hashLong64(secret, at, byteLength, out);
  else store<u64>(out, byteLength > 16 ? medium64(secret, at, byteLength) : short64(secret, at, byteLength));
}

/** XXH3_128bits of any length; low then high 64 bits, little-endian, to `out`. */
export function hash128(secret: usize, at: usize, byteLength: u32, out: usize): void {
  if (byteLength > 240) hashLong128(secret, at, byteLength, out);
  else if (byteLength > 16) medium128(secret, at, byteLength, out);
  else short128(secret, at, byteLength, out);
}

/** XXH3-64 of `count` pages in a row, 8 bytes each to `out`. */
export function hashPages64(secret: usize, pages: usize, count: u32, out: usize): void {
  for (let i: u32 = 0; i < count; ++i) {
    hashLong64(secret, pages, 4096, out);
    pages += 4096;
    out += 8;
  }
}

/** XXH3-128 of `count` pages in a row, 16 bytes each to `out`. */
export function hashPages128(secret: usize, pages: usize, count: u32, out: usize): void {
  for (let i: u32 = 0; i < count; ++i) {
    hashLong128(secret, pages, 4096, out);
    pages += 4096;
    out += 16;
  }
}

/** XXH3-64 of the pages whose u32 indices stand in `list`, in its order. */
export function hashPages64List(secret: usize, pages: usize, list: usize, count: u32, out: usize): void {
  for (let i: u32 = 0; i < count; ++i) {
    hashLong64(secret, pages + ((<usize>load<u32>(list)) << 12), 4096, out);
    list += 4;
    out += 8;
  }
}

/** XXH3-128 of the pages whose u32 indices stand in `list`, in its order. */
export function hashPages128List(secret: usize, pages: usize, list: usize, count: u32, out: usize): void {
  for (let i: u32 = 0; i < count; ++i) {
    hashLong128(secret, pages + ((<usize>load<u32>(list)) << 12), 4096, out);
    list += 4;
    out += 16;
  }
}

/** Starts a streaming state (512 bytes). */
export function hashStart(state: usize): void {
  v128.store(state, i64x2(PRIME32_3, PRIME64_1));
  v128.store(state, i64x2(PRIME64_2, PRIME64_3), 16);
  v128.store(state, i64x2(PRIME64_4, PRIME32_2), 32);
  v128.store(state, i64x2(PRIME64_5, PRIME32_1), 48);
  store<u64>(state, 0, TOTAL);
  store<u64>(state, 0, BUFFERED);
}

/** Accumulates one stripe with the secret at `key`. */
// @ts-ignore: decorator
@inline function accumulate(acc: usize, at: usize, key: usize): void {
  for (let i: usize = 0; i < 64; i += 32) {
    const x = v128.load(at + i), y = v128.load(at + i, 16);
    const keyedX = v128.xor(x, v128.load(key + i)), keyedY = v128.xor(y, v128.load(key + i, 16));
    const even = evenLanes(keyedX, keyedY), odd = oddLanes(keyedX, keyedY);
    const low = i64x2.add(v128.load(acc + i), swapHalves(x)), high = i64x2.add(v128.load(acc + i, 16), swapHalves(y));
    v128.store(acc + i, i64x2.add(low, i64x2.extmul_low_i32x4_u(even, odd)));
    v128.store(acc + i, i64x2.add(high, i64x2.extmul_high_i32x4_u(even, odd)), 16);
  }
}

/**
 * Accumulates stripes, scrambling at block ends.
 *
 * @param inBlock stripes since the last scramble
 * @returns the same, afterwards
 */
function consume(secret: usize, acc: usize, at: usize, stripes: usize, inBlock: u32): u32 {
  for (; stripes > 0; --stripes) {
    accumulate(acc, at, secret + (inBlock << 3));
    at += 64;
    if (++inBlock == 16) {
      for (let i: usize = 0; i < 64; i += 16)
        v128.store(acc + i, scramble(v128.load(acc + i), v128.load(secret + SCRAMBLE + i)));
      inBlock = 0;
    }
  }
  return inBlock;
}

/** Feeds bytes to a streaming state. */
export function hashUpdate(secret: usize, state: usize, at: usize, byteLength: u32): void {
  store<u64>(state, load<u64>(state, TOTAL) + byteLength, TOTAL);
  const buffer = state + BUFFER;
  const buffered = <usize>load<u32>(state, BUFFERED);
  let left = <usize>byteLength;
  if (buffered + left <= BUFFER_BYTES) {
    memory.copy(buffer + buffered, at, left);
    store<u32>(state, <u32>(buffered + left), BUFFERED);
    return;
  }
  let inBlock = load<u32>(state, STRIPES);
  if (buffered > 0) {
    const fill = BUFFER_BYTES - buffered;
    memory.copy(buffer + buffered, at, fill);
    at += fill;
    left -= fill;
    inBlock = consume(secret, state, buffer, 4, inBlock);
  }
  if (left > BUFFER_BYTES) {
    // Strictly more: at least one byte must stay buffered, because the very last stripe is mixed differently.
    const stripes = (left - 1) >> 6;
    inBlock = consume(secret, state, at, stripes, inBlock);
    at += stripes << 6;
    left -= stripes << 6;
    memory.copy(buffer + BUFFER_BYTES - 64, at - 64, 64);
  }
  memory.copy(buffer, at, left);
  store<u32>(state, <u32>left, BUFFERED);
  store<u32>(state, inBlock, STRIPES);
}

/** Finishes a copy of the state's accumulators, behind its buffer, so that feeding may go on. @returns the copy */
function finish(secret: usize, state: usize): usize {
  const acc = state + BUFFER + BUFFER_BYTES;
  memory.copy(acc, state, 64);
  const buffer = state + BUFFER;
  const buffered = <usize>load<u32>(state, BUFFERED);
  if (buffered >= 64) {
    consume(secret, acc, buffer, (buffered - 1) >> 6, load<u32>(state, STRIPES));
    accumulate(acc, buffer + buffered - 64, secret + LAST_STRIPE);
  } else {
    // The last 64 bytes straddle the buffer's end (already consumed bytes) and its start.
    const last = acc + 64;
    memory.copy(last, buffer + BUFFER_BYTES - (64 - buffered), 64 - buffered);
    memory.copy(last + 64 - buffered, buffer, buffered);
    accumulate(acc, last, secret + LAST_STRIPE);
  }
  return acc;
}

// @ts-ignore: decorator
@inline function mergeAt(acc: usize, secret: usize, start: u64): u64 {
  return merge(v128.load(acc), v128.load(acc, 16), v128.load(acc, 32), v128.load(acc, 48), secret, start);
}

/** XXH3-64 of all that was fed; the state can be fed further. */
export function hashDigest64(secret: usize, state: usize, out: usize): void {
  const total = load<u64>(state, TOTAL);
  if (total <= 240) return hash64(secret, state + BUFFER, <u32>total, out);
  store<u64>(out, mergeAt(finish(secret, state), secret + MERGE_LOW, total * PRIME64_1));
}

/** XXH3-128 of all that was fed; the state can be fed further. */
export function hashDigest128(secret: usize, state: usize, out: usize): void {
  const total = load<u64>(state, TOTAL);
  if (total <= 240) return hash128(secret, state + BUFFER, <u32>total, out);
  const acc = finish(secret, state);
  store<u64>(out, mergeAt(acc, secret + MERGE_LOW, total * PRIME64_1));
  store<u64>(out, mergeAt(acc, secret + MERGE_HIGH, ~(total * PRIME64_2)), 8);
}
