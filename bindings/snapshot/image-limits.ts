/**
 * Every limit of images, with its unit and its reason; those of the records that links carry too are in `wire/limits.ts`.
 * Stored bytes are as hostile as a peer's: a length is compared with its limit before anything is allocated or read for it.
 * `docs/image-format.md` repeats this table.
 */
import { MAX_BATCH_BYTES, MAX_CHUNK_BYTES, MAX_CONTROL_BYTES, MAX_STATE_BYTES } from "../wire/limits.ts";

/** The format versions that this code reads, and the one it writes. */
export const MIN_IMAGE_VERSION = 1;
export const IMAGE_VERSION = 1;

/** Bytes of the batches of a pack: large enough that a sync is small beside its write, small enough to be held twice. */
export const PACK_BYTES: number = 32 * 1024 * 1024;

/** Entries of a pack: its index, of 32 bytes each, stays below one frame. */
export const MAX_PACK_ENTRIES = 65_536;

/** Bytes of an index entry. */
export const INDEX_ENTRY_BYTES = 32;

/** Bytes of a pack: batches, index, header and trailer. */
export const MAX_PACK_BYTES: number = PACK_BYTES + MAX_PACK_ENTRIES * INDEX_ENTRY_BYTES + 4096;

/** Bytes of a piece of a page table or of a list of packs. */
export const MAX_TABLE_RECORD_BYTES: number = MAX_CHUNK_BYTES;

/** Page tables from a delta to the full one it builds on: what an open has to read before the first page. */
export const MAX_CHAIN_LENGTH = 16;

/**
 * Pages of a guest that this side takes by default: 16 GiB. A page costs 24 bytes of table while a snapshot is open, and a
 * few bytes of manifest may claim any number of them.
 */
export const DEFAULT_MAXIMUM_PAGES: number = 2 ** 22;

/** Pages that the directory of known contents holds by default: 8 GiB of different pages, 64 MiB of table. */
export const DEFAULT_DIRECTORY_PAGES: number = 2 ** 21;

/** Frames that are kept to read pages one by one, in bytes: four of the largest batches. */
export const FRAME_CACHE_BYTES: number = 4 * MAX_BATCH_BYTES;

/** Bytes read in one go where many frames are wanted in order. */
export const READ_AHEAD_BYTES: number = 4 * 1024 * 1024;

/** Names in one list of condemned objects: 1 TiB of packs. What does not fit is condemned next time. */
export const MAX_CONDEMNED = 32_768;

/** UTF-16 units of a label and of a generation's id. */
export const MAX_LABEL_CHARACTERS = 256;

/** Bytes of a sealed object's segments: what is decrypted to read one page of it. */
export const SEGMENT_BYTES: number = 256 * 1024;

/** Bytes of a manifest without its page table and its packs: state and description, with room for their headers. */
const MANIFEST_BASE_BYTES: number = MAX_STATE_BYTES + MAX_CONTROL_BYTES + 64 * 1024;

/** Bytes of a manifest of a guest with so many pages: 32 for each page, 80 for each pack, as if every page had its own. */
export const manifestLimitBytes = (pageCount: number): number => MANIFEST_BASE_BYTES + pageCount * 112;
