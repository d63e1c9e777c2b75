/**
 * Batches as bytes: their tables read, and new ones put together from payloads that exist. Contents are never expanded nor
 * compressed here. The layout is that of `engine/batch.ts`.
 */
import { BATCH_ENTRY_BYTES, BATCH_HEADER_BYTES, batchChecksum } from "../engine/batch.ts";
import type { Engine } from "../engine/engine.ts";
import { type EncodedBatch, MAX_BATCH_PAGES, PAGE_BYTES } from "../ports/guest.ts";
import { type Place, SnapshotError } from "./image-error.ts";

/** Kinds of payload that stand for themselves. Deltas and `unchanged` need a receiver's memory: no image has them. */
export const KINDS = { zero: 0, raw: 1, lz4: 2 } as const;

/** Where the hash is in an entry. */
const HASH_AT = 8;

/** The pages of a batch, its structure checked: what the engine's decoder checks too, but contents. */
export class BatchTable {
	readonly bytes: Uint8Array;
	readonly count: number;
	readonly #view: DataView;
	/** Where each payload begins in the batch. */
	readonly #offsets: Uint32Array<ArrayBuffer>;

	/**
	 * @param pageCount - no page may lie beyond it.
	 * @throws {SnapshotError} `corrupt`.
	 */
	constructor(bytes: Uint8Array, pageCount: number, place: Place = {}) {
		this.bytes = bytes;
		this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
		const fail = (message: string, pageIndex?: number): never => {
			throw new SnapshotError("corrupt", message, pageIndex === undefined ? place : { ...place, pageIndex });
		};
		if (bytes.byteLength < BATCH_HEADER_BYTES) fail("the batch is shorter than its header");
		this.count = this.#view.getUint32(0, true);
		const tableBytes = this.count * BATCH_ENTRY_BYTES;
		if (
			this.count > MAX_BATCH_PAGES ||
			this.#view.getUint32(4, true) !== 0 ||
			this.#view.getUint32(8, true) !== tableBytes
		)
			fail("the batch's header makes no sense");
		let offset = BATCH_HEADER_BYTES + tableBytes;
		if (offset + this.#view.getUint32(12, true) !== bytes.byteLength) fail("the batch has another length");
		this.#offsets = new Uint32Array(this.count);
		let least = 0;
		for (let i = 0; i < this.count; i++) {
			const pageIndex = this.pageIndex(i);
			const byteLength = this.byteLength(i);
			if (pageIndex < least || pageIndex >= pageCount) fail("a batch's pages are out of order or range", pageIndex);
			if (!isLengthOf(this.kind(i), byteLength))
				fail(`a payload of kind ${this.kind(i)} has no ${byteLength} bytes`, pageIndex);
			this.#offsets[i] = offset;
			offset += byteLength;
			least = pageIndex + 1;
		}
		if (offset !== bytes.byteLength) fail("the batch's payloads do not add up");
	}

	pageIndex(i: number): number {
		return this.#view.getUint32(BATCH_HEADER_BYTES + i * BATCH_ENTRY_BYTES, true);
	}

	kind(i: number): number {
		return this.#view.getUint8(BATCH_HEADER_BYTES + i * BATCH_ENTRY_BYTES + 7);
	}

	/** Bytes of the payload. */
	byteLength(i: number): number {
		return this.#view.getUint32(BATCH_HEADER_BYTES + i * BATCH_ENTRY_BYTES + 4, true) & 0xff_ffff;
	}

	/** Where the payload begins in the batch. */
	offset(i: number): number {
		return this.#offsets[i]!;
	}

	/** Word 0 … 3 of the content's XXH3-128. */
	hashWord(i: number, word: number): number {
		return this.#view.getUint32(BATCH_HEADER_BYTES + i * BATCH_ENTRY_BYTES + HASH_AT + 4 * word, true);
	}

	/** XXH3-128 of the content. A view. */
	hash(i: number): Uint8Array {
		const at = BATCH_HEADER_BYTES + i * BATCH_ENTRY_BYTES + HASH_AT;
		return this.bytes.subarray(at, at + 16);
	}

	/** A view. */
	payload(i: number): Uint8Array {
		return this.bytes.subarray(this.#offsets[i]!, this.#offsets[i]! + this.byteLength(i));
	}

	/** One page, to make another batch of. Views. */
	part(i: number): BatchPart {
		return { pageIndex: this.pageIndex(i), hash: this.hash(i), kind: this.kind(i), payload: this.payload(i) };
	}
}

/** Whether a payload of an image can be so long. */
export function isLengthOf(kind: number, length: number): boolean {
	if (kind === KINDS.zero) return length === 0;
	if (kind === KINDS.raw) return length === PAGE_BYTES;
	return kind === KINDS.lz4 && length > 0 && length < PAGE_BYTES;
}

/** One page of a new batch. */
export interface BatchPart {
	readonly pageIndex: number;
	/** XXH3-128 of the content. */
	readonly hash: Uint8Array;
	readonly kind: number;
	readonly payload: Uint8Array;
}

/** A batch of these pages, in ascending order. */
export function assembleBatch(engine: Engine, parts: readonly BatchPart[]): EncodedBatch {
	const payloadBytes = parts.reduce((sum, { payload }) => sum + payload.byteLength, 0);
	const tableBytes = parts.length * BATCH_ENTRY_BYTES;
	const bytes = new Uint8Array(BATCH_HEADER_BYTES + tableBytes + payloadBytes);
	const view = new DataView(bytes.buffer);
	view.setUint32(0, parts.length, true);
	view.setUint32(8, tableBytes, true);
	view.setUint32(12, payloadBytes, true);
	let offset = BATCH_HEADER_BYTES + tableBytes;
	for (const [i, { pageIndex, hash, kind, payload }] of parts.entries()) {
		const at = BATCH_HEADER_BYTES + i * BATCH_ENTRY_BYTES;
		view.setUint32(at, pageIndex, true);
		view.setUint32(at + 4, payload.byteLength | (kind << 24), true);
		bytes.set(hash, at + HASH_AT);
		bytes.set(payload, offset);
		offset += payload.byteLength;
	}
	return { bytes, checksum: batchChecksum(engine, bytes) };
}
