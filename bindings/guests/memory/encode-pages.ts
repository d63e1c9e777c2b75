/** One batch out of a memory that lies in this process. */
import { type BatchEncoder, batchHashes, batchLimitBytes } from "../../engine/batch.ts";
import type { EncodeOptions, PageBatch } from "../../ports/guest.ts";
import { kindsOf } from "../batch-splicer.ts";

/** @param memory - page 0 first. */
export function encodePages(
	encoder: BatchEncoder,
	memory: Uint8Array,
	pageIndices: Uint32Array,
	options: EncodeOptions,
): PageBatch {
	const into = new Uint8Array(batchLimitBytes(pageIndices.length));
	const encoded = encoder.encode({ ...options, pageIndices, source: { kind: "memory", bytes: memory }, into });
	const bytes = into.subarray(0, encoded.byteLength);
	return {
		bytes,
		checksum: encoded.checksum,
		pageIndices,
		hashes: batchHashes(bytes, pageIndices.length),
		zeroPages: encoded.zeroPages,
		kinds: kindsOf(encoded),
		wireByteLength: bytes.byteLength,
		release: () => undefined,
	};
}
