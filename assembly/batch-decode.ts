// Decodes a batch: bytes become verified pages in one call.
//
//   structure of the whole batch → content of every page, against its hash → the table of installs
//
// Invariants: decoding writes nothing but its staging, its install table and its report; the caller installs afterwards, a
// whole batch or nothing. No input makes it read outside [source, source + byteLength + slack), or write outside those.

import {
  BAD_HEADER, BAD_INDEX, BAD_KIND, BAD_LENGTH, BAD_ORDER, BAD_PAYLOAD, CORRUPT_PAGE, ENTRY_BYTES, HEADER_BYTES, KIND_LZ4,
  KIND_RAW, KIND_UNCHANGED, KIND_WORD_MASK, KIND_XBZRLE, KIND_ZERO, NEEDS_BASES, OK, PAGE_BYTES, TRUNCATED, WHOLE_BATCH,
  ZERO_PAGE_HASH_HIGH, ZERO_PAGE_HASH_LOW,
} from "./batch";
import { wordMaskDecode, xbzrleDecode } from "./delta";
import { hash128 } from "./hash";
import { lz4Decode } from "./lz4";

/** Instead of an address in the install table: the page is zero; the page is what it was. */
const INSTALL_ZERO: u32 = 0;
const INSTALL_NOTHING: u32 = 0xffffffff;

/** What bindings/engine/batch-decoder.ts writes before a call, and finds after it; u32 each, in this order. */
@unmanaged
class Request {
  secret: u32;
  source: u32;
  byteLength: u32;
  /** Pages of the memory that the batch is for: every index must be less. */
  pageCount: u32;
  /** Pages that staging and installs have room for. */
  maxPages: u32;
  /** maxPages × 4096 bytes. */
  staging: u32;
  /** maxPages × { u32 page index, u32 address }. */
  installs: u32;
  /** 1 once the pages that deltas are against lie in the staging. */
  hasBases: u32;
  /** Result. After a refusal pages is a position, or WHOLE_BATCH, and zeroPages its page index. */
  pages: u32;
  zeroPages: u32;
  rawPages: u32;
  lz4Pages: u32;
  unchangedPages: u32;
  deltaPages: u32;
  /** Scratch: the hash of a page. */
  hashLow: u64;
  hashHigh: u64;
}

// @ts-ignore: decorator
@inline
function refuse(request: Request, position: u32, pageIndex: u32, status: i32): i32 {
  request.pages = position;
  request.zeroPages = pageIndex;
  return status;
}

/** Whether a payload can be that long: exact for kinds of one size, bounds for the others. */
// @ts-ignore: decorator
@inline
function checkLength(kind: u32, length: u32): i32 {
  if (kind == KIND_RAW) return length == PAGE_BYTES ? OK : BAD_LENGTH;
  if (kind == KIND_ZERO || kind == KIND_UNCHANGED) return length == 0 ? OK : BAD_LENGTH;
  if (kind > KIND_WORD_MASK) return BAD_KIND;
  return length > 0 && length < PAGE_BYTES ? OK : BAD_LENGTH;
}

/** Kinds that need what the receiver has. */
// @ts-ignore: decorator
@inline
function isAgainstBase(kind: u32): bool {
  return kind >= KIND_UNCHANGED;
}

/** Kinds whose page is made in the staging, in the order of the batch. */
// @ts-ignore: decorator
@inline
function isStaged(kind: u32): bool {
  return kind >= KIND_LZ4;
}

