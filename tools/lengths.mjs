// House style in numbers: what no longer fits a screen or a head is two things.
import ts from "typescript";
import { overruled } from "./exceptions.mjs";
import { projectFiles, textOf } from "./sources.mjs";
import { parse } from "./syntax.mjs";

const FILE_LINES = 500; // "about 400", with leeway: a file is divided where its subject divides, not where a counter says
const FUNCTION_LINES = 70; // blank lines and comment lines are free: explaining is never too long

const FILES = /^(assembly|bindings|bench|tests|examples|tools)\/.*\.(ts|mjs)$/;
const LISTS = /^tests\//; // the function around a contract's tests is a list, not a thought

const codeLines = (text) => text.split("\n").filter((line) => !/^\s*(\/\/.*|\/\*.*|\*.*)?$/.test(line)).length;

/** @returns one line per file or function that is too long */
export function lengths() {
	const violations = [];
	for (const path of projectFiles().filter((file) => FILES.test(file))) {
		const text = textOf(path) ?? "";
		const total = text.split("\n").length - 1;
		if (total > FILE_LINES && !overruled("length", text.split("\n"), 0))
			violations.push(`${path}: ${total} lines, more than ${FILE_LINES}: split it by subject`);
		const file = parse(path, text);
		const visit = (node) => {
			if (ts.isFunctionLike(node) && node.body !== undefined && !LISTS.test(path)) {
				const lines = codeLines(node.getText(file));
				const line = file.getLineAndCharacterOfPosition(node.getStart(file)).line + 1;
				if (lines > FUNCTION_LINES && !overruled("length", text.split("\n"), line - 1))
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
