/**
 * Batches as bytes: their tables read, and new ones put together from payloads that exist. Contents are never expanded nor
 * compressed here. The layout is that of `engine/batch.ts`.
 */
import { BATCH_ENTRY_BYTES, BATCH_HEADER_BYTES } from "../engine/batch.ts";
import type { Engine } from "../engine/engine.ts";
import { hash64 } from "../engine/hash.ts";
import { type EncodedBatch, MAX_BATCH_PAGES, PAGE_BYTES } from "../ports/guest.ts";
import { type Place, SnapshotError } from "./image-error.ts";

/** Kinds of payload that stand for themselves. Deltas and `unchanged` need a receiver's memory: no image has them. */
export const KINDS = { zero: 0, raw: 1, lz4: 2 } as const;

/** One page of a batch. */
export interface BatchEntry {
	readonly pageIndex: number;
	/** XXH3-128 of the content. A view. */
	readonly hash: Uint8Array;
	readonly kind: number;
	/** A view. */
	readonly payload: Uint8Array;
	/** Where the payload begins in the batch. */
	readonly offset: number;
}

/**
 * The pages of a batch, its structure checked: what the engine's decoder checks too, but contents.
 * @param pageCount - no page may lie beyond it.
 * @throws {SnapshotError} `corrupt`.
 */
export function readBatch(bytes: Uint8Array, pageCount: number, place: Place = {}): BatchEntry[] {
	const fail = (message: string, pageIndex?: number): never => {
		throw new SnapshotError("corrupt", message, pageIndex === undefined ? place : { ...place, pageIndex });
	};
	const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
	if (bytes.byteLength < BATCH_HEADER_BYTES) return fail("the batch is shorter than its header");
	const count = view.getUint32(0, true);
	const tableBytes = count * BATCH_ENTRY_BYTES;
	if (count > MAX_BATCH_PAGES || view.getUint32(4, true) !== 0 || view.getUint32(8, true) !== tableBytes)
		return fail("the batch's header makes no sense");
	let offset = BATCH_HEADER_BYTES + tableBytes;
	if (offset + view.getUint32(12, true) !== bytes.byteLength) return fail("the batch has another length");
	const entries: BatchEntry[] = [];
	let least = 0;
	for (let i = 0, at = BATCH_HEADER_BYTES; i < count; i++, at += BATCH_ENTRY_BYTES) {
		const pageIndex = view.getUint32(at, true);
		const kind = view.getUint8(at + 7);
		const length = view.getUint32(at + 4, true) & 0xff_ffff;
		if (pageIndex < least || pageIndex >= pageCount)
			return fail("the batch's pages are out of order or range", pageIndex);
		if (!isLengthOf(kind, length)) return fail(`a payload of kind ${kind} has no ${length} bytes`, pageIndex);
		if (offset + length > bytes.byteLength) return fail("the batch ends within a payload", pageIndex);
		entries.push({
			pageIndex,
			hash: bytes.subarray(at + 8, at + BATCH_ENTRY_BYTES),
			kind,
			payload: bytes.subarray(offset, offset + length),
			offset,
		});
		offset += length;
		least = pageIndex + 1;
	}
	if (offset !== bytes.byteLength) return fail("the batch's payloads do not add up");
	return entries;
}

/** Whether a payload of an image can be so long. */
export function isLengthOf(kind: number, length: number): boolean {
	if (kind === KINDS.zero) return length === 0;
	if (kind === KINDS.raw) return length === PAGE_BYTES;
	return kind === KINDS.lz4 && length > 0 && length < PAGE_BYTES;
}

/** What a new batch is made of. */
export type BatchPart = Omit<BatchEntry, "offset">;

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
		bytes.set(hash, at + 8);
		bytes.set(payload, offset);
		offset += payload.byteLength;
	}
	return { bytes, checksum: hash64(engine, bytes) };
}
