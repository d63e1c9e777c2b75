/** What the console of a moved Linux proves: its programs count their lines, and find faults themselves. */

import type { Check } from "./verdict.ts";

/**
 * A counter, a memory oracle that checks every page it increments, and a loop of hashes (tools/guests/linux), typed into
 * the shell. Its prompt goes: a line that it stands before would be missing in the count.
 */
export const PROGRAMS = "PS1=; counter 10 & oracle 8 200 & md5loop &\n";

/** Each program has written so many lines before the move, and as many after it. */
const LINES = 20;

/** From one line of a program to the next its number goes up by so much; each line is `word number …`. */
const STEPS = { count: 1, oracle: 200, md5: 1 } as const;

/** The programs whose lines are counted. */
const WORDS = ["count", "oracle", "md5"] as const;

/** Whether each program has written enough. */
export function programsHaveWritten(text: string): boolean {
	return WORDS.every((word) => text.split(`\n${word} `).length - 1 >= LINES);
}

/**
 * @param text - all that was written, before the move and after it
 * @param after - what was written after it
 */
export function consoleChecks(text: string, after: string): Check[] {
	const lines = text.replaceAll("\r", "");
	const checks = WORDS.map((word): Check => {
		const numbers = numbersOf(word, lines);
		const gap = numbers.findIndex((number, at) => at > 0 && number !== numbers[at - 1]! + STEPS[word]);
		const ok = gap < 0 && numbers.length > 1;
		const detail = ok
			? `${numbers.length} lines without a gap, ${numbersOf(word, after.replaceAll("\r", "")).length} after the move`
			: `line ${gap}: ${numbers[gap]} after ${numbers[gap - 1]}`;
		return { name: word, ok, detail };
	});
	const fault = /^.*(BAD|BROKEN|Oops|BUG:|panic).*$/m.exec(lines)?.[0];
	return [...checks, { name: "faults", ok: fault === undefined, detail: fault ?? "none found by the guest itself" }];
}

function numbersOf(word: string, text: string): number[] {
	return Array.from(text.matchAll(new RegExp(`^(?:.*# )?${word} (\\d+)\\b.*\\n`, "gm")), ([, digits]) =>
		Number(digits),
	);
}
