/**
 * A guest: a running machine with paged memory that can be paused.
 *
 *           ┌────────── resume ──────────┐
 *        running ── pause(deadline) ──▶ paused ── discard ──▶ (gone)
 *
 * The engine works *beside the memory*, which may live in a worker or in another process: techniques see bitmaps, page
 * numbers and opaque batches, never a guest's bytes. Everything a guest offers beyond this page is a separate capability
 * interface that arrives with its first implementation.
 */

/** The unit of tracking and transfer, in bytes (4096 on every guest of this version). */
export const PAGE_BYTES = 4096;

/** See the head of this file. */
export interface Guest {
	/** What kind of machine it is: `memory`, `wasm`, … The factory of the same kind can build a target for it. */
	readonly kind: string;
	readonly pages: GuestPages;
	readonly dirty: DirtyLog;
	readonly state: GuestState;
	/**
	 * Brings the guest to a pause point. After it resolves nothing of the guest changes and nothing is emitted, until
	 * {@link resume}. Pausing a paused guest resolves at once.
	 * @throws {GuestError} `pause-deadline` when no pause point was reached in time; the guest then runs on.
	 */
	pause(options: PauseOptions): Promise<void>;
	/** Lets a paused guest run on; on a target this is the activation. Resuming a running guest does nothing. */
	resume(): Promise<void>;
	/** Gives up this copy and all it holds. A discarded guest answers every call with {@link GuestError} `gone`. */
	discard(): Promise<void>;
	/** How long live work held the guest, since the last call. */
	takeInterruptions(): Interruptions;
}

/** When to give up waiting for a pause point. */
export interface PauseOptions {
	/** Milliseconds from the call. */
	readonly deadlineMs: number;
	readonly signal?: AbortSignal;
}

/** Time that live work took from the guest's own thread. A pause that no metric counts is still a pause. */
export interface Interruptions {
	/** Duration of every slice of live work on the guest's thread, in ms. */
	readonly slicesMs: readonly number[];
	/** Longest wait for a pause point, in ms. */
	readonly pauseWaitMs: number;
}

/** The guest's memory as pages. */
export interface GuestPages {
	/** Pages the guest has now. It may grow while the guest runs; it never shrinks. */
	readonly pageCount: number;
	/**
	 * Encodes these pages in one call of the engine. While a dirty cursor is open a scan tracker encodes from its shadow,
	 * never from memory that may still change; the pages of a paused guest are encoded as they are, harvested or not.
	 * @param pageIndices - strictly ascending, at most {@link MAX_BATCH_PAGES}.
	 * @throws RangeError if a page does not exist; {@link GuestError} `gone`.
	 */
	encode(pageIndices: Uint32Array, options: EncodeOptions): Promise<PageBatch>;
	/**
	 * Installs a whole batch, or nothing of it: every page is decoded and its hash checked first. Only on a target that
	 * has not run yet.
	 * @param giveBack - lends the batch's whole buffer: it may be transferred to another thread without a copy, and is then
	 *   given back through this call, once, before the promise settles.
	 * @throws {BatchError} (engine/batch.ts) naming the page; nothing was installed.
	 */
	apply(batch: EncodedBatch, giveBack?: (buffer: ArrayBuffer) => void): Promise<AppliedPages>;
	/** Hashes of the memory as it is now, 16 bytes a page (XXH3-128). Meaningful while paused. */
	hashes(firstPage: number, pageCount: number): Promise<Uint8Array>;
	/**
	 * Makes a target as large as the source has become.
	 * @throws {GuestError} `too-large` beyond the target's limit.
	 */
	grow(pageCount: number): Promise<void>;
}

/** The engine takes at most this many pages in one batch: 4 MiB, Xen's batch size. */
export const MAX_BATCH_PAGES = 1024;

/** How to encode. */
export interface EncodeOptions {
	/** Whether LZ4 may be used. Off for links that are faster than the compressor. */
	readonly compress: boolean;
	/**
	 * What the link carries, in bytes per ms; Infinity while it is not known and taken for fast. With it the engine compresses
	 * only where that saves more time than it costs; without it, wherever it saves bytes. A guest may ignore it.
	 */
	readonly linkBytesPerMs?: number;
}

