/**
 * Dynamic self-ballooning: keeps what a guest does not need in its balloon, so that no technique transfers it.
 *
 *   every 5 s:  report ─▶ (pressure: back-off of 10 intervals) ─▶ account ─▶ inflate or deflate to 0.95 × (balloon + free)
 *
 * Guarantee: the guest is only ever asked, never forced; a guest that needs memory takes 128 pages back by itself and is left
 * alone for the back-off. While the guest is paused an interval passes without effect. Ends by itself with the guest.
 *
 * Source: spec section 1 (Hines, Deshpande, Gopalan). PC-9: 4 … 10 s between two turns cost the guest nothing they could
 * measure.
 */
import { BalloonAccount, type BalloonOptions, type BalloonStep } from "../engine/balloon.ts";
import { createEngine, type Engine } from "../engine/engine.ts";
import { PageList } from "../engine/page-list.ts";
import type { BallooningGuest } from "../ports/ballooning-guest.ts";
import type { Clock } from "../ports/clock.ts";
import { GuestError, type PageBits } from "../ports/guest.ts";

/** What self-ballooning works with. */
export interface SelfBallooningServices {
	readonly guest: BallooningGuest;
	readonly clock: Clock;
}

/** How self-ballooning behaves. */
export interface SelfBallooningOptions extends BalloonOptions {
	/** Between two turns, in ms: 5000 by default. */
	readonly intervalMs?: number;
	/** Called after each turn. */
	readonly onTurn?: (turn: BalloonTurn) => void;
}

/** What one turn found and did. Sizes are in pages. */
export interface BalloonTurn {
	/** What the account asked for; `paused`: the guest was, nothing was done. */
	readonly step: BalloonStep | { readonly kind: "hold"; readonly reason: "paused" };
	/** Pages that went or came. */
	readonly movedPages: number;
	readonly balloonPages: number;
	readonly freePages: number;
	readonly pressurePages: number;
}

/** A loop that runs. */
export interface SelfBallooning {
	/** Pages in the balloon, as of the last turn. */
	readonly balloonPages: number;
	/** Intervals for which the balloon will still be held. */
	readonly backOffLeft: number;
	/** Resolves when the loop has ended: stopped, or its guest is gone. @throws what the guest failed with */
	readonly ended: Promise<void>;
	/** Ends it after the turn under way. The balloon stays as it is. */
	stop(): Promise<void>;
}

const INTERVAL_MS = 5000;

/**
 * Starts the loop on a running guest; the first turn comes after one interval.
 *
 * @throws RangeError for options out of range.
 *
 * @example
 * ```ts ignore
 * const ballooning = startSelfBallooning({ guest, clock });
 * // … later
 * await ballooning.stop();
 * ```
 */
export function startSelfBallooning(
	services: SelfBallooningServices,
	options: SelfBallooningOptions = {},
): SelfBallooning {
	const { intervalMs = INTERVAL_MS } = options;
	if (!(intervalMs > 0)) throw new RangeError(`intervalMs: must be above 0, got ${intervalMs}`);
	return new BalloonLoop(services, options, intervalMs);
}

class BalloonLoop implements SelfBallooning {
	readonly ended: Promise<void>;
	readonly #services: SelfBallooningServices;
	readonly #options: SelfBallooningOptions;
	readonly #intervalMs: number;
	readonly #engine: Engine = createEngine();
	readonly #account: BalloonAccount;
	readonly #list: PageList;
	readonly #stopping = new AbortController();
	#last = { balloonPages: 0, backOffLeft: 0 };

	constructor(services: SelfBallooningServices, options: SelfBallooningOptions, intervalMs: number) {
		this.#services = services;
		this.#options = options;
		this.#intervalMs = intervalMs;
		const { pageCount, maximumPageCount } = services.guest.state.layout();
		const pages = Math.max(pageCount, maximumPageCount);
		this.#account = new BalloonAccount(this.#engine, pages, options);
		this.#list = new PageList(this.#engine, pages);
		this.ended = this.#run();
		this.ended.catch(() => undefined); // whoever wants to know awaits `ended` or `stop`
	}

	get balloonPages(): number {
		return this.#last.balloonPages;
	}

	get backOffLeft(): number {
		return this.#last.backOffLeft;
	}

	async stop(): Promise<void> {
		this.#stopping.abort();
		await this.ended;
	}

	async #run(): Promise<void> {
		const { clock } = this.#services;
		const { signal } = this.#stopping;
		try {
			for (;;) {
				await clock.sleep(this.#intervalMs, signal).catch(() => undefined); // the stop is looked at next
				if (signal.aborted) return;
				const turn = await this.#turn();
				if (turn === undefined) return;
				this.#last = { balloonPages: turn.balloonPages, backOffLeft: this.#account.backOffLeft };
				this.#options.onTurn?.(turn);
			}
		} finally {
			this.#engine.dispose();
		}
	}

	/** @returns what was done; `undefined` when the guest is gone */
	async #turn(): Promise<BalloonTurn | undefined> {
		const { balloon } = this.#services.guest;
		try {
			const { freePages, pressurePages } = await balloon.report();
			this.#follow(await balloon.out());
			if (pressurePages > 0) this.#account.pressure(Math.min(pressurePages, this.#account.out.bitCount));
			const step = this.#account.interval(Math.min(freePages, this.#account.out.bitCount - this.#account.size));
			const movedPages = await this.#carryOut(step);
			return { step, movedPages, balloonPages: this.#account.size, freePages, pressurePages };
		} catch (error) {
			if (!(error instanceof GuestError)) throw error;
			if (error.code === "gone") return undefined;
			if (error.code !== "not-running") throw error;
			const step = { kind: "hold", reason: "paused" } as const;
			const { size, free } = this.#account;
			return { step, movedPages: 0, balloonPages: size, freePages: free, pressurePages: 0 };
		}
	}

	async #carryOut(step: BalloonStep): Promise<number> {
		const { balloon } = this.#services.guest;
		if (step.kind === "hold") return 0;
		if (step.kind === "inflate") return this.#account.inflated(this.#pages(await balloon.inflate(step.pages)));
		return this.#account.deflated(this.#pages(await balloon.deflate(step.pages)));
	}

	/** The guest's word is what counts: it takes pages back between two turns. */
	#follow(out: PageBits): void {
		const { bitCount } = this.#account.out;
		const [gone, come]: [number[], number[]] = [[], []];
		for (let page = 0; page < Math.min(bitCount, out.byteLength * 8); page++) {
			const isOut = ((out[page >>> 3]! >>> (page & 7)) & 1) === 1;
			if (isOut !== this.#account.out.has(page)) (isOut ? gone : come).push(page);
		}
		if (gone.length > 0) this.#account.inflated(this.#pages(Uint32Array.from(gone)));
		if (come.length > 0) this.#account.deflated(this.#pages(Uint32Array.from(come)));
	}

	#pages(indices: Uint32Array): PageList {
		this.#list.load(indices);
		return this.#list;
	}
}
