// What encoding and decoding of batches share. The byte layout is drawn in bindings/engine/batch.ts and is normative in
// docs/protocol.md; kinds and statuses are repeated there by name.

export const PAGE_BYTES: u32 = 4096;
export const HEADER_BYTES: u32 = 16;
export const ENTRY_BYTES: u32 = 24;

export const KIND_ZERO: u32 = 0;
export const KIND_RAW: u32 = 1;
export const KIND_LZ4: u32 = 2;
export const KIND_UNCHANGED: u32 = 3;
export const KIND_XBZRLE: u32 = 4;
export const KIND_WORD_MASK: u32 = 5;

export const OK: i32 = 0;
export const TRUNCATED: i32 = 1;
export const BAD_HEADER: i32 = 2;
export const BAD_LENGTH: i32 = 3;
export const BAD_KIND: i32 = 4;
export const BAD_INDEX: i32 = 5;
export const BAD_ORDER: i32 = 6;
export const BAD_PAYLOAD: i32 = 7;
export const CORRUPT_PAGE: i32 = 8;
/** No refusal: the pages listed in the installs are to be staged, then the batch can be decoded. */
export const NEEDS_BASES: i32 = 9;

/** Position that a report gives when no single page is to blame. */
export const WHOLE_BATCH: u32 = 0xffffffff;

/** XXH3-128 of a page of zeros: the one hash that need not be computed. */
export const ZERO_PAGE_HASH_LOW: u64 = 0x93d76fe148c689ba;
export const ZERO_PAGE_HASH_HIGH: u64 = 0x3ee8dc4f9e7ee495;
