/** Senders of a memory guest: each an encoder that remembers what it has sent, in an engine of its own. */
import { createEngine } from "../../engine/engine.ts";
import type { DeltaControl, PageSender } from "../../ports/delta-guest.ts";
import { openSentEncoder } from "../sent-encoder.ts";
import { encodePages } from "./encode-pages.ts";

/** @param memoryOf - the memory, page 0 first; throws if these pages cannot be read. */
export function memoryDeltas(memoryOf: (pageIndices: Uint32Array) => Uint8Array): DeltaControl {
	return { open: async (sentPages) => openSender(sentPages, memoryOf) };
}

function openSender(sentPages: number, memoryOf: (pageIndices: Uint32Array) => Uint8Array): PageSender {
	const engine = createEngine();
	const encoder = openSentEncoder(engine, sentPages);
	return {
		memoryBytes: engine.usedBytes,
		encode: async (pageIndices, options) => encodePages(encoder, memoryOf(pageIndices), pageIndices, options),
		forget: async () => encoder.forgetSent(),
		close: async () => engine.dispose(),
	};
}
