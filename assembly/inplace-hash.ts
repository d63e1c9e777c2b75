// XXH3 of one 4096-byte page without a byte of memory of its own: the secret stands in the code as v128 constants, because a
// data segment would be copied over the guest. Same result as hash.ts (tests compare them).
//
// Key i is the secret's u64 words i and i + 1; stripe s of a block uses keys s, s + 2, s + 4, s + 6.

const K0 = i64x2(0xbe4ba423396cfeb8, 0x1cad21f72c81017c);
const K1 = i64x2(0x1cad21f72c81017c, 0xdb979083e96dd4de);
const K2 = i64x2(0xdb979083e96dd4de, 0x1f67b3b7a4a44072);
const K3 = i64x2(0x1f67b3b7a4a44072, 0x78e5c0cc4ee679cb);
const K4 = i64x2(0x78e5c0cc4ee679cb, 0x2172ffcc7dd05a82);
const K5 = i64x2(0x2172ffcc7dd05a82, 0x8e2443f7744608b8);
const K6 = i64x2(0x8e2443f7744608b8, 0x4c263a81e69035e0);
const K7 = i64x2(0x4c263a81e69035e0, 0xcb00c391bb52283c);
const K8 = i64x2(0xcb00c391bb52283c, 0xa32e531b8b65d088);
const K9 = i64x2(0xa32e531b8b65d088, 0x4ef90da297486471);
const K10 = i64x2(0x4ef90da297486471, 0xd8acdea946ef1938);
const K11 = i64x2(0xd8acdea946ef1938, 0x3f349ce33f76faa8);
const K12 = i64x2(0x3f349ce33f76faa8, 0x1d4f0bc7c7bbdcf9);
const K13 = i64x2(0x1d4f0bc7c7bbdcf9, 0x3159b4cd4be0518a);
const K14 = i64x2(0x3159b4cd4be0518a, 0x647378d9c97e9fc8);
const K15 = i64x2(0x647378d9c97e9fc8, 0xc3ebd33483acc5ea);
const K16 = i64x2(0xc3ebd33483acc5ea, 0xeb6313faffa081c5);
const K17 = i64x2(0xeb6313faffa081c5, 0x49daf0b751dd0d17);
const K18 = i64x2(0x49daf0b751dd0d17, 0x9e68d429265516d3);
const K19 = i64x2(0x9e68d429265516d3, 0xfca1477d58be162b);
const K20 = i64x2(0xfca1477d58be162b, 0xce31d07ad1b8f88f);
const K21 = i64x2(0xce31d07ad1b8f88f, 0x280416958f3acb45);
const K22 = i64x2(0x280416958f3acb45, 0x7e404bbbcafbd7af);
// The last stripe's keys start at byte 121 of the secret.
const LAST0 = i64x2(0xea647378d9c97e9f, 0xc5c3ebd33483acc5);
const LAST1 = i64x2(0x17eb6313faffa081, 0xd349daf0b751dd0d);
const LAST2 = i64x2(0x2b9e68d429265516, 0x8ffca1477d58be16);
const LAST3 = i64x2(0x45ce31d07ad1b8f8, 0xaf280416958f3acb);

const PRIME32_1: u64 = 0x9e3779b1;
const PRIME32_2: u64 = 0x85ebca77;
const PRIME32_3: u64 = 0xc2b2ae3d;
const PRIME64_1: u64 = 0x9e3779b185ebca87;
const PRIME64_2: u64 = 0xc2b2ae3d27d4eb4f;
const PRIME64_3: u64 = 0x165667b19e3779f9;
const PRIME64_4: u64 = 0x85ebca77c2b2ae63;
const PRIME64_5: u64 = 0x27d4eb2f165667c5;

// @ts-ignore: decorator
@external("engine", "inplaceHash") declare function deliver(out: usize, low: u64, high: u64): void;

// @ts-ignore: decorator
@inline function fold(a: u64, b: u64): u64 {
  const aLow = a & 0xffffffff, aHigh = a >> 32, bLow = b & 0xffffffff, bHigh = b >> 32;
  const lowLow = aLow * bLow, highLow = aHigh * bLow, lowHigh = aLow * bHigh, highHigh = aHigh * bHigh;
  const cross = (lowLow >> 32) + (highLow & 0xffffffff) + lowHigh;
  return ((highLow >> 32) + (cross >> 32) + highHigh) ^ ((cross << 32) | (lowLow & 0xffffffff));
}

