// What the README shows runs: its example, on Node and on Deno, and its commands exist.
import { execFile } from "node:child_process";
import { existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { promisify } from "node:util";
import { transform } from "esbuild";
import { suite } from "uvu";
import * as assert from "uvu/assert";

const run = promisify(execFile);
const deno: string = createRequire(`${process.cwd()}/`)("deno/install_api.cjs").runInstall();
const readme = readFileSync("README.md", "utf8");
const example = /```ts\n([\s\S]*?)```/.exec(readme)?.[1] ?? "";
const folder = `build/readme-${process.pid}`; // below the package, so that `pageferry` means it

const test = suite("README");
test.before(() => {
	mkdirSync(folder, { recursive: true });
});
test.after(() => {
	rmSync(folder, { recursive: true, force: true });
});

test("the example has at most 15 lines of code", () => {
	const lines = example.split("\n").filter((line) => line.trim() !== "");
	assert.ok(lines.length > 5 && lines.length <= 15, `${lines.length} lines`);
});

test("the example runs on Node", async () => {
	const { code } = await transform(example, { loader: "ts", format: "esm", target: "node20" });
	writeFileSync(`${folder}/example.mjs`, code);
	const { stdout } = await run(process.execPath, [`${folder}/example.mjs`]);
	assert.match(stdout, /^moved 4096 pages, paused for [\d.]+ ms\n$/);
});

test("the example runs on Deno", async () => {
	writeFileSync(`${folder}/example.ts`, example);
	const { stdout } = await run(deno, ["run", "--allow-all", "--no-check", `${folder}/example.ts`]);
	assert.match(stdout, /^moved 4096 pages, paused for [\d.]+ ms\n$/);
});

test("every npm command that it names exists, and every file", () => {
	const scripts = Object.keys(JSON.parse(readFileSync("package.json", "utf8")).scripts);
	for (const [, name] of readme.matchAll(/npm (?:run )?(start|test|bench|build|check|test:\w+)\b/g))
		assert.ok(scripts.includes(name!), `npm run ${name}`);
	for (const [, path] of readme.matchAll(/\]\((docs\/[^)]+)\)/g)) assert.ok(existsSync(path!), path);
	for (const [, path] of readme.matchAll(/`(examples\/[\w.-]+\.(?:ts|mjs))`/g)) assert.ok(existsSync(path!), path);
});

test("it says how many lines the example between processes has", () => {
	const source = readFileSync("examples/move-between-processes.ts", "utf8");
	const lines = source.split("\n").filter((line) => !/^\s*(\/\/.*|\/\*\*.*)?$/.test(line)).length;
	assert.ok(lines < 60, `${lines} lines`);
	assert.match(readme, new RegExp(`in\\s+${lines} lines`));
});

test.run();
