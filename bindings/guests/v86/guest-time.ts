// The time that a guest sees: v86's processor and its devices ask this instead of the machine they run on, so it can stand
// still while the guest is paused, and goes on elsewhere where it stopped.
//
//   real      milliseconds of the clock port, less those that the guest was paused
//   counted   a fixed step at each question, and idle time at once: the same run every time, on any machine

/** How a guest's time passes. */
export type TimeMode = "real" | "counted";

/** Between two questions of a counted clock: the processor asks after about 100 000 instructions, some 0.2 ms. */
const COUNTED_STEP_MS = 0.25;

/** The day on which counted time begins: any will do, but the same each time. */
const COUNTED_ORIGIN_MS = 1_577_836_800_000; // 2020-01-01

/** See the head of this file. */
export class GuestTime {
	readonly mode: TimeMode;
	readonly #hostNow: () => number;
	/** What the guest's clock showed when it stopped last, or shows while it stands. */
	#valueMs = 0;
	/** The host's time when it started; `undefined` while it stands still. */
	#startedMs: number | undefined;

	/** @param hostNow - the clock port's `now` */
	constructor(mode: TimeMode, hostNow: () => number) {
		this.mode = mode;
		this.#hostNow = hostNow;
	}

	/** What the guest's clock shows, in ms; while it runs, a counted one goes on by asking. */
	readonly microtick = (): number => {
		if (this.#startedMs === undefined) return this.#valueMs;
		if (this.mode === "real") return this.#valueMs + this.#hostNow() - this.#startedMs;
		this.#valueMs += COUNTED_STEP_MS;
		return this.#valueMs;
	};

	/** The wall clock of a counted guest, in ms since 1970. */
	get countedDateMs(): number {
		return COUNTED_ORIGIN_MS + Math.floor(this.#valueMs);
	}

	/** What the clock shows, without going on. */
	get valueMs(): number {
		if (this.#startedMs === undefined || this.mode === "counted") return this.#valueMs;
		return this.#valueMs + this.#hostNow() - this.#startedMs;
	}

	/** Lets it go on. */
	start(): void {
		this.#startedMs ??= this.#hostNow();
	}

	/** Lets it stand. */
	stop(): void {
		this.#valueMs = this.valueMs;
		this.#startedMs = undefined;
	}

	/** Of a clock that stands: what it shows from now on. */
	set(valueMs: number): void {
		this.#valueMs = valueMs;
		if (this.#startedMs !== undefined) this.#startedMs = this.#hostNow();
	}

	/** Counted time that nobody has to wait for. */
	skip(durationMs: number): void {
		this.#valueMs += durationMs;
	}
}
