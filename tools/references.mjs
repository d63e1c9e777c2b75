// Files that comments and pages name: one that does not exist (any more) sends its reader nowhere.
import { readdirSync } from "node:fs";
import { join } from "node:path";
import { projectFiles, root, textOf } from "./sources.mjs";

const CODE = /\.(ts|mjs|cjs|c|sh)$/;
const PAGES = /\.md$/;
/** What was true when it was written stays as it is. */
const HISTORY = /(^|\/)CHANGELOG\.md$/;

/** `name.ts`, `folder/name.mjs`, `docs/name.md`; not a part of a longer word, a pattern or a template. */
const NAMED = /(?<![\w./@$}*…-])((?:\.{1,2}\/)*(?:[\w-]+\/)*[\w-][\w.-]*\.(?:ts|mjs|md))(?![\w*-]|\.\w)/g;

/** Files that are made, not kept. */
const MADE = new Set(["bindings/engine/bytes.ts"]);
/** Stand for names: `examples/NAME.ts`, `name.test.ts`; bans.mjs and its page speak of what there must not be. */
const PATTERNS = /(^|\/)(NAME\.ts|name\.(\w+\.)?test\.ts|utils\.ts)$/;
/** Another project's own page. */
const ELSEWHERE = new Set(["doc/xxhash_spec.md"]);

/** The comments of a file of code, each with its line; a page is all text. */
function* spokenLines(path, text) {
	let inBlock = false;
	for (const [at, line] of text.split("\n").entries()) {
		if (PAGES.test(path)) {
			yield [at + 1, line];
			continue;
		}
		const opens = /\/\*/.test(line);
		const comment =
			inBlock || opens ? line.replace(/^.*?\/\*/, "") : (/(?:^|[\s;{}(),])(\/\/.*)$/.exec(line)?.[1] ?? "");
		if (opens || inBlock) inBlock = !/\*\//.test(line);
		if (comment !== "") yield [at + 1, comment];
	}
}

/** @returns one line per name that leads nowhere */
export function references() {
	const paths = projectFiles();
	const known = new Set(MADE);
	for (const path of paths)
		for (let rest = path; rest !== ""; rest = rest.includes("/") ? rest.slice(rest.indexOf("/") + 1) : "")
			known.add(rest);
	for (const made of MADE) known.add(made.slice(made.lastIndexOf("/") + 1));
	// A package's own file may be named too.
	const packages = new Set(readdirSync(join(root, "node_modules")));
	const violations = [];
	for (const path of paths) {
		if (!(CODE.test(path) || PAGES.test(path)) || HISTORY.test(path) || path === "tools/references.mjs") continue;
		for (const [line, words] of spokenLines(path, textOf(path) ?? ""))
			for (const [, name] of words.matchAll(NAMED)) {
				const plain = name.replace(/^(\.{1,2}\/)+/, "");
				if (known.has(plain) || PATTERNS.test(plain) || ELSEWHERE.has(plain) || packages.has(plain.split("/")[0]))
					continue;
				violations.push(`${path}:${line}: there is no ${name}`);
			}
	}
	return violations;
}
