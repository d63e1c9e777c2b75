/**
 * Whether trying to compress pays on this link. LZ4 in the engine takes roughly as long per byte as a link of a few
 * hundred megabytes per second; above that an incompressible page only loses time.
 */

/** Asked before each batch. @param bytesPerMs - what the link has carried lately, or its cap; 0 if unknown. */
export type CompressionPolicy = (bytesPerMs: number) => boolean;

/** A link slower than this gains from LZ4 on ordinary memory: 400 MB/s. */
const WORTHWHILE_BYTES_PER_MS = 400_000;

/** Compresses on slow links only. An unknown rate counts as fast: loopback and unix sockets are the common case. */
export const compressOnSlowLinks: CompressionPolicy = (bytesPerMs) =>
	bytesPerMs > 0 && bytesPerMs < WORTHWHILE_BYTES_PER_MS;
