// Decodes a batch: bytes become verified pages, some pages a call, so that a payload is copied to here, hashed, and still in
// the cache.
//
//   structure of the whole batch → pages, in turn: content of each, against its hash → checksum → the runs to install
//
// Invariants: decoding writes nothing but its staging, its bases, its runs, its hash state and its report; the caller
// installs afterwards, a whole batch or nothing. No input makes it read outside the table and the payloads that its caller
// has put where the request says, or write outside those.

import {
  BAD_HEADER, BAD_INDEX, BAD_KIND, BAD_LENGTH, BAD_ORDER, BAD_PAYLOAD, CORRUPT_PAGE, ENTRY_BYTES, HEADER_BYTES, KIND_LZ4,
  KIND_RAW, KIND_UNCHANGED, KIND_WORD_MASK, KIND_XBZRLE, KIND_ZERO, NEEDS_BASES, OK, PAGE_BYTES, TRUNCATED, WHOLE_BATCH,
  ZERO_PAGE_HASH_HIGH, ZERO_PAGE_HASH_LOW,
} from "./batch";
import { wordMaskDecode, xbzrleDecode } from "./delta";
import { hash128, hashDigest64, hashStart, hashUpdate } from "./hash";
import { lz4Decode } from "./lz4";

/** What to install from: nothing, the pages are zero; a byte of the batch, where its payloads begin being 0; an address. */
const FROM_ZERO: u32 = 0;
const FROM_BATCH: u32 = 1;
const FROM_STAGING: u32 = 2;

/** Bytes of a run: first page, pages, what to install from, where there. */
const RUN_BYTES: u32 = 16;

