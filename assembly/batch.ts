// The batch coder: a list of pages becomes bytes in one call, and bytes become verified pages in one call.
// The byte layout is drawn in bindings/engine/batch.ts and is normative in docs/protocol.md.
//
//   encode   per page: zero? → hash → LZ4 if it is asked for and saves enough → raw.   Then the checksum of all bytes.
//   decode   structure of the whole batch → content of every page, against its hash → the table of installs.
//
// Invariants: page indices ascend strictly, so a batch names a page at most once. Decoding writes nothing but its
// staging, its install table and its report: the caller installs afterwards, a whole batch or nothing. No input makes it
// read outside [source, source + byteLength) or write outside those three regions.

import { hash64, hash128 } from "./hash";
import { LZ4_PAGE_TABLE_BITS, lz4Decode, lz4Encode } from "./lz4";

const PAGE_BYTES: u32 = 4096;
const HEADER_BYTES: u32 = 16;
const ENTRY_BYTES: u32 = 24;

const KIND_ZERO: u32 = 0;
const KIND_RAW: u32 = 1;
const KIND_LZ4: u32 = 2;

/** A compressed page must save 1/16, or decoding it costs more than sending it: 4096 - 256, and the coder's own margin. */
const LZ4_CAPACITY: u32 = 3840 + 24;

/** XXH3-128 of a page of zeros: the one hash that need not be computed. */
const ZERO_PAGE_HASH_LOW: u64 = 0x93d76fe148c689ba;
const ZERO_PAGE_HASH_HIGH: u64 = 0x3ee8dc4f9e7ee495;

const OK: i32 = 0;
const TRUNCATED: i32 = 1;
const BAD_HEADER: i32 = 2;
const BAD_LENGTH: i32 = 3;
const BAD_KIND: i32 = 4;
const BAD_INDEX: i32 = 5;
const BAD_ORDER: i32 = 6;
const BAD_PAYLOAD: i32 = 7;
const CORRUPT_PAGE: i32 = 8;

/** Pages follow each other in list order, instead of lying at base + (index - firstPage) × 4096. */
const SOURCE_STAGED: u32 = 1;
const COMPRESS: u32 = 2;

/** Position that a report gives when no single page is to blame. */
const WHOLE_BATCH: u32 = 0xffffffff;
/** Where in the report region a page's hash is put while decoding. */
const HASHED: usize = 32;

/** Leaves at the first 256 bytes that are not zero: nearly all pages that are not zero show it there. */
// @ts-ignore: decorator
@inline
function isZeroPage(page: usize): bool {
  const end = page + PAGE_BYTES;
  do {
    let any = v128.or(v128.load(page), v128.load(page, 16));
    any = v128.or(any, v128.or(v128.load(page, 32), v128.load(page, 48)));
    any = v128.or(any, v128.or(v128.load(page, 64), v128.load(page, 80)));
    any = v128.or(any, v128.or(v128.load(page, 96), v128.load(page, 112)));
    any = v128.or(any, v128.or(v128.load(page, 128), v128.load(page, 144)));
    any = v128.or(any, v128.or(v128.load(page, 160), v128.load(page, 176)));
    any = v128.or(any, v128.or(v128.load(page, 192), v128.load(page, 208)));
    any = v128.or(any, v128.or(v128.load(page, 224), v128.load(page, 240)));
    if (v128.any_true(any)) return false;
    page += 256;
  } while (page < end);
  return true;
}

/** Why a batch was refused, and where: { u32 position in the batch, u32 page index }. */
// @ts-ignore: decorator
@inline
function refuse(report: usize, position: u32, pageIndex: u32, status: i32): i32 {
  store<u32>(report, position);
  store<u32>(report, pageIndex, 4);
  return status;
}

/** Checks that the indices ascend within [firstPage, firstPage + pageCount), before a byte is written. */
function checkIndices(indices: usize, count: u32, firstPage: u32, pageCount: u32, report: usize): i32 {
  let least: u64 = 0;
  for (let position: u32 = 0; position < count; position++) {
    const pageIndex = load<u32>(indices + (<usize>position << 2));
    if (<u64>pageIndex < least) return refuse(report, position, pageIndex, BAD_ORDER);
    if (pageIndex - firstPage >= pageCount) return refuse(report, position, pageIndex, BAD_INDEX);
    least = <u64>pageIndex + 1;
  }
  return OK;
}