/** Folds one accumulator with two words of the secret. */
// @ts-ignore: decorator
@inline function foldLanes(acc: v128, low: u64, high: u64): u64 {
  return fold(i64x2.extract_lane(acc, 0) ^ low, i64x2.extract_lane(acc, 1) ^ high);
}

// @ts-ignore: decorator
@inline function avalanche(h: u64): u64 {
  h ^= h >> 37;
  h *= 0x165667919e3779f9;
  return h ^ (h >> 32);
}

/** Adds one vector pair's low products, and the first vector to its neighbour lane. */
// @ts-ignore: decorator
@inline function low(acc: v128, x: v128, y: v128, keyX: v128, keyY: v128): v128 {
  const keyedX = v128.xor(x, keyX), keyedY = v128.xor(y, keyY);
  const even = v128.shuffle<u32>(keyedX, keyedY, 0, 2, 4, 6), odd = v128.shuffle<u32>(keyedX, keyedY, 1, 3, 5, 7);
  return i64x2.add(i64x2.add(acc, v128.shuffle<u64>(x, x, 1, 0)), i64x2.extmul_low_i32x4_u(even, odd));
}

/** The same for the high products and the second vector. */
// @ts-ignore: decorator
@inline function high(acc: v128, x: v128, y: v128, keyX: v128, keyY: v128): v128 {
  const keyedX = v128.xor(x, keyX), keyedY = v128.xor(y, keyY);
  const even = v128.shuffle<u32>(keyedX, keyedY, 0, 2, 4, 6), odd = v128.shuffle<u32>(keyedX, keyedY, 1, 3, 5, 7);
  return i64x2.add(i64x2.add(acc, v128.shuffle<u64>(y, y, 1, 0)), i64x2.extmul_high_i32x4_u(even, odd));
}

// @ts-ignore: decorator
@inline function scramble(acc: v128, key: v128): v128 {
  return i64x2.mul(v128.xor(v128.xor(acc, i64x2.shr_u(acc, 47)), key), i64x2.splat(PRIME32_1));
}

