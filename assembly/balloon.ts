// Dynamic self-ballooning, the accounting (Post-Copy Live Migration of Virtual Machines, "Dynamic Self Ballooning").
// Pages in the balloon are never transferred and come up as zeros at the target.
//
//   target = percent × (balloon + free) / 100      inflating *to* 95 % of what is available keeps 5 % as a buffer; inflating *by*
//                                                  95 % of the free memory each time would eat the buffer up
//   pressure(n)   deflate by n at once, then hold the balloon as it is for a back-off of some intervals
//
// Which pages are out is a bitmap over the guest's pages; its number of set bits is the balloon's size.
//
// State, u32 each: 0 balloon size | 4 free estimate | 8 intervals of back-off left | 12 percent | 16 back-off intervals
import { bitmapClear, bitmapSet } from "./bitmap";

// @ts-ignore: decorator
@inline const SIZE: usize = 0;
// @ts-ignore: decorator
@inline const FREE: usize = 4;
// @ts-ignore: decorator
@inline const BACK_OFF_LEFT: usize = 8;
// @ts-ignore: decorator
@inline const PERCENT: usize = 12;
// @ts-ignore: decorator
@inline const BACK_OFF: usize = 16;

export function balloonStart(state: usize, percent: u32, backOffIntervals: u32): void {
  store<u64>(state, 0);
  store<u32>(state, 0, BACK_OFF_LEFT);
  store<u32>(state, percent, PERCENT);
  store<u32>(state, backOffIntervals, BACK_OFF);
}

/**
 * One interval of the loop.
 *
 * @param free pages the guest reports free now
 * @returns the balloon's target size; its present size while backing off
 */
export function balloonInterval(state: usize, free: u32): u32 {
  store<u32>(state, free, FREE);
  const size = load<u32>(state, SIZE);
  const left = load<u32>(state, BACK_OFF_LEFT);
  if (left > 0) {
    store<u32>(state, left - 1, BACK_OFF_LEFT);
    return size;
  }
  return <u32>((<u64>size + free) * load<u32>(state, PERCENT) / 100);
}

/** Memory pressure: starts the back-off anew. @returns pages to deflate by: what is asked, or what there is */
export function balloonPressure(state: usize, pages: u32): u32 {
  store<u32>(state, load<u32>(state, BACK_OFF), BACK_OFF_LEFT);
  return min(pages, load<u32>(state, SIZE));
}

/** Listed pages went into the balloon. @returns how many were not in it before */
export function balloonInflate(state: usize, out: usize, blocks: u32, list: usize, count: u32): u32 {
  let changed: u32 = 0;
  for (let i: u32 = 0; i < count; ++i) {
    changed += bitmapSet(out, blocks, load<u32>(list));
    list += 4;
  }
  store<u32>(state, load<u32>(state, SIZE) + changed, SIZE);
  const free = load<u32>(state, FREE);
  store<u32>(state, free - min(free, changed), FREE);
  return changed;
}

/** Listed pages came back out of the balloon. @returns how many were in it before */
export function balloonDeflate(state: usize, out: usize, blocks: u32, list: usize, count: u32): u32 {
  let changed: u32 = 0;
  for (let i: u32 = 0; i < count; ++i) {
    changed += bitmapClear(out, blocks, load<u32>(list));
    list += 4;
  }
  store<u32>(state, load<u32>(state, SIZE) - changed, SIZE);
  store<u32>(state, load<u32>(state, FREE) + changed, FREE);
  return changed;
}
