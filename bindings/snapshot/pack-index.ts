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
import { type BatchEntry, isLengthOf, KINDS } from "./pack-batch.ts";

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
	append(frameOffset: number, batch: readonly BatchEntry[]): number {
		const first = this.#entries;
		this.#reserve(first + batch.length);
		for (const [i, { hash, offset, payload, kind, pageIndex }] of batch.entries()) {
			const at = (first + i) * INDEX_ENTRY_BYTES;
			this.#bytes.set(hash, at);
			this.#view.setUint32(at + 16, frameOffset, true);
			this.#view.setUint32(at + 20, offset, true);
			this.#view.setUint32(at + 24, payload.byteLength | (kind << 24), true);
			this.#view.setUint32(at + 28, pageIndex, true);
		}
		this.#entries = first + batch.length;
		return first;
	}

	/** Whether it says of these entries what the batch itself says. */
	agrees(first: number, frameOffset: number, batch: readonly BatchEntry[]): boolean {
		return batch.every(({ hash, offset, payload, kind, pageIndex }, i) => {
			const entry = first + i;
			return (
				entry < this.#entries &&
				this.frameOffset(entry) === frameOffset &&
				this.payloadOffset(entry) === offset &&
				this.byteLength(entry) === payload.byteLength &&
				this.kind(entry) === kind &&
				this.pageIndex(entry) === pageIndex &&
				isSame(this.hash(entry), hash)
			);
		});
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

/** Whether two runs of bytes are equal. */
export function isSame(one: Uint8Array, other: Uint8Array): boolean {
	if (one.byteLength !== other.byteLength) return false;
	for (let i = 0; i < one.byteLength; i++) if (one[i] !== other[i]) return false;
	return true;
}
