/** An encoder that remembers what it has sent: the half of `PageSender` that guests have in common. */
import { BatchEncoder } from "../engine/batch.ts";
import type { Engine } from "../engine/engine.ts";
import { GuestError } from "../ports/guest.ts";

/**
 * Takes all the memory that it will need now: later a move would depend on it.
 *
 * @param engine - its own; disposed of when this fails
 * @throws {GuestError} `too-large` when there is no memory; RangeError for `sentPages` out of range
 */
export function openSentEncoder(engine: Engine, sentPages: number): BatchEncoder {
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