/** What bindings/engine/batch-decoder.ts writes before a call, and finds after it; u32 each, in this order. */
@unmanaged
class Request {
  secret: u32;
  /** Header and table. */
  table: u32;
  /** Bytes of the whole batch. */
  byteLength: u32;
  /** Pages of the memory that the batch is for: every index must be less. */
  pageCount: u32;
  /** Pages that staging and runs have room for. */
  maxPages: u32;
  /** maxPages × 4096 bytes: pages that are made here. */
  staging: u32;
  /** maxPages × 16 bytes. */
  runs: u32;
  /** State of a hash. */
  state: u32;
  /** Of a call: where the payloads of its pages lie. */
  payloads: u32;
  /** Between calls: the next position, the bytes of payloads before it, and where the next page is made. */
  position: u32;
  payloadBytes: u32;
  staged: u32;
  /** Bytes that the payloads of the next call have. */
  nextBytes: u32;
  runCount: u32;
  /** Result. After a refusal pages is a position, or WHOLE_BATCH, and zeroPages its page index. */
  pages: u32;
  zeroPages: u32;
  rawPages: u32;
  lz4Pages: u32;
  unchangedPages: u32;
  deltaPages: u32;
  /** Scratch: the hash of a page; at the end XXH3-64 of what the checksum covers. */
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
  const source = <usize>request.table;
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

/** Lists in the runs which pages the batch is against, and where in the staging they belong: { page index, address }. */
function listBases(request: Request): u32 {
  const count = load<u32>(request.table);
  let entry = <usize>request.table + HEADER_BYTES;
  let staged = request.staging;
  let base = <usize>request.runs;
  let bases: u32 = 0;
  for (let position: u32 = 0; position < count; position++) {
    const kind = load<u32>(entry, 4) >> 24;
    if (isAgainstBase(kind)) {
      store<u32>(base, load<u32>(entry));
      store<u32>(base, staged, 4);
      base += 8;
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

/** Lists a page to install, behind the run before it or as a part of it. */
// @ts-ignore: decorator
@inline
function list(request: Request, pageIndex: u32, from: u32, at: u32): void {
  const step: u32 = from == FROM_ZERO ? 0 : PAGE_BYTES;
  if (request.runCount != 0) {
    const last = <usize>request.runs + (request.runCount - 1) * RUN_BYTES;
    const pages = load<u32>(last, 4);
    if (load<u32>(last) + pages == pageIndex && load<u32>(last, 8) == from && load<u32>(last, 12) + pages * step == at) {
      store<u32>(last, pages + 1, 4);
      return;
    }
  }
  const next = <usize>request.runs + request.runCount * RUN_BYTES;
  store<u32>(next, pageIndex);
  store<u32>(next, 1, 4);
  store<u32>(next, from, 8);
  store<u32>(next, at, 12);
  request.runCount++;
}

/** Bytes of the payloads of the next pages. */
function bytesOfNext(request: Request, pages: u32): u32 {
  const end = min(load<u32>(request.table), request.position + pages);
  let entry = <usize>request.table + HEADER_BYTES + request.position * ENTRY_BYTES;
  let bytes: u32 = 0;
  for (let position = request.position; position < end; position++) {
    bytes += load<u32>(entry, 4) & 0xffffff;
    entry += ENTRY_BYTES;
  }
  return bytes;
}

/**
 * Starts to decode the batch whose header and table lie at request.table.
 * @param pages that the next call will be for
 * @returns OK, with `nextBytes` to be put at request.payloads; NEEDS_BASES the same, with `pages` of them listed in the runs,
 *   as { page index, address to copy the page to }; or why the batch is refused
 */
export function batchCheck(at: usize, pages: u32): i32 {
  const request = changetype<Request>(at);
  const status = checkStructure(request);
  if (status != OK) return status;
  hashStart(request.state);
  hashUpdate(request.secret, request.state, request.table, HEADER_BYTES + load<u32>(request.table, 8));
  request.position = 0;
  request.payloadBytes = 0;
  request.staged = request.staging;
  request.runCount = 0;
  request.zeroPages = 0;
  request.nextBytes = bytesOfNext(request, pages);
  request.pages = listBases(request);
  return request.pages == 0 ? OK : NEEDS_BASES;
}

/**
 * Decodes and verifies the next pages, whose payloads lie at request.payloads.
 * @returns OK, with `nextBytes` for the call after this, and after the last page the hash; or why the batch is refused: then
 *   nothing of it is to be installed
 */
export function batchDecode(at: usize, pages: u32): i32 {
  const request = changetype<Request>(at);
  const total = load<u32>(request.table);
  const end = min(total, request.position + pages);
  const hashed = at + offsetof<Request>("hashLow");
  let entry = <usize>request.table + HEADER_BYTES + request.position * ENTRY_BYTES;
  let payload = <usize>request.payloads;
  // Payloads that are not raw, one after the other, are hashed at once.
  let unhashed = payload;
  for (let position = request.position; position < end; position++) {
    const pageIndex = load<u32>(entry);
    const kind = load<u32>(entry, 4) >> 24;
    const length = load<u32>(entry, 4) & 0xffffff;
    const page = isStaged(kind) ? <usize>request.staged : payload;
    if (kind == KIND_RAW) {
      if (unhashed != payload) hashUpdate(request.secret, request.state, unhashed, <u32>(payload - unhashed));
      unhashed = payload + PAGE_BYTES;
    }
    if (kind == KIND_ZERO) {
      request.hashLow = ZERO_PAGE_HASH_LOW;
      request.hashHigh = ZERO_PAGE_HASH_HIGH;
    } else {
      if (!makePage(kind, payload, length, page)) return refuse(request, position, pageIndex, BAD_PAYLOAD);
      hash128(request.secret, page, PAGE_BYTES, hashed);
    }
    if (request.hashLow != load<u64>(entry, 8) || request.hashHigh != load<u64>(entry, 16))
      return refuse(request, position, pageIndex, CORRUPT_PAGE);
    if (kind == KIND_ZERO) list(request, pageIndex, FROM_ZERO, 0);
    else if (kind == KIND_RAW) list(request, pageIndex, FROM_BATCH, request.payloadBytes);
    else if (kind != KIND_UNCHANGED) list(request, pageIndex, FROM_STAGING, <u32>page);
    count(request, kind);
    entry += ENTRY_BYTES;
    payload += length;
    request.payloadBytes += length;
    if (isStaged(kind)) request.staged += PAGE_BYTES;
  }
  if (unhashed != payload) hashUpdate(request.secret, request.state, unhashed, <u32>(payload - unhashed));
  request.position = end;
  request.nextBytes = bytesOfNext(request, pages);
  if (end == total) {
    request.pages = total;
    hashDigest64(request.secret, request.state, hashed);
  }
  return OK;
}
