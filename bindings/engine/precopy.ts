// Xen's pre-copy step over three bitmaps. The rule stands in assembly/precopy.ts.
import { Bitmap } from "./bitmap.ts";
import type { Engine } from "./engine.ts";
import { CELL_OFFSET } from "./layout.ts";
import type { PageList } from "./page-list.ts";

/** What one step did. */
export interface PreCopyStepResult {
	/** Pages now in the list, to be sent. */
	readonly sent: number;
	/** Pages left out because they are dirty again; never counted twice within a round. */
	readonly skipped: number;
	/** The page to go on from; the end of the range when it is done. */
	readonly next: number;
}

/**
 * The bitmaps of one pre-copy and its step. A page is sent iff (`toSend` and not `toSkip`) or (`toSend` and last) or
 * (`toFix` and last).
 *
 * A caller's round: merge the harvested dirty log into `toSend` (`or`, or overwrite it as Xen does), then for each range peek
 * the dirty log into `toSkip` and call {@link step} until `next` reaches the range's end. Sent pages leave `toSend` and
 * `toFix`. Skipped pages stay in `toSend`, and, being only peeked, in the dirty log: no round can lose them.
 *
 * Source: Xen's xc_domain_save; Post-Copy Live Migration of Virtual Machines (Hines et al.), the pre-copy baseline.
 *
 * @example
 * ```ts
 * import { createEngine } from "./engine.ts";
 * import { PageList } from "./page-list.ts";
 * import { PreCopyStep } from "./precopy.ts";
 * const engine = createEngine();
 * const batch = new PageList(engine, 1024);
 * const step = new PreCopyStep(engine, 4096);
 * step.toSend.setAll();
 * step.toSkip.set(3);
 * step.step(batch, 0, 8, false); // { sent: 7, skipped: 1, next: 8 }
 * ```
 */
export class PreCopyStep {
	/** Pages to send in this round. */
	readonly toSend: Bitmap;
	/** Pages already dirty again: a peek of the dirty log, ignored in the last round. */
	readonly toSkip: Bitmap;
	/** Pages that could not be sent while live. */
	readonly toFix: Bitmap;
	readonly #engine: Engine;

	/**
	 * @param pageCount pages of the guest
	 * @throws RangeError for a wrong page count
	 */
	constructor(engine: Engine, pageCount: number) {
		this.#engine = engine;
		this.toSend = new Bitmap(engine, pageCount);
		this.toSkip = new Bitmap(engine, pageCount);
		this.toFix = new Bitmap(engine, pageCount);
	}

	/**
	 * Steps over pages first … first + count − 1 until the list is full.
	 *
	 * @param into receives the page indices to send, ascending; its capacity is the batch size (1024 in Xen)
	 * @param last the guest is paused: skip nothing, add `toFix`
	 * @throws RangeError when the range lies outside the bitmaps
	 */
	step(into: PageList, first: number, count: number, last: boolean): PreCopyStepResult {
		const { toSend, toSkip, toFix } = this;
		toSend.checkRange(first, count);
		if (into.engine !== this.#engine) throw new TypeError("into belongs to another engine");
		const { words, exports } = this.#engine;
		words[CELL_OFFSET >>> 2] = first;
		const sent = exports.precopyStep(
			toSend.region.offset,
			toSkip.region.offset,
			toFix.region.offset,
			toSend.blockCount,
			CELL_OFFSET,
			first + count,
			into.region.offset,
			into.capacity,
			last ? 1 : 0,
		);
		into.length = sent;
		toSend.noteWritten();
		toFix.noteWritten();
		return { sent, skipped: words[(CELL_OFFSET >>> 2) + 1]!, next: words[CELL_OFFSET >>> 2]! };
	}
}
