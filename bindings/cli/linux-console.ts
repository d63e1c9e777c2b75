/**
 * What the console of a moved Linux proves: its programs count their lines, and find faults themselves.
 *
 * One text is judged: what the source's machine wrote, and behind it what the target's did. Where the move was over is a
 * place in it; a line that lies across that place counts as written after the move.
 */
import type { Check } from "./verdict.ts";

/**
 * A counter, a memory oracle that checks every page it increments, and a loop of hashes (tools/guests/linux), typed into
 * the shell. Its prompt goes: a line that it stands before would be missing in the count.
 */
export const PROGRAMS = "PS1=; counter 10 & oracle 8 200 & md5loop &\n";

/** Each program has written so many lines before the move, and as many after it. */
export const LINES = 20;

/** The programs whose lines are counted, and by how much the number goes up from one line to the next: `word number …`. */
const STEPS: ReadonlyMap<string, number> = new Map([
	["count", 1],
	["oracle", 200],
	["md5", 1],
]);

/** Counts the lines that each program writes from a place of a growing text on, looking at each of them once. */
export class LineCount {
	readonly #counts = new Map<string, number>([...STEPS.keys()].map((word) => [word, 0]));
	#seen: number;

	/** @param place - in the text as it is now */
	constructor(text: string, place: number) {
		this.#seen = text.lastIndexOf("\n", place - 1) + 1;
		if (place === 0) this.#seen = 0;
	}

	/** @param text - as it is now. @returns how many lines are missing until each program has written enough */
	missing(text: string): number {
		const end = text.lastIndexOf("\n") + 1;
		if (end > this.#seen) {
			const lines = text.slice(this.#seen, end);
			this.#seen = end;
			for (const [word, count] of this.#counts) this.#counts.set(word, count + numbersOf(word, lines).length);
		}
		return [...this.#counts.values()].reduce((sum, count) => sum + Math.max(0, LINES - count), 0);
	}

	/** For people: `count 3, oracle 0, md5 7`. */
	toString(): string {
		return [...this.#counts].map(([word, count]) => `${word} ${count}`).join(", ");
	}
}

/**
 * @param text - all that was written, before the move and after it
 * @param moved - the place in it where the move was over
 */
export function consoleChecks(text: string, moved: number): Check[] {
	const checks = Array.from(STEPS, ([name, step]): Check => {
		const lines = numbersOf(name, text);
		const numbers = lines.map(({ number }) => number);
		const gap = numbers.findIndex((number, at) => at > 0 && number !== numbers[at - 1]! + step);
		const linesAfter = lines.filter(({ end }) => end > moved).length;
		const linesBefore = numbers.length - linesAfter;
		if (gap >= 0) return { name, ok: false, detail: `line ${gap}: ${numbers[gap]} after ${numbers[gap - 1]}` };
		if (linesBefore < LINES || linesAfter < LINES) {
			const detail = `${linesBefore} lines before the move and ${linesAfter} after it: ${LINES} of each are needed`;
			return { name, ok: false, detail };
		}
		return { name, ok: true, detail: `${numbers.length} lines without a gap, ${linesAfter} after the move` };
	});
	const fault = /^.*(BAD|BROKEN|Oops|BUG:|panic|no memory).*$/m.exec(text)?.[0]?.trimEnd();
	return [...checks, { name: "faults", ok: fault === undefined, detail: fault ?? "none found by the guest itself" }];
}

/** The program's whole lines, and where each of them ends. */
function numbersOf(word: string, text: string): { readonly number: number; readonly end: number }[] {
	return Array.from(text.matchAll(new RegExp(`^(?:.*# )?${word} (\\d+)\\b[^\\n]*\\n`, "gm")), (line) => ({
		number: Number(line[1]),
		end: line.index + line[0].length,
	}));
}
