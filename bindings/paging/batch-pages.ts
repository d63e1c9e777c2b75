/** The pages that a batch names, read from its table before anything of it has been verified. */
import { BATCH_ENTRY_BYTES, BATCH_HEADER_BYTES } from "../engine/batch.ts";

/**
 * @returns what the table says; nothing if it does not fit the bytes. Good for bookkeeping that the batch's verification
 *   confirms or undoes, never for memory.
 */
export function pagesNamedBy(bytes: Uint8Array): number[] {
	if (bytes.byteLength < BATCH_HEADER_BYTES) return [];
	const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
	const count = view.getUint32(0, true);
	if (BATCH_HEADER_BYTES + count * BATCH_ENTRY_BYTES > bytes.byteLength) return [];
	return Array.from({ length: count }, (_, i) => view.getUint32(BATCH_HEADER_BYTES + i * BATCH_ENTRY_BYTES, true));
}
