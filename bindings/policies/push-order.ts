/**
 * Which pages go to the target unasked after a post-copy switch, and in which order. Plain data: a technique hands it to
 * the page server, a report can print it.
 *
 * Source: spec section 1 (Hines et al., demand paging, active push, prepaging by bubbling); *turns* and the sweep are
 * ours, see assembly/bubble.ts.
 */

/** See the head of this file. Each variant adds to the one before. */
export type PushOrder =
	/** Nothing goes unasked. Ends only when the guest has touched every page, or with `pushAfterMs`. */
	| { readonly variant: "demand"; readonly pushAfterMs?: number }
	/** Everything goes in position order, whatever the faults. */
	| { readonly variant: "push" }
	/** Bubbles grow around the latest faults; see {@link prepaging}. */
	| {
			readonly variant: "prepaging";
			readonly pivots: number;
			readonly direction: "dual" | "forward" | "backward";
			readonly order: "edges" | "turns";
	  };

/** What {@link prepaging} takes. */
export interface PrepagingOptions {
	/** Faults around which bubbles grow at a time: 7 by default with edges (the paper's best, PC-8), 3 with turns. */
	readonly pivots?: number;
	/** Where they grow; `dual` by default. */
	readonly direction?: "dual" | "forward" | "backward";
	/** `edges` rotates as the paper does (default), `turns` follows the direction in which the guest is seen to go. */
	readonly order?: "edges" | "turns";
}

/**
 * Demand paging alone: the paper's first variant.
 * @param pushAfterMs - when to push the rest after all, in ms from the switch; never by default.
 * @throws RangeError
 */
export function demandPaging(pushAfterMs?: number): PushOrder {
	if (pushAfterMs === undefined) return { variant: "demand" };
	if (!(pushAfterMs >= 0)) throw new RangeError(`pushAfterMs: must be 0 or more, got ${pushAfterMs}`);
	return { variant: "demand", pushAfterMs };
}

/** Active push in position order: the paper's second variant. */
export function activePush(): PushOrder {
	return { variant: "push" };
}

/**
 * Prepaging by bubbling: the paper's third variant, and the default.
 * @throws RangeError for fewer than 1 or more than 64 pivots.
 */
export function prepaging(options: PrepagingOptions = {}): PushOrder {
	const { order = "edges", direction = "dual", pivots = order === "turns" ? 3 : 7 } = options;
	if (!Number.isInteger(pivots) || pivots < 1 || pivots > 64)
		throw new RangeError(`pivots: must be an integer from 1 to 64, got ${pivots}`);
	return { variant: "prepaging", pivots, direction, order };
}
