// Puts batches that were encoded piece by piece together into one: tables first, then payloads, as engine/batch.ts draws it.
import { BATCH_ENTRY_BYTES, BATCH_HEADER_BYTES, type BatchPiece, type EncodedBatch } from "../engine/batch.ts";
import type { PageKinds } from "../ports/guest.ts";

/** Fills an array with the pieces of one batch, in order. */
export class BatchSplicer {
	readonly #into: Uint8Array<ArrayBuffer>;
	readonly #pages: number;
	#table = BATCH_HEADER_BYTES;
	#payload: number;
	#zeroPages = 0;
	#kinds: PageKinds = { zero: 0, unchanged: 0, delta: 0, lz4: 0, raw: 0 };

	/** @param pages of the whole batch */
	constructor(into: Uint8Array<ArrayBuffer>, pages: number) {
		this.#into = into;
		this.#pages = pages;
		this.#payload = BATCH_HEADER_BYTES + pages * BATCH_ENTRY_BYTES;
	}

	/** Where an encoder may put the next piece, for {@link added}. */
	get next(): BatchPiece {
		return { bytes: this.#into, tableAt: this.#table, payloadAt: this.#payload };
	}

	/** The next piece has been encoded into its place. */
	added(piece: EncodedBatch): void {
		const tableBytes = pagesOf(piece) * BATCH_ENTRY_BYTES;
		this.#table += tableBytes;
		this.#payload += piece.byteLength - BATCH_HEADER_BYTES - tableBytes;
		this.#count(piece);
	}

	/** Adds the next piece. */
	add(piece: EncodedBatch): void {
		const { bytes, byteLength } = piece;
		const tableEnd = BATCH_HEADER_BYTES + pagesOf(piece) * BATCH_ENTRY_BYTES;
		this.#into.set(bytes.subarray(BATCH_HEADER_BYTES, tableEnd), this.#table);
		this.#into.set(bytes.subarray(tableEnd, byteLength), this.#payload);
		this.#table += tableEnd - BATCH_HEADER_BYTES;
		this.#payload += byteLength - tableEnd;
		this.#count(piece);
	}

	#count(piece: EncodedBatch): void {
		const kinds = kindsOf(piece);
		this.#zeroPages += kinds.zero;
		this.#kinds = {
			zero: this.#kinds.zero + kinds.zero,
			unchanged: this.#kinds.unchanged + kinds.unchanged,
			delta: this.#kinds.delta + kinds.delta,
			lz4: this.#kinds.lz4 + kinds.lz4,
			raw: this.#kinds.raw + kinds.raw,
		};
	}

	/** Writes the header. @returns the batch's length; its checksum is that of batch-checksum.ts */
	end(): { readonly byteLength: number; readonly zeroPages: number; readonly kinds: PageKinds } {
		const tableEnd = BATCH_HEADER_BYTES + this.#pages * BATCH_ENTRY_BYTES;
		// allowed (bare-error): an invariant of the callers, whose pieces cover the batch
		if (this.#table !== tableEnd) throw new Error("a batch was spliced from too few pieces");
		const view = new DataView(this.#into.buffer, this.#into.byteOffset, BATCH_HEADER_BYTES);
		view.setUint32(0, this.#pages, true);
		view.setUint32(4, 0, true);
		view.setUint32(8, tableEnd - BATCH_HEADER_BYTES, true);
		view.setUint32(12, this.#payload - tableEnd, true);
		return { byteLength: this.#payload, zeroPages: this.#zeroPages, kinds: this.#kinds };
	}
}

function pagesOf({ zeroPages, rawPages, lz4Pages, unchangedPages, deltaPages }: EncodedBatch): number {
	return zeroPages + rawPages + lz4Pages + unchangedPages + deltaPages;
}

/** How the pages of a batch go. */
export function kindsOf({ zeroPages, rawPages, lz4Pages, unchangedPages, deltaPages }: EncodedBatch): PageKinds {
	return { zero: zeroPages, unchanged: unchangedPages, delta: deltaPages, lz4: lz4Pages, raw: rawPages };
}
