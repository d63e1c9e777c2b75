/** What was seen of a run: what happened, line by line, and which promises were broken. */

/** One line of what happened. */
export interface TraceLine {
	readonly atMs: number;
	readonly what: string;
}

/** How a run went. */
export interface FaultRun {
	/** The results one after another, e.g. `unconfirmed kept`. */
	readonly path: string;
	readonly violations: readonly string[];
	readonly trace: readonly TraceLine[];
	/** Rounds of the first operation, the final one included; 0 if it has none or did not get so far. */
	readonly rounds: number;
}

/** More violations than these say nothing new. */
const MAX_VIOLATIONS = 20;

/** See the head of this file. */
export class Findings {
	readonly violations: string[] = [];
	readonly trace: TraceLine[] = [];
	readonly #now: () => number;
	#fraction = 0;

	constructor(now: () => number) {
		this.#now = now;
	}

	/** Notes something in the trace. */
	note(what: string): void {
		this.trace.push({ atMs: this.#now(), what });
	}

	/** A promise was broken. */
	violation(what: string): void {
		this.note(`VIOLATION ${what}`);
		if (this.violations.length < MAX_VIOLATIONS) this.violations.push(`${what}, at ${this.#now().toFixed(2)} ms`);
	}

	/** A new attempt has a progress of its own. */
	restartProgress(): void {
		this.#fraction = 0;
	}

	/** Progress does not run backwards. */
	progress(fraction: number): void {
		if (fraction < this.#fraction) this.violation(`progress ran backwards: ${this.#fraction} to ${fraction}`);
		this.#fraction = fraction;
	}

	/** What is left to say of a run that threw. */
	failed(error: unknown): void {
		this.violation(`the run ended with ${error instanceof Error ? (error.stack ?? error.message) : String(error)}`);
	}
}
