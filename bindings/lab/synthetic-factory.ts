/** Targets for synthetic guests: the same model on the other side, which goes on with the same workload. */
import { type GuestFactory, type GuestLayout, type Obstacle, PAGE_BYTES, type PreparedTarget } from "../ports/guest.ts";
import { SyntheticGuest, type SyntheticGuestOptions } from "./synthetic-guest.ts";
import type { EventClock } from "./virtual-clock.ts";
import type { Workload } from "./workload.ts";

/** What targets are like. */
export interface SyntheticFactoryOptions extends Pick<SyntheticGuestOptions, "contents" | "cpu" | "wireBytesPerPage"> {
	readonly maximumPageCount?: number;
	/** What the guest does wherever it runs: the same object as at the source. */
	readonly workload?: Workload;
	/** Called with each target. */
	readonly onSetUp?: (guest: SyntheticGuest) => void;
}

/** See the head of this file. */
export class SyntheticFactory implements GuestFactory {
	readonly kind = "synthetic";
	readonly #clock: EventClock;
	readonly #options: SyntheticFactoryOptions;

	constructor(clock: EventClock, options: SyntheticFactoryOptions = {}) {
		this.#clock = clock;
		this.#options = options;
	}

	check(layout: GuestLayout): readonly Obstacle[] {
		const { maximumPageCount = Number.POSITIVE_INFINITY } = this.#options;
		const obstacles: Obstacle[] = [];
		if (layout.pageBytes !== PAGE_BYTES)
			obstacles.push({
				fact: "pageBytes",
				message: `pages of ${layout.pageBytes} bytes, this target has ${PAGE_BYTES}`,
			});
		if (layout.pageCount > maximumPageCount)
			obstacles.push({ fact: "pageCount", message: `${layout.pageCount} pages, at most ${maximumPageCount}` });
		return obstacles;
	}

	missing(): readonly string[] {
		return [];
	}

	setUp(layout: GuestLayout): Promise<PreparedTarget & { readonly guest: SyntheticGuest }> {
		const { pageCount, maximumPageCount } = layout;
		const { contents = false, cpu, wireBytesPerPage, workload, onSetUp } = this.#options;
		const wire = wireBytesPerPage === undefined ? {} : { wireBytesPerPage };
		const host = cpu === undefined ? {} : { cpu };
		const options = { clock: this.#clock, pageCount, maximumPageCount, contents, ...wire, ...host };
		const guest = new SyntheticGuest(options, "paused");
		if (workload !== undefined) guest.work(workload);
		onSetUp?.(guest);
		return Promise.resolve({ guest, setupMs: 0 });
	}
}
