/**
 * Pages of a paused guest that can be had at once, without a turn of the event loop: what a page server asks for when a
 * guest elsewhere stands still for a page. An exchange with a worker by messages took two thirds of such a wait.
 */
import type { EncodeOptions, GuestPages, PageBatch } from "./guest.ts";

/** See the head of this file. */
export interface PromptPages extends GuestPages {
	/**
	 * The same batch as `encode` makes, now. The calling thread stands still meanwhile, 1 µs a page.
	 *
	 * @param pageIndices - ascending; at most {@link MAX_PROMPT_PAGES}
	 * @returns undefined where that is not possible now (the guest runs, its worker has ended, or the runtime lets no thread
	 *   wait): ask `encode`, which says why.
	 * @throws what `encode` rejects with for its arguments
	 */
	encodeNow(pageIndices: Uint32Array, options: EncodeOptions): PageBatch | undefined;
}

/** Most pages of one batch that is made at once: longer the caller must not stand still. */
export const MAX_PROMPT_PAGES = 64;

/** Whether pages are {@link PromptPages}. */
export function arePromptPages(pages: GuestPages): pages is PromptPages {
	return "encodeNow" in pages;
}
