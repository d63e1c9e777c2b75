// Tests that would never run, or would pass by silence: a suite outside the folders that tests/run.mjs reads,
// one without `.run()`, and a second suite in a file (uvu reports only what is run, and the count cannot know of more).
import { FOLDERS } from "../tests/run.mjs";
import { projectFiles, textOf } from "./sources.mjs";
import { codeOnly, parse } from "./syntax.mjs";

const PLACE = new RegExp(`^tests/(${FOLDERS.join("|")})/[^/]+\\.test\\.ts$`);

/** @returns one line per violation */
export function suites() {
	const violations = [];
	for (const path of projectFiles()) {
		if (!/[._](test|spec)\.[cm]?[jt]s$/.test(path)) continue;
		if (!PLACE.test(path)) {
			violations.push(`${path}: never run; a suite is tests/{${FOLDERS.join(",")}}/NAME.test.ts`);
			continue;
		}
		const text = textOf(path) ?? "";
		const code = codeOnly(parse(path, text));
		const runs = code.match(/^\s*\w+\.run\(\);?/gm)?.length ?? 0;
		if (runs !== 1) violations.push(`${path}: ${runs} calls of .run(); one suite per file, run at its end`);
		if (!/\.run\(\);?\s*$/.test(code))
			violations.push(`${path}: .run() is not the last line; tests after it never run`);
		const made =
			(code.match(/\bsuite\(/g)?.length ?? 0) + (/import \{[^}]*\btest\b[^}]*\} from "uvu"/.test(text) ? 1 : 0);
		if (made > 1) violations.push(`${path}: ${made} suites; a second one without .run() would not be missed`);
	}
	return violations;
}