/** Hashes the page at `p` and delivers the 128 bits to the engine's memory at `out`. */
// allowed (length): sixteen stripes unrolled, because the secret must be constants here: this memory is the guest's
export function hashPage(p: usize, out: usize): void {
  let a = i64x2(PRIME32_3, PRIME64_1), b = i64x2(PRIME64_2, PRIME64_3);
  let c = i64x2(PRIME64_4, PRIME32_2), d = i64x2(PRIME64_5, PRIME32_1);
  let x: v128, y: v128;
  for (let blocksLeft = 3; ; --blocksLeft) {
    x = v128.load(p), y = v128.load(p, 16);
    a = low(a, x, y, K0, K2), b = high(b, x, y, K0, K2);
    x = v128.load(p, 32), y = v128.load(p, 48);
    c = low(c, x, y, K4, K6), d = high(d, x, y, K4, K6);
    x = v128.load(p, 64), y = v128.load(p, 80);
    a = low(a, x, y, K1, K3), b = high(b, x, y, K1, K3);
    x = v128.load(p, 96), y = v128.load(p, 112);
    c = low(c, x, y, K5, K7), d = high(d, x, y, K5, K7);
    x = v128.load(p, 128), y = v128.load(p, 144);
    a = low(a, x, y, K2, K4), b = high(b, x, y, K2, K4);
    x = v128.load(p, 160), y = v128.load(p, 176);
    c = low(c, x, y, K6, K8), d = high(d, x, y, K6, K8);
    x = v128.load(p, 192), y = v128.load(p, 208);
    a = low(a, x, y, K3, K5), b = high(b, x, y, K3, K5);
    x = v128.load(p, 224), y = v128.load(p, 240);
    c = low(c, x, y, K7, K9), d = high(d, x, y, K7, K9);
    x = v128.load(p, 256), y = v128.load(p, 272);
    a = low(a, x, y, K4, K6), b = high(b, x, y, K4, K6);
    x = v128.load(p, 288), y = v128.load(p, 304);
    c = low(c, x, y, K8, K10), d = high(d, x, y, K8, K10);
    x = v128.load(p, 320), y = v128.load(p, 336);
    a = low(a, x, y, K5, K7), b = high(b, x, y, K5, K7);
    x = v128.load(p, 352), y = v128.load(p, 368);
    c = low(c, x, y, K9, K11), d = high(d, x, y, K9, K11);
    x = v128.load(p, 384), y = v128.load(p, 400);
    a = low(a, x, y, K6, K8), b = high(b, x, y, K6, K8);
    x = v128.load(p, 416), y = v128.load(p, 432);
    c = low(c, x, y, K10, K12), d = high(d, x, y, K10, K12);
    x = v128.load(p, 448), y = v128.load(p, 464);
    a = low(a, x, y, K7, K9), b = high(b, x, y, K7, K9);
    x = v128.load(p, 480), y = v128.load(p, 496);
    c = low(c, x, y, K11, K13), d = high(d, x, y, K11, K13);
    x = v128.load(p, 512), y = v128.load(p, 528);
    a = low(a, x, y, K8, K10), b = high(b, x, y, K8, K10);
    x = v128.load(p, 544), y = v128.load(p, 560);
    c = low(c, x, y, K12, K14), d = high(d, x, y, K12, K14);
    x = v128.load(p, 576), y = v128.load(p, 592);
    a = low(a, x, y, K9, K11), b = high(b, x, y, K9, K11);
    x = v128.load(p, 608), y = v128.load(p, 624);
    c = low(c, x, y, K13, K15), d = high(d, x, y, K13, K15);
    x = v128.load(p, 640), y = v128.load(p, 656);
    a = low(a, x, y, K10, K12), b = high(b, x, y, K10, K12);
    x = v128.load(p, 672), y = v128.load(p, 688);
    c = low(c, x, y, K14, K16), d = high(d, x, y, K14, K16);
    x = v128.load(p, 704), y = v128.load(p, 720);
    a = low(a, x, y, K11, K13), b = high(b, x, y, K11, K13);
    x = v128.load(p, 736), y = v128.load(p, 752);
    c = low(c, x, y, K15, K17), d = high(d, x, y, K15, K17);
    x = v128.load(p, 768), y = v128.load(p, 784);
    a = low(a, x, y, K12, K14), b = high(b, x, y, K12, K14);
    x = v128.load(p, 800), y = v128.load(p, 816);
    c = low(c, x, y, K16, K18), d = high(d, x, y, K16, K18);
    x = v128.load(p, 832), y = v128.load(p, 848);
    a = low(a, x, y, K13, K15), b = high(b, x, y, K13, K15);
    x = v128.load(p, 864), y = v128.load(p, 880);
    c = low(c, x, y, K17, K19), d = high(d, x, y, K17, K19);
    x = v128.load(p, 896), y = v128.load(p, 912);
    a = low(a, x, y, K14, K16), b = high(b, x, y, K14, K16);
    x = v128.load(p, 928), y = v128.load(p, 944);
    c = low(c, x, y, K18, K20), d = high(d, x, y, K18, K20);
    if (blocksLeft == 0) break;
    x = v128.load(p, 960), y = v128.load(p, 976);
    a = low(a, x, y, K15, K17), b = high(b, x, y, K15, K17);
    x = v128.load(p, 992), y = v128.load(p, 1008);
    c = low(c, x, y, K19, K21), d = high(d, x, y, K19, K21);
    a = scramble(a, K16), b = scramble(b, K18), c = scramble(c, K20), d = scramble(d, K22);
    p += 1024;
  }
  // A page's sixteenth stripe of the last block is the last stripe.
  x = v128.load(p, 960), y = v128.load(p, 976);
  a = low(a, x, y, LAST0, LAST1), b = high(b, x, y, LAST0, LAST1);
  x = v128.load(p, 992), y = v128.load(p, 1008);
  c = low(c, x, y, LAST2, LAST3), d = high(d, x, y, LAST2, LAST3);
  // The low merge takes the secret from byte 11.
  const lowBits = avalanche(
    <u64>4096 * PRIME64_1 +
      foldLanes(a, 0x6dd4de1cad21f72c, 0xa44072db979083e9) +
      foldLanes(b, 0xe679cb1f67b3b7a4, 0xd05a8278e5c0cc4e) +
      foldLanes(c, 0x4608b82172ffcc7d, 0x9035e08e2443f774) +
      foldLanes(d, 0x52283c4c263a81e6, 0x65d088cb00c391bb),
  );
  // The high merge takes the secret from byte 117.
  const highBits = avalanche(
    ~(<u64>4096 * PRIME64_2) +
      foldLanes(a, 0xd9c97e9fc83159b4, 0x3483acc5ea647378) +
      foldLanes(b, 0xfaffa081c5c3ebd3, 0xb751dd0d17eb6313) +
      foldLanes(c, 0x29265516d349daf0, 0x7d58be162b9e68d4) +
      foldLanes(d, 0x7ad1b8f88ffca147, 0x958f3acb45ce31d0),
  );
  deliver(out, lowBits, highBits);
}
