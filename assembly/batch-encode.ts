// Encodes a batch: a list of pages becomes bytes in one call.
//
//   per page   zero? → delta against what was sent last: unchanged? small? → hash → LZ4 → raw      whichever comes first
//   at the end the checksum of all bytes, most of which are still in the cache
//
// LZ4 is not tried everywhere: memory of one kind lies together, so each region of 32 pages remembers how often it failed
// in a row. After more than three failures it is spared attempts, 1, 3, 7, … up to the request's limit; a success ends that.

import {
  BAD_INDEX, BAD_ORDER, ENTRY_BYTES, HEADER_BYTES, KIND_LZ4, KIND_RAW, KIND_UNCHANGED, KIND_WORD_MASK, KIND_XBZRLE, KIND_ZERO,
  OK, PAGE_BYTES, ZERO_PAGE_HASH_HIGH, ZERO_PAGE_HASH_LOW,
} from "./batch";
import { wordMaskEncode, xbzrleEncode } from "./delta";
import { hash128, hash64 } from "./hash";
import { LZ4_ROOM, lz4EncodePage } from "./lz4";
import { copyHeldHash, forget, heldContent, keep, refresh } from "./sent-pages";

/** An encoded page must save 1/16: below that, decoding costs more than sending. */
const WORTHWHILE_BYTES: u32 = 3840;
/** A delta this small is taken as it is; a larger one has to be smaller than LZ4. */
const SMALL_DELTA_BYTES: i32 = 1024;

/** Pages follow each other in list order, instead of lying at base + (index - firstPage) × 4096. */
const STAGED: u32 = 1;
const COMPRESS: u32 = 2;
/** Deltas as word masks instead of XBZRLE. */
const WORD_MASK: u32 = 4;
/** Hold what is sent, for deltas. */
const REMEMBER: u32 = 8;

/** Pages of a region that shares its experience with LZ4: log2. */
const REGION_SHIFT: u32 = 5;
/** Regions that have an entry of their own, 2 bytes: { failures, attempts to spare }. 1024 cover 128 MiB before they share. */
const REGIONS: u32 = 1024;
/** Failures in a row that spare nothing: pages of different kinds often alternate. */
const PATIENCE: u32 = 3;
/** More failures in a row are not counted: 2^6 - 1 = 63 attempts are spared then. */
const LIMIT_FAILURES: u32 = PATIENCE + 6;

/** What bindings/engine/batch-encoder.ts writes before a call, and finds after it; u32 each, in this order. */
@unmanaged
class Request {
  secret: u32;
  /** count × u32, strictly ascending. */
  indices: u32;
  count: u32;
  /** Address of page `firstPage`; with STAGED of the list's first page. */
  base: u32;
  firstPage: u32;
  /** Pages that the base has, from firstPage on. */
  pageCount: u32;
  options: u32;
  /** 16 + count × 4120 bytes, and 8 KiB more, which trials may touch. */
  output: u32;
  /** LZ4's table. */
  table: u32;
  /** Experience with LZ4: REGIONS × 2 bytes. */
  regions: u32;
  /** Attempts that a region may be spared at most. */
  spareLimit: u32;
  /** Versions sent (sent-pages.ts), and how many slots they have: 0 for none. */
  sent: u32;
  slots: u32;
  generation: u32;
  /** Result. After a refusal byteLength is a position and zeroPages its page index. */
  byteLength: u32;
  zeroPages: u32;
  rawPages: u32;
  lz4Pages: u32;
  unchangedPages: u32;
  deltaPages: u32;
  /** Pages that LZ4 made smaller, and the bytes that it saved. */
  packed: u32;
  saved: u32;
  /** XXH3-64 of the batch. */
  checksum: u64;
}

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

/** Checks that the indices ascend within [firstPage, firstPage + pageCount), before a byte is written. */
function checkIndices(request: Request): i32 {
  let least: u64 = 0;
  for (let position: u32 = 0; position < request.count; position++) {
    const pageIndex = load<u32>(request.indices + (<usize>position << 2));
    request.byteLength = position;
    request.zeroPages = pageIndex;
    if (<u64>pageIndex < least) return BAD_ORDER;
    if (pageIndex - request.firstPage >= request.pageCount) return BAD_INDEX;
    least = <u64>pageIndex + 1;
  }
  return OK;
}

/**
 * LZ4, where its region's experience lets it be tried.
 * @returns the length; 0 when it was not tried or does not save enough
 */
function compress(request: Request, page: usize, pageIndex: u32, target: usize, limit: u32): u32 {
  const region = request.regions + (((pageIndex >> REGION_SHIFT) & (REGIONS - 1)) << 1);
  const spare = load<u8>(region, 1);
  if (spare != 0) {
    store<u8>(region, spare - 1, 1);
    return 0;
  }
  const length = lz4EncodePage(page, target, limit + LZ4_ROOM, request.table);
  if (length != 0) {
    request.packed++;
    request.saved += PAGE_BYTES - length;
    store<u8>(region, 0);
    return length;
  }
  const failures = min(<u32>load<u8>(region) + 1, LIMIT_FAILURES);
  store<u8>(region, failures);
  if (failures > PATIENCE) store<u8>(region, min((<u32>1 << (failures - PATIENCE)) - 1, request.spareLimit), 1);
  return 0;
}