/** A batch as it travels. */
export interface EncodedBatch {
	readonly bytes: Uint8Array<ArrayBuffer>;
	/** XXH3-64 of `bytes`. */
	readonly checksum: bigint;
}

/** A batch fresh from a guest, in a buffer of that guest's pool. */
export interface PageBatch extends EncodedBatch {
	readonly pageIndices: Uint32Array;
	/** 16 bytes a page, in the order of `pageIndices`. */
	readonly hashes: Uint8Array;
	readonly zeroPages: number;
	/** How its pages go; absent where the guest does not tell. */
	readonly kinds?: PageKinds;
	/** Bytes that a simulated link charges for; equals `bytes.byteLength` on real guests. */
	readonly wireByteLength: number;
	/** Gives the buffer back. Call it once the bytes have left. */
	release(): void;
}

/** How pages travel, in numbers of pages: see engine/batch.ts. */
export interface PageKinds {
	/** All zeros: nothing but the entry. */
	readonly zero: number;
	/** As the receiver has it: nothing but the entry. */
	readonly unchanged: number;
	/** What has changed since it was sent last. */
	readonly delta: number;
	readonly lz4: number;
	/** The page itself. */
	readonly raw: number;
}

/** What a batch installed. */
export interface AppliedPages {
	readonly pageIndices: Uint32Array;
	/** 16 bytes a page: the hash of what was installed. */
	readonly hashes: Uint8Array;
}

/**
 * Which pages changed. Cursors over one log, so that a move, a history and a replication can run at once: each cursor
 * has its own bits, and what one reads and clears stays set for the others.
 */
export interface DirtyLog {
	/** How changes are found: `writes` (exact), `scan` (comparison with a shadow copy), `barrier`, `page-walk`. */
	readonly tracker: string;
	/** Opens a cursor with no bits set: changes count from the moment it resolves. Attaches the tracker if it is the first. */
	open(): Promise<DirtyCursor>;
}

/** Bit i of byte ⌊i/8⌋ is page `firstPage + i`, least significant bit first. */
export type PageBits = Uint8Array;

/** One reader of a {@link DirtyLog}. */
export interface DirtyCursor {
	/**
	 * Which of these pages are dirty, without clearing anything.
	 * @param firstPage - a multiple of 8.
	 * @param candidates - restricts the answer, and a scan's work, to these pages of the range.
	 */
	peek(firstPage: number, pageCount: number, candidates?: PageBits): Promise<PageBits>;
	/**
	 * Reads and clears in one step, page by page: a change after a page's turn is in the next harvest. The bit is cleared
	 * before the page can be read, so a change is sent twice rather than lost.
	 */
	harvest(): Promise<DirtyPages>;
	/** Sets bits again that an aborted round had harvested. */
	putBack(bits: PageBits): Promise<void>;
	/** Ends this cursor; detaches the tracker with the last one. Safe to call twice. */
	close(): Promise<void>;
}

/** A harvest: bits for pages 0 … pageCount − 1, pages that came into being since the last harvest included. */
export interface DirtyPages {
	readonly bits: PageBits;
	readonly dirtyCount: number;
	readonly pageCount: number;
}

/** Everything of a guest but its pages. */
export interface GuestState {
	/** Facts about the guest as it is now. */
	layout(): GuestLayout;
	/**
	 * CPU and device state (for a wasm guest: globals, tables, dropped segments and what the program's hooks carry).
	 * Only while paused.
	 * @throws {GuestError} `not-paused`, or `state` when something cannot be captured, by name.
	 */
	capture(): Promise<Uint8Array<ArrayBuffer>>;
	/**
	 * Puts captured state into a target whose pages are installed.
	 * @throws {GuestError} `state`; the target is then unusable and must be discarded.
	 */
	restore(bytes: Uint8Array): Promise<void>;
	/** The bytes of a resource (code) that the layout names by hash; `undefined` if there is none. */
	resource(hash: string): Promise<Uint8Array<ArrayBuffer> | undefined>;
}

