// The test entry itself: what uvu alone would let pass by silence must be counted as a failure.
import { spawnSync } from "node:child_process";
import { mkdirSync, rmSync, writeFileSync } from "node:fs";
import { suite } from "uvu";
import * as assert from "uvu/assert";

const folder = `build/test-entry-${process.pid}`; // below the repository, so that the suites find uvu
const head = 'import { suite } from "uvu";\nconst test = suite("planted");\n';

/** Runs one planted suite. @returns the exit code, all it said, and the last line, the sum */
function entry(source: string): { readonly code: number | null; readonly output: string; readonly sum: string } {
	const file = `${folder}/planted.mjs`;
	writeFileSync(file, head + source);
	const done = spawnSync(process.execPath, ["tests/run-suites.mjs", file], { encoding: "utf8" });
	return { code: done.status, output: done.stdout, sum: done.stdout.trimEnd().split("\n").at(-1) ?? "" };
}

const test = suite("test entry");
test.before(() => {
	mkdirSync(folder, { recursive: true });
});
test.after(() => {
	rmSync(folder, { recursive: true, force: true });
});

test("a suite that passes is counted", () => {
	const { code, sum } = entry('test("a", () => {});\ntest("b", () => {});\ntest.run();\n');
	assert.is(sum, "2 passed, 0 failed");
	assert.is(code, 0);
});

test("a test that throws is counted", () => {
	const { code, sum } = entry('test("a", () => {});\ntest("b", () => {\n\tthrow new Error("b");\n});\ntest.run();\n');
	assert.is(sum, "1 passed, 1 failed");
	assert.is(code, 1);
});

test("a file that forgets run() fails", () => {
	const { code, sum } = entry('test("a", () => {});\n');
	assert.is(sum, "0 passed, 1 failed");
	assert.is(code, 1);
});

test("an empty suite fails", () => {
	const { code, sum } = entry("test.run();\n");
	assert.is(sum, "0 passed, 1 failed");
	assert.is(code, 1);
});

test("a hook that throws fails its suite", () => {
	const { code, sum } = entry(
		'test.before(() => {\n\tthrow new Error("before");\n});\ntest("a", () => {});\ntest.run();\n',
	);
	assert.match(sum, /^0 passed, [1-9]\d* failed$/);
	assert.is(code, 1);
});

test("a test that never settles fails instead of ending in silence", () => {
	const { code, sum } = entry('test("a", () => new Promise(() => {}));\ntest.run();\n');
	assert.is(sum, "0 passed, 1 failed");
	assert.is(code, 1);
});

test("what is left open behind the last test fails it, and is named", () => {
	const { code, sum, output } = entry('test("a", () => {\n\tsetInterval(() => {}, 10);\n});\ntest.run();\n');
	assert.is(sum, "1 passed, 1 failed");
	assert.match(output, /^left open .*\bTimeout\b/m);
	assert.is(code, 1);
});

test("an import that fails fails", () => {
	assert.is.not(entry('import "./nowhere.mjs";\ntest.run();\n').code, 0);
});

test.run();
