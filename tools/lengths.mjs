// House style in numbers: what no longer fits a screen or a head is two things.
import ts from "typescript";
import { projectFiles, textOf } from "./sources.mjs";

const FILE_LINES = 440; // "about 400": a tenth of leeway, so that nobody splits a file to please a counter
const FUNCTION_LINES = 70; // blank lines and comment lines are free: explaining is never too long

const FILES = /^(assembly|bindings|bench|tests|examples|tools)\/.*\.(ts|mjs)$/;
// A suite's body is a list of tests; each test in it is measured, the list is not.
const LISTS = /^tests\//;

const codeLines = (text) => text.split("\n").filter((line) => !/^\s*(\/\/.*|\/\*.*|\*.*)?$/.test(line)).length;

/** @returns one line per file or function that is too long */
export function lengths() {
	const violations = [];
	for (const path of projectFiles().filter((file) => FILES.test(file))) {
		const text = textOf(path) ?? "";
		const total = text.split("\n").length - 1;
		if (total > FILE_LINES) violations.push(`${path}: ${total} lines, more than ${FILE_LINES}: split it by subject`);
		const file = ts.createSourceFile(path, text, ts.ScriptTarget.Latest, true);
		const visit = (node) => {
			if (ts.isFunctionLike(node) && node.body !== undefined && !LISTS.test(path)) {
				const lines = codeLines(node.getText(file));
				const line = file.getLineAndCharacterOfPosition(node.getStart(file)).line + 1;
				if (lines > FUNCTION_LINES)
					violations.push(
						`${path}:${line}: ${node.name?.getText(file) ?? "a function"} has ${lines} lines of code, more than ${FUNCTION_LINES}`,
					);
			}
			ts.forEachChild(node, visit);
		};
		visit(file);
	}
	return violations;
}