/** Layout and compatibility facts: plain data, part of the handshake and of every image. */
export interface GuestLayout {
	readonly kind: string;
	readonly pageBytes: number;
	readonly pageCount: number;
	/** How far the guest may grow. */
	readonly maximumPageCount: number;
	/** Code that the target must have, by SHA-256 (hex): sent only if the target lacks it. */
	readonly resources: readonly ResourceFact[];
	/** What must be equal on both sides, by name (program name and version, features, clock and random-number policy). */
	readonly facts: Readonly<Record<string, string>>;
}

/** See {@link GuestLayout.resources}. */
export interface ResourceFact {
	readonly name: string;
	readonly hash: string;
	readonly byteLength: number;
}

/**
 * Builds targets (and later hot standbys and clones). What takes long and does not need the source (memory allocated and
 * pre-faulted, code rewritten and compiled) happens in {@link setUp} and is reported beside the paper's times, never inside.
 */
export interface GuestFactory {
	readonly kind: string;
	/** Reasons why this factory cannot take such a guest; empty if it can. Never allocates. */
	check(layout: GuestLayout, options?: SetUpOptions): readonly Obstacle[];
	/** Hashes of resources that this factory lacks. */
	missing(layout: GuestLayout): readonly string[];
	/**
	 * Allocates and prepares. A set-up that fails leaves nothing behind.
	 * @param resources - bytes for each hash that {@link missing} named, checked against their hash by the caller.
	 * @throws {GuestError} `too-large`, `incompatible`, or `state`.
	 */
	setUp(
		layout: GuestLayout,
		resources: ReadonlyMap<string, Uint8Array<ArrayBuffer>>,
		signal?: AbortSignal,
		options?: SetUpOptions,
	): Promise<PreparedTarget>;
}

/** What a target has to be able to do. */
export interface SetUpOptions {
	/**
	 * It may have to run while pages are missing: what that needs (code rewritten, checks attached) is done in set-up, and
	 * the guest is a `FaultingGuest`. A factory that cannot do this names the obstacle in {@link GuestFactory.check}.
	 */
	readonly faulting?: boolean;
	/**
	 * Its changes are to be found while pages are missing, and its output to be held: the guest is a `GatedGuest`, and its
	 * dirty log works before all pages are there.
	 */
	readonly checkpointed?: boolean;
	/**
	 * Whether to touch the memory ahead of the first page: `true` if left out, because a move must not pay for it. A lazy
	 * restore says `false`: its guest is to answer before most of its memory is needed.
	 */
	readonly prefault?: boolean;
}

/** A target that has not run: paused, its memory zero. */
export interface PreparedTarget {
	readonly guest: Guest;
	/** What {@link GuestFactory.setUp} took, in ms. */
	readonly setupMs: number;
}

/** One reason why a guest cannot be taken. */
export interface Obstacle {
	/** The name of the fact or limit. */
	readonly fact: string;
	/** What the source has, what the target has, and what to do. */
	readonly message: string;
}

/** Why a guest could not do what was asked. */
export type GuestErrorCode =
	| "pause-deadline"
	| "not-paused"
	| "not-running"
	| "gone"
	| "too-large"
	| "incompatible"
	| "state"
	| "missing"
	| "no-driver"
	| "no-answer"
	| "crashed";

/**
 * A guest's own failure. The message says what happened and in what state the guest is now.
 *
 * | code | meaning |
 * | --- | --- |
 * | `pause-deadline` | no pause point in time; the guest runs on |
 * | `not-paused` | the call needs a paused guest |
 * | `not-running` | the call needs a running guest |
 * | `gone` | discarded, or its worker or process has ended |
 * | `too-large` | more pages than the target's limit |
 * | `incompatible` | a fact differs; the message names it |
 * | `state` | state that cannot be captured or restored, by name |
 * | `missing` | pages of a guest in post-copy are not here yet; what can wait for them should be called instead |
 * | `no-driver` | nothing inside the guest drives the device that is needed; the message says what to do |
 * | `no-answer` | what drives it inside the guest has not answered in time; the guest runs on |
 * | `crashed` | the guest's own worker or process failed; its cause is attached |
 */
export class GuestError extends Error {
	override readonly name = "GuestError";
	readonly code: GuestErrorCode;
	constructor(code: GuestErrorCode, message: string, cause?: unknown) {
		super(message, cause === undefined ? undefined : { cause });
		this.code = code;
	}
}