/**
 * Encodes a batch.
 * @param secret XXH3's
 * @param indices count × u32, strictly ascending, each in [firstPage, firstPage + pageCount)
 * @param base page firstPage; with SOURCE_STAGED the page of the first index, the others following in list order
 * @param output 16 + count × 4120 bytes and 32 more, which wide stores may touch
 * @param table scratch for the compressor: 16 KiB
 * @param report 24 bytes: { u32 byteLength, u32 zeroPages, u32 rawPages, u32 lz4Pages, u64 XXH3-64 of the batch },
 *   or { u32 position, u32 page index } of a refusal
 * @returns OK, BAD_ORDER or BAD_INDEX; a refused list leaves the output untouched
 */
export function batchEncode(
  secret: usize,
  indices: usize,
  count: u32,
  base: usize,
  firstPage: u32,
  pageCount: u32,
  options: u32,
  output: usize,
  table: usize,
  report: usize,
): i32 {
  const status = checkIndices(indices, count, firstPage, pageCount, report);
  if (status != OK) return status;
  const staged = (options & SOURCE_STAGED) != 0;
  const compress = (options & COMPRESS) != 0;
  const tableBytes = count * ENTRY_BYTES;
  const payloads = output + HEADER_BYTES + tableBytes;
  let entry = output + HEADER_BYTES;
  let payload = payloads;
  let zeroPages: u32 = 0;
  let lz4Pages: u32 = 0;
  for (let position: u32 = 0; position < count; position++) {
    const pageIndex = load<u32>(indices + (<usize>position << 2));
    const page = base + (<usize>(staged ? position : pageIndex - firstPage) << 12);
    let kind = KIND_ZERO;
    let length: u32 = 0;
    if (isZeroPage(page)) {
      zeroPages++;
      store<u64>(entry, ZERO_PAGE_HASH_LOW, 8);
      store<u64>(entry, ZERO_PAGE_HASH_HIGH, 16);
    } else {
      hash128(secret, page, PAGE_BYTES, entry + 8);
      if (compress) length = lz4Encode(page, PAGE_BYTES, payload, LZ4_CAPACITY, table, LZ4_PAGE_TABLE_BITS, 1);
      if (length != 0) {
        kind = KIND_LZ4;
        lz4Pages++;
      } else {
        kind = KIND_RAW;
        length = PAGE_BYTES;
        memory.copy(payload, page, PAGE_BYTES);
      }
    }
    store<u32>(entry, pageIndex);
    store<u32>(entry, (kind << 24) | length, 4);
    entry += ENTRY_BYTES;
    payload += length;
  }
  const byteLength = <u32>(payload - output);
  store<u32>(output, count);
  store<u32>(output, 0, 4);
  store<u32>(output, tableBytes, 8);
  store<u32>(output, <u32>(payload - payloads), 12);
  store<u32>(report, byteLength);
  store<u32>(report, zeroPages, 4);
  store<u32>(report, count - zeroPages - lz4Pages, 8);
  store<u32>(report, lz4Pages, 12);
  hash64(secret, output, byteLength, report + 16);
  return OK;
}

/** Whether a payload can be that long: exact for kinds of one size, bounds for the others. */
// @ts-ignore: decorator
@inline
function checkLength(kind: u32, length: u32): i32 {
  if (kind == KIND_RAW) return length == PAGE_BYTES ? OK : BAD_LENGTH;
  if (kind == KIND_LZ4) return length > 0 && length < PAGE_BYTES ? OK : BAD_LENGTH;
  if (kind == KIND_ZERO) return length == 0 ? OK : BAD_LENGTH;
  return BAD_KIND;
}

