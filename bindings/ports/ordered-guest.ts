/**
 * A guest that knows in which order its pages were used: post-copy pushes them in that order, most recently used first.
 *
 *   order.open() ─▶ uses are noted (or sampled: marks of the access checks, referenced bits) ─▶ recentFirst() ─▶ close()
 *
 * Nothing is noted while no cursor is open, so the guest pays only while somebody wants to know.
 *
 * Source: spec section 1, Hines et al., proactive LRU ordering.
 */
import type { Guest } from "./guest.ts";

/** See the head of this file. */
export interface OrderedGuest extends Guest {
	readonly order: PageOrder;
}

/** The order of pages by last use. */
export interface PageOrder {
	/**
	 * `uses`: every use is noted, at next to no cost. `accesses`: reads and writes are sampled, at a cost while a cursor is
	 * open. `writes`: only writes are.
	 */
	readonly source: "uses" | "accesses" | "writes";
	/** Uses count from the moment it resolves, or from an earlier cursor's that is still open: they share what is known. */
	open(): Promise<OrderCursor>;
}

/** One reader of a {@link PageOrder}. */
export interface OrderCursor {
	/**
	 * Pages that were used, the last one first, each once. Pages that were never used while anybody looked are not in it.
	 * Exact for some guests; as fine as its samples for others.
	 */
	recentFirst(): Promise<Uint32Array<ArrayBuffer>>;
	/** Ends this cursor. Safe to call twice. */
	close(): Promise<void>;
}

/** Whether a guest is an {@link OrderedGuest}. */
export function isOrderedGuest(guest: Guest): guest is OrderedGuest {
	return "order" in guest;
}
