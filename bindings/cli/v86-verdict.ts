/** What the console of a moved Linux proves: its programs count their lines, and find faults themselves. */

import type { Check } from "./verdict.ts";

/** From one line of a program to the next its number goes up by so much; each line is `word number …`. */
const STEPS = { count: 1, oracle: 200, md5: 1 } as const;

/** The programs whose lines are counted. */
export const WORDS = ["count", "oracle", "md5"] as const;

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
	return Array.from(text.matchAll(new RegExp(`^${word} (\\d+)\\b.*\\n`, "gm")), ([, digits]) => Number(digits));
}
