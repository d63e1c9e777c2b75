/** Whether pages are compressed on their way: the engine's choice by the link's rate, or the caller's. */
import type { EncodeOptions } from "../ports/guest.ts";

/** Asked before each batch. @param bytesPerMs - what the link has carried lately, or its cap; 0 if unknown. */
export type CompressionPolicy = (bytesPerMs: number) => boolean;

/**
 * How to encode the next batch. Without a policy the engine weighs what LZ4 saves against what it costs; a link of unknown
 * rate counts as fast: loopback and unix sockets are the common case.
 *
 * @param bytesPerMs - what the link has carried lately, or its cap; Infinity if unknown.
 */
export function encodeOptionsOf(policy: CompressionPolicy | undefined, bytesPerMs: number): EncodeOptions {
	if (policy === undefined) return { compress: true, linkBytesPerMs: bytesPerMs };
	return { compress: policy(Number.isFinite(bytesPerMs) ? bytesPerMs : 0) };
}
