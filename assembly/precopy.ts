// One step of Xen's pre-copy over a range of pages (Xen's xc_domain_save).
//
//   sent  =  (to_send and not to_skip)  or  (to_send and last)  or  (to_fix and last)
//
// For every page of the range, in ascending order:
//   sent     its index goes to the list; its bit is cleared in to_send and in to_fix (Xen clears to_fix for what it maps).
//   skipped  (live only: to_send and to_skip) is counted; its bit *stays* in to_send. Xen relies on the dirty log alone,
//            which was only peeked and so still holds the page; keeping the bit as well means that a caller who merges the
//            next harvest into to_send can never lose a page, whatever its log does.
//   to_fix   pages the caller could not send while live; untouched until the last iteration, sent then whatever to_send says.
// to_skip is a peek of the dirty log: never written here, and ignored in the last iteration, when the guest is paused.
import { BLOCK_SHIFT, summaryOf } from "./bitmap";
import { expandWord } from "./bitmap-list";

/**
 * Steps over [load(cell), end) until `capacity` pages are listed.
 *
 * @param cell u32 position, in: the first page; out: the page to go on from (`end` when done). Second u32, out: pages
 *   skipped in what was stepped over.
 * @param out list of page indices, with 16 bytes of slack
 * @returns pages to send
 */
export function precopyStep(
  toSend: usize, toSkip: usize, toFix: usize, blocks: u32, cell: usize, end: u32, out: usize, capacity: u32, last: u32,
): u32 {
  const sendSummary = summaryOf(toSend, blocks);
  const fixSummary = summaryOf(toFix, blocks);
  const limit = out + ((<usize>capacity) << 2);
  let position = load<u32>(cell);
  let skipped: u64 = 0;
  let at = out;
  while (position < end) {
    const block = position >> BLOCK_SHIFT;
    const base = block << BLOCK_SHIFT;
    const stop: u32 = end - base > 4096 ? base + 4096 : end;
    const words = (<usize>block) << 9;
    let mask = load<u64>(sendSummary + ((<usize>block) << 3));
    if (last) mask |= load<u64>(fixSummary + ((<usize>block) << 3));
    mask &= (<u64>-1) << (<u64>(position >> 6) & 63);
    while (mask != 0) {
      const j = <u32>ctz(mask);
      mask &= mask - 1;
      const wordBase = base + (j << 6);
      if (wordBase >= stop) break;
      const offset = words + ((<usize>j) << 3);
      let range: u64 = -1;
      if (wordBase < position) range <<= <u64>position & 63;
      if (stop - wordBase < 64) range &= ~((<u64>-1) << (<u64>stop & 63));
      const send = load<u64>(toSend + offset);
      const fix = load<u64>(toFix + offset);
      const skip: u64 = last ? 0 : load<u64>(toSkip + offset);
      let wanted = (last ? send | fix : send & ~skip) & range;
      const room = <u32>((limit - at) >> 2);
      if (<u32>popcnt(wanted) > room) {
        // The list is full inside this word: keep its lowest `room` pages and go on, next time, at the first one left.
        let left = wanted;
        for (let n: u32 = 0; n < room; ++n) left &= left - 1;
        const next = wordBase + <u32>ctz(left);
        wanted &= ~left;
        range &= ~((<u64>-1) << (<u64>next & 63));
        end = next;
        mask = 0;
      }
      skipped += popcnt(send & skip & range);
      if (wanted != 0) {
        store<u64>(toSend + offset, send & ~wanted);
        store<u64>(toFix + offset, fix & ~wanted);
        expandWord(wanted, wordBase, at);
        at += <usize>popcnt(wanted) << 2;
      }
    }
    position = end < stop ? end : stop;
  }
  store<u32>(cell, position);
  store<u32>(cell, <u32>skipped, 4);
  return <u32>((at - out) >> 2);
}