/** @returns kind << 24 | payload length; the payload and the page's hash are written */
function encodePage(request: Request, page: usize, pageIndex: u32, hash: usize, payload: usize): u32 {
  const slots = request.slots;
  const sent = request.sent;
  if (isZeroPage(page)) {
    if (slots != 0) forget(sent, slots, pageIndex);
    store<u64>(hash, ZERO_PAGE_HASH_LOW);
    store<u64>(hash, ZERO_PAGE_HASH_HIGH, 8);
    return KIND_ZERO << 24;
  }
  const old = slots == 0 ? 0 : heldContent(sent, slots, pageIndex);
  const isWordMask = (request.options & WORD_MASK) != 0;
  let kind = isWordMask ? KIND_WORD_MASK : KIND_XBZRLE;
  let length: i32 = -1;
  if (old != 0) {
    length = isWordMask
      ? wordMaskEncode(old, page, payload, WORTHWHILE_BYTES)
      : xbzrleEncode(old, page, payload, WORTHWHILE_BYTES);
    if (length == 0) {
      copyHeldHash(sent, slots, pageIndex, hash);
      refresh(sent, slots, pageIndex, request.generation);
      return KIND_UNCHANGED << 24;
    }
  }
  hash128(request.secret, page, PAGE_BYTES, hash);
  if ((length < 0 || length > SMALL_DELTA_BYTES) && (request.options & COMPRESS) != 0) {
    // Beside a delta that may still win, behind it.
    const target = length < 0 ? payload : payload + PAGE_BYTES;
    const packed = compress(request, page, pageIndex, target, length < 0 ? WORTHWHILE_BYTES : <u32>length - 1);
    if (packed != 0) {
      if (length > 0) memory.copy(payload, target, packed);
      length = packed;
      kind = KIND_LZ4;
    }
  }
  if (length < 0) {
    length = PAGE_BYTES;
    kind = KIND_RAW;
    memory.copy(payload, page, PAGE_BYTES);
  }
  if (slots != 0) {
    const failed = old != 0 && (kind == KIND_RAW || kind == KIND_LZ4);
    if ((request.options & REMEMBER) != 0) keep(sent, slots, pageIndex, request.generation, page, hash, failed);
    else forget(sent, slots, pageIndex);
  }
  return (kind << 24) | length;
}

// @ts-ignore: decorator
@inline
function count(request: Request, kind: u32): void {
  if (kind == KIND_RAW) request.rawPages++;
  else if (kind == KIND_LZ4) request.lz4Pages++;
  else if (kind == KIND_ZERO) request.zeroPages++;
  else if (kind == KIND_UNCHANGED) request.unchangedPages++;
  else request.deltaPages++;
}

/**
 * Encodes the batch that the request describes.
 * @returns OK, BAD_ORDER or BAD_INDEX; a refused list leaves the output and the versions sent untouched
 */
export function batchEncode(at: usize): i32 {
  const request = changetype<Request>(at);
  const status = checkIndices(request);
  if (status != OK) return status;
  request.zeroPages = 0;
  request.packed = 0;
  request.saved = 0;
  const isStaged = (request.options & STAGED) != 0;
  const tableBytes = request.count * ENTRY_BYTES;
  const payloads = <usize>request.output + HEADER_BYTES + tableBytes;
  let entry = <usize>request.output + HEADER_BYTES;
  let payload = payloads;
  for (let position: u32 = 0; position < request.count; position++) {
    const pageIndex = load<u32>(request.indices + (<usize>position << 2));
    const page = request.base + (<usize>(isStaged ? position : pageIndex - request.firstPage) << 12);
    const kindAndLength = encodePage(request, page, pageIndex, entry + 8, payload);
    store<u32>(entry, pageIndex);
    store<u32>(entry, kindAndLength, 4);
    count(request, kindAndLength >> 24);
    entry += ENTRY_BYTES;
    payload += kindAndLength & 0xffffff;
  }
  const output = <usize>request.output;
  store<u32>(output, request.count);
  store<u32>(output, 0, 4);
  store<u32>(output, tableBytes, 8);
  store<u32>(output, <u32>(payload - payloads), 12);
  request.byteLength = <u32>(payload - output);
  hash64(request.secret, output, request.byteLength, at + offsetof<Request>("checksum"));
  return OK;
}

/**
 * What LZ4 saves on some of a request's pages, for a caller that takes the time: compresses every step-th page that is not
 * zero into the output, and forgets it.
 * @returns pages tried; `packed` and `saved` in the request are as they would be of a batch
 */
export function batchSample(at: usize, step: u32): u32 {
  const request = changetype<Request>(at);
  if (checkIndices(request) != OK) return 0;
  const isStaged = (request.options & STAGED) != 0;
  let tried: u32 = 0;
  request.packed = 0;
  request.saved = 0;
  for (let position: u32 = 0; position < request.count; position += step) {
    const pageIndex = load<u32>(request.indices + (<usize>position << 2));
    const page = request.base + (<usize>(isStaged ? position : pageIndex - request.firstPage) << 12);
    if (isZeroPage(page)) continue;
    tried++;
    const room = WORTHWHILE_BYTES + LZ4_ROOM;
    const length = lz4EncodePage(page, request.output, room, request.table);
    if (length == 0) continue;
    request.packed++;
    request.saved += PAGE_BYTES - length;
  }
  return tried;
}
