/** Senders of a memory guest: each an encoder that remembers what it has sent, in an engine of its own. */
import { BatchEncoder } from "../../engine/batch.ts";
import { createEngine, type Engine } from "../../engine/engine.ts";
import type { DeltaControl, PageSender } from "../../ports/delta-guest.ts";
import { GuestError } from "../../ports/guest.ts";
import { encodePages } from "./encode-pages.ts";

/** @param memoryOf - the memory, page 0 first; throws if these pages cannot be read. */
export function memoryDeltas(memoryOf: (pageIndices: Uint32Array) => Uint8Array): DeltaControl {
	return { open: async (sentPages) => openSender(sentPages, memoryOf) };
}

function openSender(sentPages: number, memoryOf: (pageIndices: Uint32Array) => Uint8Array): PageSender {
	const engine = createEngine();
	const encoder = makeEncoder(engine, sentPages);
	return {
		memoryBytes: engine.usedBytes,
		encode: async (pageIndices, options) => encodePages(encoder, memoryOf(pageIndices), pageIndices, options),
		forget: async () => encoder.forgetSent(),
		close: async () => engine.dispose(),
	};
}

/** All that it will need, now: later a move would depend on it. */
function makeEncoder(engine: Engine, sentPages: number): BatchEncoder {
	try {
		const encoder = new BatchEncoder(engine, { sentPages });
		encoder.staging(0);
		return encoder;
	} catch (cause) {
		engine.dispose();
		// Without a cause it is the argument that is wrong.
		if (!(cause instanceof RangeError) || cause.cause === undefined) throw cause;
		throw new GuestError("too-large", `no memory to hold ${sentPages} pages that were sent`, cause);
	}
}
