/**
 * A synthetic guest with a balloon: the pages behind its load are free, and go into the balloon and back as they are asked
 * for. Where its host has a simulated CPU, each page that moves takes CPU time. Its load never asks for more memory, so there
 * is no pressure.
 *
 *   free ──inflate──▶ out, zero ──deflate──▶ free         the last free page goes first and comes back last
 */
import type { BallooningGuest, GuestBalloon } from "../ports/ballooning-guest.ts";
import { GuestError } from "../ports/guest.ts";
import { pageRange } from "./page-sets.ts";
import { SyntheticGuest, type SyntheticGuestOptions } from "./synthetic-guest.ts";

/** See the head of this file. */
export class BallooningSyntheticGuest extends SyntheticGuest implements BallooningGuest {
	readonly balloon: GuestBalloon;
	#outPages = 0;

	/** @param freePages - the last so many pages. */
	constructor(options: SyntheticGuestOptions, freePages: number) {
		super(options);
		const { pageCount } = options;
		if (!Number.isInteger(freePages) || freePages < 0 || freePages > pageCount)
			throw new RangeError(`freePages: ${freePages} of ${pageCount} pages`);
		this.balloon = {
			report: async () => ({ freePages: freePages - this.#outPages, pressurePages: 0 }),
			inflate: (pages) => this.#resize(Math.min(pages, freePages - this.#outPages)),
			deflate: async (pages) => (await this.#resize(-Math.min(pages, this.#outPages))).reverse(),
			out: async () => pageRange(pageCount, pageCount - this.#outPages, this.#outPages),
		};
	}

	/** @returns the pages that went, or came (a negative count) */
	async #resize(pages: number): Promise<Uint32Array> {
		const count = Math.abs(pages);
		this.#requireRunning();
		await this.cpu?.spend("balloonMsPerPage", count);
		this.#requireRunning();
		const end = this.pageCount - this.#outPages + Math.max(0, -pages);
		if (pages > 0) this.clearPages(end - count, count);
		this.#outPages += pages;
		return Uint32Array.from({ length: count }, (_, i) => end - 1 - i);
	}

	#requireRunning(): void {
		if (this.pageCount === 0) throw new GuestError("gone", "the guest has been discarded");
		if (!this.running) throw new GuestError("not-running", "the guest is paused");
	}
}