/** All that can be said of a batch without looking at a payload. */
function checkStructure(source: usize, byteLength: u32, pageCount: u32, maxPages: u32, report: usize): i32 {
  if (byteLength < HEADER_BYTES) return refuse(report, WHOLE_BATCH, 0, TRUNCATED);
  const count = load<u32>(source);
  const payloadBytes = load<u32>(source, 12);
  if (count > maxPages || load<u32>(source, 4) != 0 || load<u32>(source, 8) != count * ENTRY_BYTES)
    return refuse(report, WHOLE_BATCH, 0, BAD_HEADER);
  const expected = <u64>HEADER_BYTES + <u64>(count * ENTRY_BYTES) + <u64>payloadBytes;
  if (<u64>byteLength < expected) return refuse(report, WHOLE_BATCH, 0, TRUNCATED);
  if (<u64>byteLength > expected) return refuse(report, WHOLE_BATCH, 0, BAD_LENGTH);
  let entry = source + HEADER_BYTES;
  let least: u64 = 0;
  let sum: u32 = 0;
  for (let position: u32 = 0; position < count; position++) {
    const pageIndex = load<u32>(entry);
    const kindAndLength = load<u32>(entry, 4);
    if (<u64>pageIndex < least) return refuse(report, position, pageIndex, BAD_ORDER);
    if (pageIndex >= pageCount) return refuse(report, position, pageIndex, BAD_INDEX);
    const length = kindAndLength & 0xffffff;
    const status = checkLength(kindAndLength >> 24, length);
    if (status != OK) return refuse(report, position, pageIndex, status);
    least = <u64>pageIndex + 1;
    sum += length; // at most maxPages × 4096
    entry += ENTRY_BYTES;
  }
  return sum == payloadBytes ? OK : refuse(report, WHOLE_BATCH, 0, BAD_LENGTH);
}

/**
 * Decodes and verifies a batch.
 * @param secret XXH3's
 * @param pageCount pages of the memory that the batch is for: every index must be less
 * @param maxPages pages that staging and installs have room for
 * @param staging maxPages × 4096 bytes
 * @param installs maxPages × { u32 page index, u32 address of its content; 0 means a page of zeros }
 * @param report 48 bytes: { u32 pages, u32 zeroPages, u32 rawPages, u32 lz4Pages }, or { u32 position, u32 page index }
 * @returns OK, or why the batch is refused; then nothing of it is to be installed
 */
export function batchDecode(
  secret: usize,
  source: usize,
  byteLength: u32,
  pageCount: u32,
  maxPages: u32,
  staging: usize,
  installs: usize,
  report: usize,
): i32 {
  const status = checkStructure(source, byteLength, pageCount, maxPages, report);
  if (status != OK) return status;
  const count = load<u32>(source);
  let entry = source + HEADER_BYTES;
  let payload = entry + count * ENTRY_BYTES;
  const hashed = report + HASHED;
  let staged = staging;
  let zeroPages: u32 = 0;
  let lz4Pages: u32 = 0;
  for (let position: u32 = 0; position < count; position++) {
    const pageIndex = load<u32>(entry);
    const kind = load<u32>(entry, 4) >> 24;
    const length = load<u32>(entry, 4) & 0xffffff;
    let page = payload;
    if (kind == KIND_ZERO) {
      page = 0;
      zeroPages++;
      store<u64>(hashed, ZERO_PAGE_HASH_LOW);
      store<u64>(hashed, ZERO_PAGE_HASH_HIGH, 8);
    } else {
      if (kind == KIND_LZ4) {
        if (lz4Decode(payload, length, staged, PAGE_BYTES) != PAGE_BYTES)
          return refuse(report, position, pageIndex, BAD_PAYLOAD);
        page = staged;
        staged += PAGE_BYTES;
        lz4Pages++;
      }
      hash128(secret, page, PAGE_BYTES, hashed);
    }
    if (load<u64>(hashed) != load<u64>(entry, 8) || load<u64>(hashed, 8) != load<u64>(entry, 16))
      return refuse(report, position, pageIndex, CORRUPT_PAGE);
    store<u32>(installs, pageIndex);
    store<u32>(installs, <u32>page, 4);
    installs += 8;
    entry += ENTRY_BYTES;
    payload += length;
  }
  store<u32>(report, count);
  store<u32>(report, zeroPages, 4);
  store<u32>(report, count - zeroPages - lz4Pages, 8);
  store<u32>(report, lz4Pages, 12);
  return OK;
}
