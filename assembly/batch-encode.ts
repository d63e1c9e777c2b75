// Encodes a batch: a list of pages becomes bytes, some pages a call, so that their contents are still in the cache when the
// caller copies what travels as it is.
//
//   per page   zero? → delta against what was sent last: unchanged? small? → hash → LZ4 → raw      whichever comes first
//
//   output     | header | table | payloads that are not raw, one after another |      its checksum is the batch's
//   runs       { address, bytes } of the payloads in the batch's order: raw ones where the pages lie, others in the output
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
  /** Where the payloads of a call lie: 2 u32 for each of its pages at most. */
  runs: u32;
  /** Between calls: the next position, and the bytes of payloads so far, all and those in the output. */
  position: u32;
  payloadBytes: u32;
  packedBytes: u32;
  runCount: u32;
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
  unused: u32;
  /** XXH3-64 of the output. */
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

/** @returns kind << 24 | payload length; the page's hash is written, and the payload unless it is the page itself */
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

/** Lists a payload behind the one before it, or as a part of it. */
// @ts-ignore: decorator
@inline
function list(request: Request, at: u32, byteLength: u32): void {
  const runs = <usize>request.runs;
  const last = runs + ((request.runCount - 1) << 3);
  if (request.runCount != 0 && load<u32>(last) + load<u32>(last, 4) == at) {
    store<u32>(last, load<u32>(last, 4) + byteLength, 4);
    return;
  }
  const next = runs + (request.runCount << 3);
  store<u32>(next, at);
  store<u32>(next, byteLength, 4);
  request.runCount++;
}

/**
 * Starts the batch that the request describes.
 * @returns OK, BAD_ORDER or BAD_INDEX; a refused list leaves the output and the versions sent untouched
 */
export function batchStart(at: usize): i32 {
  const request = changetype<Request>(at);
  const status = checkIndices(request);
  if (status != OK) return status;
  request.zeroPages = 0;
  request.packed = 0;
  request.saved = 0;
  request.position = 0;
  request.payloadBytes = 0;
  request.packedBytes = 0;
  return OK;
}

/** Encodes the next pages, at most so many, and lists their payloads in the runs. @returns pages that are left */
export function batchEncode(at: usize, pages: u32): u32 {
  const request = changetype<Request>(at);
  const isStaged = (request.options & STAGED) != 0;
  const end = min(request.count, request.position + pages);
  let entry = <usize>request.output + HEADER_BYTES + request.position * ENTRY_BYTES;
  request.runCount = 0;
  for (let position = request.position; position < end; position++) {
    const pageIndex = load<u32>(<usize>request.indices + (position << 2));
    const page = <usize>request.base + ((isStaged ? position : pageIndex - request.firstPage) << 12);
    const payload = <usize>request.output + HEADER_BYTES + request.count * ENTRY_BYTES + request.packedBytes;
    const kindAndLength = encodePage(request, page, pageIndex, entry + 8, payload);
    const kind = kindAndLength >> 24;
    const length = kindAndLength & 0xffffff;
    store<u32>(entry, pageIndex);
    store<u32>(entry, kindAndLength, 4);
    count(request, kind);
    if (length != 0) list(request, <u32>(kind == KIND_RAW ? page : payload), length);
    if (kind != KIND_RAW) request.packedBytes += length;
    request.payloadBytes += length;
    entry += ENTRY_BYTES;
  }
  request.position = end;
  return request.count - end;
}

/** Completes the header, and takes the checksum. */
export function batchEnd(at: usize): void {
  const request = changetype<Request>(at);
  const output = <usize>request.output;
  const tableBytes = request.count * ENTRY_BYTES;
  store<u32>(output, request.count);
  store<u32>(output, 0, 4);
  store<u32>(output, tableBytes, 8);
  store<u32>(output, request.payloadBytes, 12);
  request.byteLength = HEADER_BYTES + tableBytes + request.payloadBytes;
  const checked = HEADER_BYTES + tableBytes + request.packedBytes;
  hash64(request.secret, output, checked, at + offsetof<Request>("checksum"));
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
