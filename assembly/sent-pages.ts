// The versions of pages that were sent last, as far as there is room: what deltas are encoded against.
//
//   sent     | slot 0: 32 bytes | slot 1 | …            | content 0: 4096 bytes | content 1 | …
//   slot       0 page index + 1 (0: free) | 4 generation | 8 failures u8 | 9 skip u8 | 10 held u8 | 16 XXH3-128 of the content
//
// A page has one slot, page index modulo slots (a power of two): QEMU's XBZRLE cache does the same, and like it a slot keeps
// its page until that has not been sent for two generations.
//
// Invariant: a held content is what the receiver has. So each page that is sent passes `keep` or `forget`, and a page whose
// deltas do not pay is not held for a while: after f failures in a row it is skipped 2^f - 1 times, which spares hot pages
// the copy and the attempt.

import { PAGE_BYTES } from "./batch";

const SLOT_BYTES: u32 = 32;
/** Generations for which a slot defends its page; QEMU's CACHED_PAGE_LIFETIME. */
const FRESH_GENERATIONS: u32 = 2;
/** 2^5 - 1 = 31 sends without an attempt at most. */
const LIMIT_FAILURES: u8 = 5;

@unmanaged
class Slot {
  pageIndexPlusOne: u32;
  generation: u32;
  failures: u8;
  skip: u8;
  held: u8;
  unused: u8;
  padding: u32;
  hashLow: u64;
  hashHigh: u64;
}

// @ts-ignore: decorator
@inline
function slotOf(sent: usize, slots: u32, pageIndex: u32): Slot {
  return changetype<Slot>(sent + (pageIndex & (slots - 1)) * SLOT_BYTES);
}

// @ts-ignore: decorator
@inline
function contentOf(sent: usize, slots: u32, pageIndex: u32): usize {
  return sent + slots * SLOT_BYTES + (<usize>(pageIndex & (slots - 1)) << 12);
}

/** @returns the address of the content that the receiver has; 0 when it is not held */
export function heldContent(sent: usize, slots: u32, pageIndex: u32): usize {
  const slot = slotOf(sent, slots, pageIndex);
  return slot.pageIndexPlusOne == pageIndex + 1 && slot.held != 0 ? contentOf(sent, slots, pageIndex) : 0;
}

/** Copies the hash of a held content, which so need not be computed. */
export function copyHeldHash(sent: usize, slots: u32, pageIndex: u32, target: usize): void {
  const slot = slotOf(sent, slots, pageIndex);
  store<u64>(target, slot.hashLow);
  store<u64>(target, slot.hashHigh, 8);
}

/** The page is sent as it was: its slot stays fresh, and its deltas do pay. */
export function refresh(sent: usize, slots: u32, pageIndex: u32, generation: u32): void {
  const slot = slotOf(sent, slots, pageIndex);
  slot.generation = generation;
  slot.failures = 0;
}

/** The page is sent, but not held from now on. */
export function forget(sent: usize, slots: u32, pageIndex: u32): void {
  const slot = slotOf(sent, slots, pageIndex);
  if (slot.pageIndexPlusOne == pageIndex + 1) slot.pageIndexPlusOne = 0;
}

/**
 * The page is sent with this content: holds it, unless its slot belongs to a fresh page or its deltas do not pay.
 * @param failed a delta was tried and did not pay
 */
export function keep(sent: usize, slots: u32, pageIndex: u32, generation: u32, page: usize, hash: usize, failed: bool): void {
  const slot = slotOf(sent, slots, pageIndex);
  if (slot.pageIndexPlusOne != pageIndex + 1) {
    if (slot.pageIndexPlusOne != 0 && generation - slot.generation < FRESH_GENERATIONS) return;
    slot.pageIndexPlusOne = pageIndex + 1;
    slot.failures = 0;
    slot.skip = 0;
  } else if (failed) {
    slot.failures = min(slot.failures + 1, LIMIT_FAILURES);
    slot.skip = <u8>((1 << slot.failures) - 1);
  } else if (slot.held != 0) slot.failures = 0;
  slot.generation = generation;
  slot.held = <u8>(slot.skip == 0);
  if (slot.skip > 0) {
    slot.skip--;
    return;
  }
  slot.hashLow = load<u64>(hash);
  slot.hashHigh = load<u64>(hash, 8);
  memory.copy(contentOf(sent, slots, pageIndex), page, PAGE_BYTES);
}
