// A guest whose allocator has a balloon: pages of 4 KiB that it hands out, takes back, and puts into the balloon. Compiled
// by tests/wasm/ballooning-module.ts (AssemblyScript, runtime stub). Exports: docs/programs.md.
const PAGE_BYTES: u32 = 4096;
/** Of the memory: 64 × 64 KiB. */
const PAGES: u32 = 1024;
/** The pages before it hold the module's own data. */
const FIRST: u32 = 16;
const PRESSURE_PAGES: u32 = 128;

const FREE: u8 = 0;
const USED: u8 = 1;
const OUT: u8 = 2;

const places: usize = memory.data(1024);
const outBits: usize = memory.data(128);

let freeCount: u32 = PAGES - FIRST;
let pressure: u32 = 0;
let next: u32 = FIRST;

/** Puts pages of one place into another; `most` of them. @returns how many */
function shift(from: u8, to: u8, most: u32): u32 {
  let moved: u32 = 0;
  for (let page = FIRST; page < PAGES && moved < most; page++) {
    if (load<u8>(places + page) != from) continue;
    if (to == OUT) memory.fill(page * PAGE_BYTES, 0, PAGE_BYTES);
    const byte = outBits + (page >> 3);
    const bit: u8 = 1 << <u8>(page & 7);
    store<u8>(byte, to == OUT ? load<u8>(byte) | bit : load<u8>(byte) & ~bit);
    store<u8>(places + page, to);
    moved++;
  }
  return moved;
}

export function balloon_free(): u32 {
  return freeCount;
}

export function balloon_pressure(): u32 {
  const pages = pressure;
  pressure = 0;
  return pages;
}

export function balloon_inflate(pages: u32): u32 {
  const moved = shift(FREE, OUT, pages);
  freeCount -= moved;
  return moved;
}

export function balloon_deflate(pages: u32): u32 {
  const moved = shift(OUT, FREE, pages);
  freeCount += moved;
  return moved;
}

export function balloon_bitmap(): usize {
  return outBits;
}

export function balloon_bitmap_bytes(): u32 {
  return PAGES >> 3;
}

/** A page, its words all `value`; 0 when there is none. Under memory pressure the balloon gives some back. */
export function allocate(value: u32): usize {
  if (freeCount == 0) pressure += balloon_deflate(PRESSURE_PAGES);
  if (freeCount == 0) return 0;
  while (load<u8>(places + next) != FREE) next = next + 1 == PAGES ? FIRST : next + 1;
  store<u8>(places + next, USED);
  freeCount--;
  const pointer: usize = next * PAGE_BYTES;
  for (let at: u32 = 0; at < PAGE_BYTES; at += 4) store<u32>(pointer + at, value);
  return pointer;
}

/** Gives a page back; what it holds stays there until somebody needs it. */
export function release(pointer: usize): void {
  store<u8>(places + <u32>pointer / PAGE_BYTES, FREE);
  freeCount++;
}

/** Sum of a page's words. */
export function sum(pointer: usize): u32 {
  let total: u32 = 0;
  for (let at: u32 = 0; at < PAGE_BYTES; at += 4) total += load<u32>(pointer + at);
  return total;
}
