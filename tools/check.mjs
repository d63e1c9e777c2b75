// `npm run check`: everything that can be told without running the library. Each check prints one line, all of them run
// even when one fails, and the last line is `N passed, N failed`.
//   node tools/check.mjs [filter…]
// dist/ must be built (`npm run check` does it). A failing check prints what it found below its line.
import { spawn } from "node:child_process";
import { availableParallelism } from "node:os";
import { join } from "node:path";
import { denoPath } from "../tests/run.mjs";
import { bans } from "./bans.mjs";
import { documented } from "./documented.mjs";
import { lengths } from "./lengths.mjs";
import { references } from "./references.mjs";
import { sizes } from "./sizes.mjs";
import { projectFiles, root } from "./sources.mjs";
import { suites } from "./suites.mjs";
import { words } from "./words.mjs";

const CHECK_LIMIT_MS = 240_000; // the slowest (deno check with a cold cache) takes about 20 s on 2 cores

const script = (path) => [process.execPath, join(root, "node_modules", path)];
const deno = denoPath();
// What Deno may run: both entries, and the worker and process entries, which nothing imports.
const denoEntries = () => [
	...[
		"bindings/index.ts",
		"bindings/deno.ts",
		"bindings/guests/v86/index.ts",
		"bindings/cli/host-deno.ts",
		"bindings/cli/machine-host-deno.ts",
	],
	...projectFiles().filter((path) => /^bindings\/platform\/(deno\/.*|[^/]*)\.ts$/.test(path)),
];

/** Nothing to look at is a failure: a checker that reads no module passes every time (dependency-cruiser on TypeScript 7). */
const cruisedSome = (output) => (/[1-9]\d* modules/.test(output) ? [] : ["no module was cruised"]);

/** A package without any types resolves without any problem: attw ends with 0 then. */
const typesFound = (output) => (/does not contain types/.test(output) ? ["the package has no types at all"] : []);

/**
 * A check is a program (`command`; undefined when there is nothing to run it on) or a function that returns its findings.
 * @type {{ name: string, command?: () => string[] | undefined, inspect?: () => string[], also?: (output: string) => string[] }[]}
 */
const CHECKS = [
	// The long ones first: two cores finish sooner.
	{ name: "types: Deno", command: () => [deno, "check", ...denoEntries()] },
	{
		name: "types: library on Node",
		command: () => [...script("typescript/bin/tsc"), "--noEmit", "--emitDeclarationOnly", "false"],
	},
	{
		name: "types: tests, bench, examples",
		command: () => [...script("typescript/bin/tsc"), "-p", "tsconfig.tests.json"],
	},
	{
		name: "package: types resolve",
		command: () => [
			...script("@arethetypeswrong/cli/dist/index.js"),
			...["--pack", ".", "--profile", "esm-only", "--exclude-entrypoints", "./engine.wasm", "./inplace.wasm"],
		],
		also: typesFound,
	},
	{ name: "package: shape", command: () => [...script("publint/src/cli.js"), "--strict"] },
	{ name: "package: Deno registry", command: () => [deno, "publish", "--dry-run", "--allow-dirty"] },
	{
		name: "examples in comments",
		command: () => (documented().length > 0 ? [deno, "test", "--doc", "--allow-all", ...documented()] : undefined),
	},
	{
		name: "dependency direction",
		command: () => [...script("dependency-cruiser/bin/dependency-cruise.mjs"), "bindings"],
		also: cruisedSome,
	},
	{ name: "dead exports", command: () => [...script("knip/bin/knip.js"), "--no-config-hints"] },
	{
		name: "format and lint",
		command: () => [
			...script("@biomejs/biome/bin/biome"),
			"ci",
			"--error-on-warnings",
			"--diagnostic-level=warn",
			"--colors=off",
			".",
		],
	},
	{ name: "banned habits", inspect: bans },
	{ name: "suites that run", inspect: suites },
	{ name: "lengths", inspect: lengths },
	{ name: "files that are named", inspect: references },
	{ name: "words of one machine", inspect: words },
	{ name: "sizes and wasm shape", inspect: sizes },
];

/** @returns what the program printed, and its findings: none when it ended with 0 */
function run([command, ...args]) {
	return new Promise((resolve) => {
		const env = { ...process.env, NO_COLOR: "1", CI: "true" };
		delete env.FORCE_COLOR;
		const child = spawn(command, args, { cwd: root, env, stdio: ["ignore", "pipe", "pipe"] });
		let output = "";
		let ended = "";
		const timer = setTimeout(() => {
			ended = `no end within ${CHECK_LIMIT_MS} ms`;
			child.kill("SIGKILL");
		}, CHECK_LIMIT_MS);
		child.stdout.on("data", (chunk) => (output += chunk));
		child.stderr.on("data", (chunk) => (output += chunk));
		child.on("error", (error) => (ended = String(error)));
		child.on("close", (code, signal) => {
			clearTimeout(timer);
			if (code !== 0 && ended === "") ended = `ended with ${signal ?? code}`;
			resolve({ output, findings: ended === "" ? [] : [output.trimEnd(), ended] });
		});
	});
}

/** @returns the check's findings (none = ok) and a word on what was not looked at */
async function judge({ command, inspect, also }) {
	try {
		if (inspect !== undefined) return { findings: inspect(), note: "" };
		const line = command?.();
		if (line === undefined) return { findings: [], note: ", nothing to look at yet" };
		const { output, findings } = await run(line);
		return { findings: findings.length > 0 ? findings : (also?.(output) ?? []), note: "" };
	} catch (error) {
		return { findings: [error instanceof Error ? (error.stack ?? error.message) : String(error)], note: "" };
	}
}

const filters = process.argv.slice(2);
const queue = CHECKS.filter(({ name }) => filters.length === 0 || filters.some((filter) => name.includes(filter)));
let passed = 0;
let failed = 0;
async function next() {
	for (let check = queue.shift(); check !== undefined; check = queue.shift()) {
		const started = performance.now();
		const { findings, note } = await judge(check);
		if (findings.length === 0) passed++;
		else failed++;
		const seconds = ((performance.now() - started) / 1000).toFixed(1);
		console.log(`${findings.length === 0 ? "ok  " : "FAIL"} ${check.name}${note}  ${seconds} s`);
		if (findings.length > 0) console.log(findings.join("\n").replace(/^/gm, "     "));
	}
}
await Promise.all(Array.from({ length: Math.min(2, availableParallelism()) }, next));
console.log(`${passed} passed, ${failed} failed`);
process.exitCode = failed > 0 || passed === 0 ? 1 : 0;