/** All that can be said of a batch without looking at a payload. */
function checkStructure(request: Request): i32 {
  const source = <usize>request.source;
  if (request.byteLength < HEADER_BYTES) return refuse(request, WHOLE_BATCH, 0, TRUNCATED);
  const count = load<u32>(source);
  const payloadBytes = load<u32>(source, 12);
  if (count > request.maxPages || load<u32>(source, 4) != 0 || load<u32>(source, 8) != count * ENTRY_BYTES)
    return refuse(request, WHOLE_BATCH, 0, BAD_HEADER);
  const expected = <u64>HEADER_BYTES + <u64>(count * ENTRY_BYTES) + <u64>payloadBytes;
  if (<u64>request.byteLength < expected) return refuse(request, WHOLE_BATCH, 0, TRUNCATED);
  if (<u64>request.byteLength > expected) return refuse(request, WHOLE_BATCH, 0, BAD_LENGTH);
  let entry = source + HEADER_BYTES;
  let least: u64 = 0;
  let sum: u32 = 0;
  for (let position: u32 = 0; position < count; position++) {
    const pageIndex = load<u32>(entry);
    const kindAndLength = load<u32>(entry, 4);
    if (<u64>pageIndex < least) return refuse(request, position, pageIndex, BAD_ORDER);
    if (pageIndex >= request.pageCount) return refuse(request, position, pageIndex, BAD_INDEX);
    const length = kindAndLength & 0xffffff;
    const status = checkLength(kindAndLength >> 24, length);
    if (status != OK) return refuse(request, position, pageIndex, status);
    least = <u64>pageIndex + 1;
    sum += length; // at most maxPages × 4096
    entry += ENTRY_BYTES;
  }
  return sum == payloadBytes ? OK : refuse(request, WHOLE_BATCH, 0, BAD_LENGTH);
}

/** Lists in the installs which pages the batch is against, and where in the staging they belong. */
function listBases(request: Request): u32 {
  const count = load<u32>(request.source);
  let entry = <usize>request.source + HEADER_BYTES;
  let staged = request.staging;
  let install = <usize>request.installs;
  let bases: u32 = 0;
  for (let position: u32 = 0; position < count; position++) {
    const kind = load<u32>(entry, 4) >> 24;
    if (isAgainstBase(kind)) {
      store<u32>(install, load<u32>(entry));
      store<u32>(install, staged, 4);
      install += 8;
      bases++;
    }
    if (isStaged(kind)) staged += PAGE_BYTES;
    entry += ENTRY_BYTES;
  }
  return bases;
}

/** Makes a page in the staging, where its base lies if it needs one. */
// @ts-ignore: decorator
@inline
function makePage(kind: u32, payload: usize, length: u32, page: usize): bool {
  if (kind == KIND_LZ4) return lz4Decode(payload, length, page, PAGE_BYTES) == PAGE_BYTES;
  if (kind == KIND_XBZRLE) return xbzrleDecode(payload, length, page) >= 0;
  if (kind == KIND_WORD_MASK) return wordMaskDecode(payload, length, page) == 0;
  return true;
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
 * Decodes and verifies the batch that the request describes.
 * @returns OK; NEEDS_BASES with `pages` of them listed in the installs, as { page index, address to copy the page to }: call
 *   again with hasBases then; or why the batch is refused: then nothing of it is to be installed
 */
export function batchDecode(at: usize): i32 {
  const request = changetype<Request>(at);
  const status = checkStructure(request);
  if (status != OK) return status;
  if (request.hasBases == 0) {
    const bases = listBases(request);
    if (bases != 0) {
      request.pages = bases;
      return NEEDS_BASES;
    }
  }
  request.zeroPages = 0;
  const pages = load<u32>(request.source);
  const hashed = at + offsetof<Request>("hashLow");
  let entry = <usize>request.source + HEADER_BYTES;
  let payload = entry + pages * ENTRY_BYTES;
  let staged = <usize>request.staging;
  let install = <usize>request.installs;
  for (let position: u32 = 0; position < pages; position++) {
    const pageIndex = load<u32>(entry);
    const kind = load<u32>(entry, 4) >> 24;
    const length = load<u32>(entry, 4) & 0xffffff;
    const page = isStaged(kind) ? staged : payload;
    if (kind == KIND_ZERO) {
      request.hashLow = ZERO_PAGE_HASH_LOW;
      request.hashHigh = ZERO_PAGE_HASH_HIGH;
    } else {
      if (!makePage(kind, payload, length, page)) return refuse(request, position, pageIndex, BAD_PAYLOAD);
      hash128(request.secret, page, PAGE_BYTES, hashed);
    }
    if (request.hashLow != load<u64>(entry, 8) || request.hashHigh != load<u64>(entry, 16))
      return refuse(request, position, pageIndex, CORRUPT_PAGE);
    store<u32>(install, pageIndex);
    store<u32>(install, kind == KIND_ZERO ? INSTALL_ZERO : kind == KIND_UNCHANGED ? INSTALL_NOTHING : <u32>page, 4);
    count(request, kind);
    install += 8;
    entry += ENTRY_BYTES;
    payload += length;
    if (isStaged(kind)) staged += PAGE_BYTES;
  }
  request.pages = pages;
  return OK;
}
