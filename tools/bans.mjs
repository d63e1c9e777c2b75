// What may not be written, where, and what to write instead. One row per habit: the pattern finds it, `instead` replaces it.
// A row may be overruled at one place by a comment that gives the reason (exceptions.mjs).
// Clocks and timers are not here: Biome knows which name is a global (biome.json, noRestrictedGlobals).
// Patterns are tried on code without comments and without the contents of strings, unless `raw` is set. `bites` is a line
// the pattern must find: a ban that finds nothing any more fails the check itself. `commented`: a comment on the line that
// says why will do.
import ts from "typescript";
import { overruled } from "./exceptions.mjs";
import { projectFiles, textOf } from "./sources.mjs";
import { codeOnly, parse } from "./syntax.mjs";

const LIBRARY = /^bindings\//;
const PLATFORM = /^bindings\/platform\//;
const CODE = /^(assembly|bindings|bench|tests|examples|tools)\/.*\.(ts|mts|mjs|cjs)$/;
const TYPESCRIPT = /^(bindings|bench|tests|examples)\/.*\.ts$/;
const SUITE = /^tests\/.*\.ts$/; // contract suites too, which are no .test.ts

/** @type {{ name: string, pattern: RegExp, where: RegExp, except?: RegExp, raw?: boolean, commented?: boolean, bites: string, instead: string }[]} */
export const BANS = [
	{
		name: "random",
		pattern: /\bMath\s*\.\s*random\b|\bcrypto\s*\.\s*(getRandomValues|randomUUID)\b|\brandomBytes\s*\(/,
		where: /^(assembly|bindings|bench|tests|examples)\//,
		except: PLATFORM,
		bites: "Math.random()",
		instead: "the Random port, seeded: what cannot be replayed cannot be debugged",
	},
	{
		name: "only",
		pattern: /\.\s*only\s*\(/,
		where: SUITE,
		bites: 'test.only("x", () => {});',
		instead: "a filter: `node tests/run.mjs NAME`; `.only` hides every other test of the file",
	},
	{
		name: "ts-comment",
		pattern: /@ts-(ignore|nocheck)\b/,
		where: TYPESCRIPT,
		raw: true,
		bites: "// @ts-ignore",
		instead: "the right type; a test of wrong arguments says `@ts-expect-error: reason`",
	},
	{
		name: "ts-comment",
		pattern: /@ts-expect-error(?!:? \S)/,
		where: TYPESCRIPT,
		raw: true,
		bites: "// @ts-expect-error",
		instead: "`@ts-expect-error: reason`",
	},
	{
		name: "ts-comment",
		pattern: /@ts-expect-error/,
		where: LIBRARY,
		raw: true,
		bites: "// @ts-expect-error: reason",
		instead: "the right type; only tests hand over wrong arguments on purpose",
	},
	{
		name: "lint-off",
		pattern: /biome-ignore-(all|start)\b/,
		where: CODE,
		except: /^tools\/bans\.mjs$/,
		raw: true,
		bites: "// biome-ignore-all lint: x",
		instead: "`biome-ignore RULE: reason` above the one line",
	},
	{
		name: "print",
		pattern: /\bconsole\s*\.\s*\w+\s*\(/,
		where: LIBRARY,
		except: /^bindings\/cli\//,
		bites: "console.warn(1);",
		instead: "a typed record or error: only the command prints",
	},
	{
		name: "exit",
		pattern: /\b(process|Deno)\s*\.\s*exit\s*\(/,
		where: LIBRARY,
		bites: "process.exit(1);",
		instead: "`process.exitCode = …` and a return: exit() cuts off output that is still in a pipe",
	},
	{
		name: "swallow",
		pattern: /\.catch\s*\(\s*(async\s*)?\(?\s*\w*\s*\)?\s*=>\s*(\{\s*\}|undefined|null|void 0)\s*\)/,
		where: LIBRARY,
		commented: true,
		bites: "close().catch(() => {});",
		instead: "handle it, keep it as the `cause` of a typed error, or say on the line who sees the failure",
	},
	{
		name: "swallow",
		pattern: /\bcatch\s*(\(\s*\w*\s*\))?\s*\{\s*\}/,
		where: LIBRARY,
		commented: true,
		bites: "} catch {}",
		instead: "handle it, or say in the block why the failure does not matter",
	},
	{
		name: "bare-error",
		pattern: /\bnew Error\s*\(|\bthrow Error\s*\(/,
		where: LIBRARY,
		bites: 'throw new Error("x");',
		instead:
			"TypeError or RangeError naming the argument, or the operation's error class with its `code`; an invariant of ours: `// allowed (bare-error): …`",
	},
	{
		name: "wrapper",
		pattern: /node_modules\/\.bin\//,
		where: CODE,
		except: /^tools\/bans\.mjs$/,
		raw: true,
		bites: 'spawn("node_modules/.bin/deno")',
		instead: "the package's own executable: killing a wrapper orphans the real process",
	},
	{
		name: "open-end",
		pattern: /\b(TODO|FIXME|XXX)\b/,
		where: CODE,
		except: /^tools\/bans\.mjs$/,
		raw: true,
		bites: "// TODO",
		instead: "the work itself, or a sentence in the file's head that states the limit",
	},
	{
		name: "reference-type",
		pattern: /\b(shared_ptr|~lib\/(string|array|map|set))\b|\bnew (Array|Map|Set|String)\b/,
		where: /^assembly\//,
		bites: "new Map<i32, i32>()",
		instead: "offsets into a region: the engine has no garbage collector, no strings and no static data",
	},
];

/** Type assertions outside the engine's boundary: `as const` and `satisfies` are none. */
function casts(path, file) {
	if (!LIBRARY.test(path) || path.startsWith("bindings/engine/")) return [];
	const found = [];
	const visit = (node) => {
		if (ts.isAsExpression(node) && node.type.getText(file) !== "const") {
			const line = file.getLineAndCharacterOfPosition(node.type.getStart(file)).line;
			found.push({
				name: "cast",
				line,
				instead: "a type guard, a discriminated union or a decoder that checks what it returns",
			});
		}
		ts.forEachChild(node, visit);
	};
	visit(file);
	return found;
}

/** A skipped test must say why, in the output: `console.log("skipped: reason")` within the three lines above. */
function silentSkips(path, code, lines) {
	if (!SUITE.test(path)) return [];
	return code.flatMap((line, index) => {
		if (!/\.\s*skip\s*\(/.test(line)) return [];
		if (/console\.log\(\s*[`"']skip/.test(lines.slice(Math.max(0, index - 3), index + 1).join("\n"))) return [];
		return [
			{
				name: "skip",
				line: index,
				instead: '`console.log("skipped: reason")` just above: a silent skip passes for a pass',
			},
		];
	});
}

/** @returns one line per violation, `path:line: [name] what to write instead` */
export function bans() {
	const toothless = BANS.filter(({ pattern, bites }) => !pattern.test(bites));
	const violations = toothless.map(({ name, bites }) => `tools/bans.mjs: [${name}] does not find ${bites}`);
	for (const path of projectFiles().filter((file) => CODE.test(file))) {
		const text = textOf(path);
		if (text === undefined) continue;
		const lines = text.split("\n");
		const file = parse(path, text);
		const code = codeOnly(file).split("\n");
		const found = [...casts(path, file), ...silentSkips(path, code, lines)];
		for (const ban of BANS) {
			if (!ban.where.test(path) || ban.except?.test(path)) continue;
			for (const [index, line] of (ban.raw ? lines : code).entries())
				if (ban.pattern.test(line) && !(ban.commented && /\/\/ \S/.test(lines[index])))
					found.push({ name: ban.name, line: index, instead: ban.instead });
		}
		for (const { name, line, instead } of found) {
			if (overruled(name, lines, line)) continue;
			violations.push(`${path}:${line + 1}: [${name}] ${lines[line].trim().slice(0, 80)}\n    instead: ${instead}`);
		}
	}
	return violations;
}
