// Batches: many pages as one run of bytes, encoded and decoded by the engine in one call each.
//
// Little-endian, no padding:
//
//   0        4            8               12                 16
//   +--------+------------+---------------+------------------+
//   | pages  | reserved 0 | table bytes   | payload bytes    |  header
//   +--------+------------+---------------+------------------+
//   +--------+--------+------+------------------------------+
//   | page   | length | kind | XXH3-128 of the page's       |  table, 24 bytes a page
//   | index  |  u24   |  u8  | content: low u64, high u64   |
//   +--------+--------+------+------------------------------+
//   0        4        7      8                             24
//   | payload of page 0 | payload of page 1 | …               payloads, without gaps
//
//   kind  payload                                                       length
//   0     zero: none, the page is all zeros                             0
//   1     raw: the page                                                 4096
//   2     LZ4: a block that expands to 4096 bytes                       1 … 4095
//   3     unchanged: none, the page is what the receiver has            0
//   4     XBZRLE: a delta against what the receiver has (delta.ts)      1 … 4095
//   5     word mask: the same in another format                        1 … 4095
//
// Invariants: page indices ascend strictly, so a batch names a page at most once; table bytes = 24 × pages; the payload
// lengths add up to payload bytes and these end the batch. A decoder verifies all of it, and every page against its hash,
// before a byte is installed: a batch is applied whole or not at all. A batch holds at most 1024 pages, about 4 MiB.
//
// Kinds 3 to 5 depend on order: batches are to be installed in the order in which they were encoded, none left out. What
// does not reach the receiver has to be forgotten by the encoder; a delta against anything else is found by its hash.
//
// The checksum that travels with a batch is drawn in batch-checksum.ts.
export { batchChecksum, isBatchIntact } from "./batch-checksum.ts";
export { BatchDecoder, DecodedBatch } from "./batch-decoder.ts";
export {
	BatchEncoder,
	type BatchEncoderOptions,
	type BatchPiece,
	type BatchRequest,
	type EncodedBatch,
} from "./batch-encoder.ts";
export {
	BATCH_ENTRY_BYTES,
	BATCH_HEADER_BYTES,
	BATCH_LIMIT_PAGES,
	BatchError,
	type BatchErrorCode,
	batchHashes,
	batchLimitBytes,
	batchPageIndices,
} from "./batch-layout.ts";
