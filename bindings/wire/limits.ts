/**
 * Every limit of the protocol, with its unit and its reason. What comes in is hostile: a length is compared with its
 * limit before anything is allocated or read for it. `docs/protocol.md` repeats this table.
 */
import { MAX_BATCH_PAGES, PAGE_BYTES } from "../ports/guest.ts";

/** Bytes of a JSON payload. The largest honest one is a hello with all its facts: about 10 KiB for an emscripten program. */
export const MAX_CONTROL_BYTES: number = 64 * 1024;

/** Bytes of a link-internal payload (preface, credit, end): a few integers, with room for later versions to add some. */
export const MAX_LINK_RECORD_BYTES = 1024;

/** Bytes that the engine adds to a page that does not compress: index, encoding, length and the 16-byte hash. */
const BATCH_ENTRY_BYTES = 24;

/** Bytes before a batch's first entry. */
const BATCH_HEADER_BYTES = 16;

/** Bytes of a page batch: {@link MAX_BATCH_PAGES} incompressible pages. */
export const MAX_BATCH_BYTES: number = MAX_BATCH_PAGES * (PAGE_BYTES + BATCH_ENTRY_BYTES) + BATCH_HEADER_BYTES;

/** Bytes of any payload: the batch is the largest record. */
export const MAX_FRAME_PAYLOAD_BYTES: number = MAX_BATCH_BYTES;

/** Bytes of one piece of state or of a resource, its prefix apart: large enough for full throughput on loopback. */
export const MAX_CHUNK_BYTES: number = 1024 * 1024;

/** Bytes of a guest's captured state (everything but RAM): a wasm guest has kilobytes, hooks may carry some megabytes. */
export const MAX_STATE_BYTES: number = 64 * 1024 * 1024;

/** Bytes of one resource. The largest published core modules (language runtimes) have about 30 MB. */
export const MAX_RESOURCE_BYTES: number = 64 * 1024 * 1024;

/** Resources that a layout may name: program, side modules, data files. */
export const MAX_RESOURCES = 64;

/** Facts that a layout may hold. */
export const MAX_FACTS = 256;

/** UTF-16 units of a fact's value. */
export const MAX_FACT_CHARACTERS = 4096;

/** UTF-16 units of a name: kind, technique, fact, resource, code of an error. */
export const MAX_NAME_CHARACTERS = 128;

/** Characters of a move's id, `a-z 0-9 -`: it names files in stores. */
export const MAX_MOVE_ID_CHARACTERS = 64;

/** UTF-16 units of a snapshot's label and generation, as in images. */
export const MAX_SNAPSHOT_LABEL_CHARACTERS = 256;

/** UTF-16 units of a message for people. A longer one is cut by the sender. */
export const MAX_MESSAGE_CHARACTERS = 2048;

/** Page indices and counts are u32 on the wire; a factory's own limit is far lower (2^20 pages for a 32-bit wasm memory). */
export const MAX_PAGE_COUNT = 0xffff_ffff;

/** Bytes of a page: from the smallest any machine uses to the largest (a factory takes only what it knows: 4096). */
export const MIN_PAGE_BYTES = 1024;
export const MAX_PAGE_BYTES: number = 1024 * 1024;

/** Pages that one part of a set of missing pages covers: a bitmap of {@link MAX_CHUNK_BYTES}, 32 GiB of guest. */
export const MAX_PAGE_SET_PAGES: number = 8 * MAX_CHUNK_BYTES;

/** Pages that one fault record names: as many as a batch holds. A guest waits with as many as it has threads. */
export const MAX_FAULT_PAGES: number = MAX_BATCH_PAGES;

/** Pages that are named one by one when a finished post-copy turns out to be corrupt; the rest are counted. */
export const MAX_CORRUPT_PAGES = 256;

/** Milliseconds between two checkpoints: output that waits longer is of no use to anybody. */
export const MAX_CHECKPOINT_INTERVAL_MS = 60_000;

/** Buckets of a histogram of waits: 2^31 µs are 36 minutes. */
export const MAX_HISTOGRAM_BUCKETS = 32;

/** Bytes of the smallest window: one control payload must always fit. */
export const MIN_WINDOW_BYTES: number = 64 * 1024;

/** Bytes of the largest window: what a receiver may have to hold for a consumer that has stalled. */
export const MAX_WINDOW_BYTES: number = 64 * 1024 * 1024;

/**
 * Bytes of the bulk lane that may be unacknowledged by default. Batches of 2 MiB are decoded on one thread while others
 * arrive on another: with 4 MiB the sender waits for either in turn, and a move over loopback takes a third longer. What may
 * not wait behind so much (faults, the rest after a pause) has the urgent lane, its own window (paging/push-window), or the
 * end of a round, which waits until a quarter is left.
 */
export const DEFAULT_WINDOW_BYTES: number = 16 * 1024 * 1024;

/** Bytes of the urgent lane that may be unacknowledged: some 200 faulted pages. */
export const DEFAULT_URGENT_WINDOW_BYTES: number = 1024 * 1024;

/**
 * Bytes that a frame is charged in its window beside its payload: its header and what the receiver spends on a queued
 * frame (an object, a view and a promise: about 250 bytes measured on V8), so that a flood of empty frames is bounded too.
 */
export const FRAME_CHARGE_BYTES = 256;
