// Puts batches that were encoded piece by piece together into one: tables first, then payloads, as engine/batch.ts draws it.
import { BATCH_ENTRY_BYTES, BATCH_HEADER_BYTES, type BatchPiece, type EncodedBatch } from "../engine/batch.ts";

/** Fills an array with the pieces of one batch, in order. */
export class BatchSplicer {
	readonly #into: Uint8Array<ArrayBuffer>;
	readonly #pages: number;
	#table = BATCH_HEADER_BYTES;
	#payload: number;
	#zeroPages = 0;

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
		this.#zeroPages += piece.zeroPages;
	}

	/** Adds the next piece. */
	add(piece: EncodedBatch): void {
		const { bytes, byteLength, zeroPages } = piece;
		const tableEnd = BATCH_HEADER_BYTES + pagesOf(piece) * BATCH_ENTRY_BYTES;
		this.#into.set(bytes.subarray(BATCH_HEADER_BYTES, tableEnd), this.#table);
		this.#into.set(bytes.subarray(tableEnd, byteLength), this.#payload);
		this.#table += tableEnd - BATCH_HEADER_BYTES;
		this.#payload += byteLength - tableEnd;
		this.#zeroPages += zeroPages;
	}

	/** Writes the header. @returns the batch's length; its checksum is that of batch-checksum.ts */
	end(): { readonly byteLength: number; readonly zeroPages: number } {
		const tableEnd = BATCH_HEADER_BYTES + this.#pages * BATCH_ENTRY_BYTES;
		// allowed (bare-error): an invariant of the callers, whose pieces cover the batch
		if (this.#table !== tableEnd) throw new Error("a batch was spliced from too few pieces");
		const view = new DataView(this.#into.buffer, this.#into.byteOffset, BATCH_HEADER_BYTES);
		view.setUint32(0, this.#pages, true);
		view.setUint32(4, 0, true);
		view.setUint32(8, tableEnd - BATCH_HEADER_BYTES, true);
		view.setUint32(12, this.#payload - tableEnd, true);
		return { byteLength: this.#payload, zeroPages: this.#zeroPages };
	}
}

function pagesOf({ zeroPages, rawPages, lz4Pages, unchangedPages, deltaPages }: EncodedBatch): number {
	return zeroPages + rawPages + lz4Pages + unchangedPages + deltaPages;
}
