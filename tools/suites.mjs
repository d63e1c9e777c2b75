// Tests that would never run, or would pass by silence: a suite outside the folders that tests/run.mjs reads,
// one without `.run()`, and a second suite in a file (uvu reports only what is run, and the count cannot know of more).
// A contract suite is a function in tests/contract/suites/ that makes, fills and runs its suite; a contract test calls it.
import { FOLDERS } from "../tests/run.mjs";
import { projectFiles, textOf } from "./sources.mjs";
import { codeOnly, parse } from "./syntax.mjs";

const PLACE = new RegExp(`^tests/(${FOLDERS.join("|")})/[^/]+\\.test\\.ts$`);
const CONTRACTS = /^tests\/contract\/suites\/[^/]+\.ts$/;

const count = (code, pattern) => code.match(pattern)?.length ?? 0;
const MADE = /\bsuite\(/g;
const RUN = /^\s*\w+\.run\(\);?/gm;

/** What is wrong with one suite file, in words. */
function* faults(path, text) {
	const code = codeOnly(parse(path, text));
	const runs = count(code, RUN);
	const made = count(code, MADE) + (/import \{[^}]*\btest\b[^}]*\} from "uvu"/.test(text) ? 1 : 0);
	if (CONTRACTS.test(path)) {
		// One that fills a suite it is given makes none and runs none; one that wraps another does neither.
		if (made !== runs) yield `${made} suites made, ${runs} run`;
		return;
	}
	if (made === 0 && runs === 0 && /^(await )?\w+Contract\w*\(/m.test(code) && /from "\.\/suites\//.test(text)) return;
	if (runs !== 1) yield `${runs} calls of .run(); one suite per file, run at its end`;
	else if (!/\.run\(\);?\s*$/.test(code)) yield ".run() is not the last line; tests after it never run";
	if (made > 1) yield `${made} suites; a second one without .run() would not be missed`;
}

/** @returns one line per violation */
export function suites() {
	const violations = [];
	for (const path of projectFiles()) {
		const isTest = /[._](test|spec)\.[cm]?[jt]s$/.test(path);
		if (isTest && !PLACE.test(path))
			violations.push(`${path}: never run; a suite is tests/{${FOLDERS.join(",")}}/NAME.test.ts`);
		else if (isTest || CONTRACTS.test(path))
			for (const fault of faults(path, textOf(path) ?? "")) violations.push(`${path}: ${fault}`);
	}
	return violations;
}
