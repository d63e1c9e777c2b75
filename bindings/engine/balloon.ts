// Dynamic self-ballooning (DSB), the accounting. The rule and its source stand in assembly/balloon.ts.
import { Bitmap } from "./bitmap.ts";
import { checkInteger, type Engine, type Region } from "./engine.ts";
import type { PageList } from "./page-list.ts";

/** What the loop should do in one interval. */
export type BalloonStep =
	| { readonly kind: "inflate" | "deflate"; readonly pages: number; readonly target: number }
	| { readonly kind: "hold"; readonly reason: "back-off" | "at-target" };

/** Options of a {@link BalloonAccount}. */
export interface BalloonOptions {
	/** Share of the available memory (balloon + free) the balloon aims at, in percent. 95 by default; 5 stay as a buffer. */
	readonly targetPercent?: number;
	/** Intervals for which the balloon is held after memory pressure. 10 by default. */
	readonly backOffIntervals?: number;
}

/** Pages given back when memory pressure does not say how many. */
export const PRESSURE_PAGES: number = 128;

const STATE_BYTES = 64;

/**
 * Keeps one guest's balloon: its size, what is free, when to inflate and when to hold, and which pages are out. Pages that are
 * {@link out} are never transferred and come up as zeros at the target.
 *
 * The account decides how much; the guest's own driver decides which pages and tells it by {@link inflated} and
 * {@link deflated}. The loop runs every 5 s (4 … 10 s is harmless, PC-9).
 *
 * Source: Hines et al., Post-Copy Live Migration of Virtual Machines, dynamic self-ballooning.
 *
 * @example
 * ```ts
 * import { BalloonAccount } from "./balloon.ts";
 * import { createEngine } from "./engine.ts";
 * import { PageList } from "./page-list.ts";
 * const engine = createEngine();
 * const account = new BalloonAccount(engine, 1000);
 * account.interval(400); // { kind: "inflate", pages: 380, target: 380 }
 * const pages = new PageList(engine, 380);
 * pages.load(Uint32Array.from({ length: 380 }, (_, i) => i));
 * account.inflated(pages); // 380
 * account.pressure(); // { pages: 128, left: 252 }
 * ```
 */
export class BalloonAccount {
	/** Pages in the balloon now, as a set of page indices. Read it; change it only through this account. */
	readonly out: Bitmap;
	readonly #engine: Engine;
	readonly #state: Region;

	/**
	 * @param pageCount pages of the guest
	 * @throws RangeError for a wrong page count or option
	 */
	constructor(engine: Engine, pageCount: number, options: BalloonOptions = {}) {
		const { targetPercent = 95, backOffIntervals = 10 } = options;
		checkInteger("options.targetPercent", targetPercent, 0, 100);
		checkInteger("options.backOffIntervals", backOffIntervals, 0, 0xffffffff);
		this.#engine = engine;
		this.out = new Bitmap(engine, pageCount);
		this.#state = engine.allocate(STATE_BYTES);
		engine.exports.balloonStart(this.#state.offset, targetPercent, backOffIntervals);
	}

	/** Pages in the balloon. */
	get size(): number {
		return this.#word(0);
	}

	/** Free pages: the last report, corrected by what was inflated and deflated since. */
	get free(): number {
		return this.#word(4);
	}

	/** Intervals for which the balloon will still be held. */
	get backOffLeft(): number {
		return this.#word(8);
	}

	/**
	 * One turn of the loop.
	 *
	 * @param freePages what the guest reports free now
	 * @returns what to do until the next turn: inflate *to* 95 % of balloon + free, or hold
	 * @throws RangeError when more is free than the guest has outside the balloon
	 */
	interval(freePages: number): BalloonStep {
		checkInteger("freePages", freePages, 0, this.out.bitCount - this.size);
		const backingOff = this.backOffLeft > 0;
		const target = this.#engine.exports.balloonInterval(this.#state.offset, freePages) >>> 0;
		const difference = target - this.size;
		if (difference === 0) return { kind: "hold", reason: backingOff ? "back-off" : "at-target" };
		return { kind: difference > 0 ? "inflate" : "deflate", pages: Math.abs(difference), target };
	}

	/**
	 * Memory pressure in the guest: it must get pages back now. Starts the back-off anew.
	 *
	 * @param pages asked for
	 * @returns the pages to deflate by, and the balloon's size that will be left
	 * @throws RangeError
	 */
	pressure(pages: number = PRESSURE_PAGES): { readonly pages: number; readonly left: number } {
		checkInteger("pages", pages, 0, this.out.bitCount);
		const granted = this.#engine.exports.balloonPressure(this.#state.offset, pages) >>> 0;
		return { pages: granted, left: this.size - granted };
	}

	/**
	 * The guest has put these pages into the balloon.
	 *
	 * @returns pages that were not in it before
	 * @throws RangeError for a page beyond the guest
	 */
	inflated(pages: PageList): number {
		return this.#change("balloonInflate", pages);
	}

	/**
	 * The guest has taken these pages back.
	 *
	 * @returns pages that were in it before
	 * @throws RangeError for a page beyond the guest
	 */
	deflated(pages: PageList): number {
		return this.#change("balloonDeflate", pages);
	}

	#change(kernel: "balloonInflate" | "balloonDeflate", pages: PageList): number {
		if (pages.engine !== this.#engine) throw new TypeError("pages belongs to another engine");
		const { out } = this;
		for (const page of pages.view())
			if (page >= out.bitCount) checkInteger("pages: page index", page, 0, out.bitCount - 1);
		out.noteWritten();
		const { offset } = out.region;
		return this.#engine.exports[kernel](this.#state.offset, offset, out.blockCount, pages.region.offset, pages.length);
	}

	#word(offset: number): number {
		return this.#engine.words[(this.#state.offset + offset) >>> 2]!;
	}
}
