/** Senders of a memory guest: each an encoder that remembers what it has sent, in an engine of its own. */
import { BatchEncoder, batchHashes, batchLimitBytes } from "../../engine/batch.ts";
import { createEngine } from "../../engine/engine.ts";
import type { DeltaControl, PageSender } from "../../ports/delta-guest.ts";
import type { PageBatch } from "../../ports/guest.ts";
import { kindsOf } from "../batch-splicer.ts";

/** @param memoryOf - the memory, page 0 first; throws if these pages cannot be read. */
export function memoryDeltas(memoryOf: (pageIndices: Uint32Array) => Uint8Array): DeltaControl {
	return { open: async (sentPages) => openSender(sentPages, memoryOf) };
}

function openSender(sentPages: number, memoryOf: (pageIndices: Uint32Array) => Uint8Array): PageSender {
	const engine = createEngine();
	const encoder = new BatchEncoder(engine, { sentPages });
	return {
		memoryBytes: engine.usedBytes,
		encode: async (pageIndices, options): Promise<PageBatch> => {
			const into = new Uint8Array(batchLimitBytes(pageIndices.length));
			const source = { kind: "memory", bytes: memoryOf(pageIndices) } as const;
			const encoded = encoder.encode({ ...options, pageIndices, source, into });
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
		},
		forget: async () => encoder.forgetSent(),
		close: async () => engine.dispose(),
	};
}
