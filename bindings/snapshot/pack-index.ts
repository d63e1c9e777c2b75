/**
 * What a pack holds: the index at its end, read from its bytes, or grown while the pack is written.
 *
 *   entry, 32 bytes      0               16           20            24              27         28           32
 *                        ┌───────────────┬────────────┬─────────────┬───────────────┬──────────┬────────────┐
 *                        │ XXH3-128 of   │ frame      │ payload     │ stored length │ kind     │ page index │
 *                        │ the content   │ offset u32 │ offset u32  │ u24           │ u8       │ u32        │
 *                        └───────────────┴────────────┴─────────────┴───────────────┴──────────┴────────────┘
 *
 *   frame offset    where the header of the batch begins in the pack; entries of one batch follow each other
 *   payload offset  where the payload begins in the batch
 *   page index      as the batch has it: that of the page from which the content was first stored
 */

import { MAX_BATCH_BYTES } from "../wire/limits.ts";
import { type Place, SnapshotError } from "./image-error.ts";
import { INDEX_ENTRY_BYTES, MAX_PACK_BYTES, MAX_PACK_ENTRIES } from "./image-limits.ts";
import { type BatchTable, isLengthOf, KINDS } from "./pack-batch.ts";

const FIRST_ENTRIES = 1024;

/** See the head of this file. */
export class PackIndex {
	#bytes: Uint8Array<ArrayBuffer>;
	#view: DataView;
	#entries: number;

	/**
	 * An empty index, or one from a pack.
	 * @throws {SnapshotError} `corrupt` for entries that make no sense.
	 */
	constructor(payload?: Uint8Array<ArrayBuffer>, place: Place = {}) {
		this.#bytes = payload ?? new Uint8Array(FIRST_ENTRIES * INDEX_ENTRY_BYTES);
		this.#view = new DataView(this.#bytes.buffer, this.#bytes.byteOffset, this.#bytes.byteLength);
		this.#entries = payload === undefined ? 0 : payload.byteLength / INDEX_ENTRY_BYTES;
		if (!Number.isInteger(this.#entries) || this.#entries > MAX_PACK_ENTRIES)
			throw new SnapshotError("corrupt", "is no whole number of entries", place);
		for (let entry = 0; entry < this.#entries; entry++)
			if (!this.#isPossible(entry)) throw new SnapshotError("corrupt", `entry ${entry} makes no sense`, place);
	}

	get entries(): number {
		return this.#entries;
	}

	/** The index record's payload. A view. */
	get payload(): Uint8Array<ArrayBuffer> {
		return this.#bytes.subarray(0, this.#entries * INDEX_ENTRY_BYTES);
	}

	/** Bytes it holds. */
	get memoryBytes(): number {
		return this.#bytes.byteLength;
	}

	/** XXH3-128 of an entry's content. A view. */
	hash(entry: number): Uint8Array<ArrayBuffer> {
		return this.#bytes.subarray(entry * INDEX_ENTRY_BYTES, entry * INDEX_ENTRY_BYTES + 16);
	}

	/** Word 0 … 3 of the hash. */
	hashWord(entry: number, word: number): number {
		return this.#view.getUint32(entry * INDEX_ENTRY_BYTES + 4 * word, true);
	}

	/** Where the header of its batch begins in the pack. */
	frameOffset(entry: number): number {
		return this.#view.getUint32(entry * INDEX_ENTRY_BYTES + 16, true);
	}

	/** Where its payload begins in the batch. */
	payloadOffset(entry: number): number {
		return this.#view.getUint32(entry * INDEX_ENTRY_BYTES + 20, true);
	}

	/** Bytes of its payload. */
	byteLength(entry: number): number {
		return this.#view.getUint32(entry * INDEX_ENTRY_BYTES + 24, true) & 0xff_ffff;
	}

	kind(entry: number): number {
		return this.#view.getUint8(entry * INDEX_ENTRY_BYTES + 27);
	}

	pageIndex(entry: number): number {
		return this.#view.getUint32(entry * INDEX_ENTRY_BYTES + 28, true);
	}

	/** Adds the entries of a batch whose header begins at `frameOffset`. @returns the first one's number. */
	append(frameOffset: number, batch: BatchTable): number {
		const first = this.#entries;
		this.#reserve(first + batch.count);
		const view = this.#view;
		for (let i = 0; i < batch.count; i++) {
			const at = (first + i) * INDEX_ENTRY_BYTES;
			for (let word = 0; word < 4; word++) view.setUint32(at + 4 * word, batch.hashWord(i, word), true);
			view.setUint32(at + 16, frameOffset, true);
			view.setUint32(at + 20, batch.offset(i), true);
			view.setUint32(at + 24, batch.byteLength(i) | (batch.kind(i) << 24), true);
			view.setUint32(at + 28, batch.pageIndex(i), true);
		}
		this.#entries = first + batch.count;
		return first;
	}

	/** Whether it says of the entries from `first` on what the batch itself says. */
	agrees(first: number, frameOffset: number, batch: BatchTable): boolean {
		if (first + batch.count > this.#entries) return false;
		for (let i = 0; i < batch.count; i++) {
			const entry = first + i;
			const isEqual =
				this.frameOffset(entry) === frameOffset &&
				this.payloadOffset(entry) === batch.offset(i) &&
				this.byteLength(entry) === batch.byteLength(i) &&
				this.kind(entry) === batch.kind(i) &&
				this.pageIndex(entry) === batch.pageIndex(i);
			if (!isEqual) return false;
			for (let word = 0; word < 4; word++) if (this.hashWord(entry, word) !== batch.hashWord(i, word)) return false;
		}
		return true;
	}

	#isPossible(entry: number): boolean {
		const byteLength = this.byteLength(entry);
		return (
			this.kind(entry) !== KINDS.zero &&
			isLengthOf(this.kind(entry), byteLength) &&
			this.payloadOffset(entry) + byteLength <= MAX_BATCH_BYTES &&
			this.frameOffset(entry) < MAX_PACK_BYTES
		);
	}

	#reserve(entries: number): void {
		if (entries * INDEX_ENTRY_BYTES <= this.#bytes.byteLength) return;
		const bytes = new Uint8Array(Math.max(entries * INDEX_ENTRY_BYTES, 2 * this.#bytes.byteLength));
		bytes.set(this.#bytes);
		this.#bytes = bytes;
		this.#view = new DataView(bytes.buffer);
	}
}

/** Whether two runs of bytes are equal. By words, 4 times as fast as byte by byte: pages that are shared all come here. */
export function isSame(one: Uint8Array, other: Uint8Array): boolean {
	const { byteLength } = one;
	if (byteLength !== other.byteLength) return false;
	const views = [one, other].map((bytes) => new DataView(bytes.buffer, bytes.byteOffset, byteLength));
	const [a, b] = [views[0]!, views[1]!];
	const whole = byteLength - (byteLength % 4);
	for (let at = 0; at < whole; at += 4) if (a.getInt32(at) !== b.getInt32(at)) return false;
	for (let at = whole; at < byteLength; at++) if (a.getUint8(at) !== b.getUint8(at)) return false;
	return true;
}
