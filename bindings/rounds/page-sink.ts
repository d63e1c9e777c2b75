/** Where encoded pages go: a link to a target, a file, a keeper. */
import type { PageBatch } from "../ports/guest.ts";

/** See the head of this file. Techniques give one to the iteration engine. */
export interface PageSink {
	/**
	 * Takes a batch. Resolves when its buffer may be reused; calls may overlap and keep their order.
	 * @throws what the sink's medium throws; the iteration then ends with that error.
	 */
	accept(batch: PageBatch, signal: AbortSignal): Promise<void>;
	/**
	 * Waits until little of what was accepted is still on its way, so that what comes next need not queue behind it. A sink
	 * from which nothing is on its way any longer once it is accepted has none.
	 */
	settle?(signal: AbortSignal): Promise<void>;
	/** The guest has grown to this many pages: said before any page that is new. */
	grow(pageCount: number, signal: AbortSignal): Promise<void>;
}
