/** The words of a broken stream, the same on every platform. */
import type { StreamAddress } from "../ports/byte-stream.ts";
import { LinkError } from "../ports/link.ts";
import { describeAddress } from "./addresses.ts";

/** The connection broke. */
export const streamLost = (cause: unknown): LinkError =>
	new LinkError("lost", `the connection broke: ${messageOf(cause)}`, cause);

/** This side called `abort`. */
export const streamAborted = (reason: unknown): LinkError =>
	new LinkError("aborted", `this side dropped the connection: ${messageOf(reason)}`, reason);

/** This side called `close`. */
export const streamClosed = (): LinkError => new LinkError("closed", "this side has closed the stream");

/** A connection that was not made. */
export const connectRefused = (address: StreamAddress, cause: unknown): LinkError =>
	new LinkError("refused", `cannot connect to ${describeAddress(address)}: ${messageOf(cause)}`, cause);

/** An address that cannot be listened on. */
export const listenRefused = (address: StreamAddress, cause: unknown): LinkError =>
	new LinkError("refused", `cannot listen on ${describeAddress(address)}: ${messageOf(cause)}`, cause);

/** What a thrown value says. */
export function messageOf(cause: unknown): string {
	return cause instanceof Error ? cause.message : String(cause);
}

/** The system's name of an error (`ECONNRESET`), where it has one. */
export function systemCodeOf(error: unknown): string | undefined {
	if (typeof error !== "object" || error === null || !("code" in error)) return undefined;
	return typeof error.code === "string" ? error.code : undefined;
}
