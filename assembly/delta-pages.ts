// Deltas of many pages in one call: a call from JavaScript costs as much as a tenth of decoding a sparse page.
//
// Pages follow each other; delta i stands at i × stride, its length (i32) in `lengths`: 0 for an equal page, -1 for a refused
// one, which has no delta. Both sides of delta.ts's slack hold: a stride leaves DELTA_SLACK_BYTES behind the longest delta.
import { wordMaskDecode, wordMaskEncode, xbzrleDecode, xbzrleEncode } from "./delta";

/**
 * Encodes what changed from `old` to `page`, page by page.
 * @param format 0: XBZRLE, 1: word mask
 * @returns sum of the lengths, refusals as -1
 */
export function deltaEncodePages(
  format: u32, old: usize, page: usize, count: u32, target: usize, stride: u32, capacity: u32, lengths: usize,
): i32 {
  let sum: i32 = 0;
  for (let i: u32 = 0; i < count; ++i) {
    const length = format == 0 ? xbzrleEncode(old, page, target, capacity) : wordMaskEncode(old, page, target, capacity);
    store<i32>(lengths, length);
    sum += length;
    old += 4096;
    page += 4096;
    target += stride;
    lengths += 4;
  }
  return sum;
}

/**
 * Applies such deltas to the pages in place; a length of 0 or -1 leaves its page alone.
 * @returns sum of what the decoders return
 */
export function deltaDecodePages(
  format: u32, source: usize, stride: u32, lengths: usize, page: usize, count: u32,
): i32 {
  let sum: i32 = 0;
  for (let i: u32 = 0; i < count; ++i) {
    const length = load<i32>(lengths);
    if (length > 0) sum += format == 0 ? xbzrleDecode(source, length, page) : wordMaskDecode(source, length, page);
    source += stride;
    lengths += 4;
    page += 4096;
  }
  return sum;
}
