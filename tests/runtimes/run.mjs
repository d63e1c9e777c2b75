// The suite on every runtime that is promised: this Node (20 where the promise is checked), Node 22, Node 24 and Deno.
//   node tests/runtimes/run.mjs [--only this,node22,node24,deno] [filter…]
// The other Node versions come from the lock in this folder and are installed when missing. Ends in `N passed, N failed`,
// the sum of all; a runtime that prints no sum is one failure.
import { spawn, spawnSync } from "node:child_process";
import { existsSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";

const here = dirname(fileURLToPath(import.meta.url));
const suite = join(here, "..", "run.mjs");
const nodeOf = (name) => join(here, "node_modules", name, "bin", "node");

const RUNTIMES = [
	{ name: "this", args: ["--runtime", "node", "--node", process.execPath], program: process.execPath },
	{ name: "node22", args: ["--runtime", "node", "--node", nodeOf("node22")], program: nodeOf("node22") },
	{ name: "node24", args: ["--runtime", "node", "--node", nodeOf("node24")], program: nodeOf("node24") },
	{ name: "deno", args: ["--runtime", "deno"] },
];

const { values: options, positionals: filters } = parseArgs({
	allowPositionals: true,
	options: { only: { type: "string", default: RUNTIMES.map(({ name }) => name).join(",") } },
});

/** Installs the other Node versions (about 100 MB of downloads) unless they answer already. */
function install() {
	const answers = (name) => existsSync(nodeOf(name)) && spawnSync(nodeOf(name), ["--version"]).status === 0;
	if (answers("node22") && answers("node24")) return;
	console.log("installing Node 22 and 24 …");
	const done = spawnSync("npm", ["--prefix", here, "ci", "--no-audit", "--no-fund"], { stdio: "inherit" });
	if (done.status !== 0) console.log(`npm ci ended with ${done.signal ?? done.status}`);
}

/** Runs the suite on one runtime, its output passed on. @returns its own sum */
function run(args) {
	return new Promise((resolve) => {
		const child = spawn(process.execPath, [suite, ...args, ...filters], { stdio: ["ignore", "pipe", "inherit"] });
		let output = "";
		child.stdout.on("data", (chunk) => {
			output += chunk;
			process.stdout.write(chunk);
		});
		child.on("error", (error) => console.log(error.message));
		child.on("close", (code) => {
			const sum = /(?:^|\n)(\d+) passed, (\d+) failed\s*$/.exec(output);
			const passed = Number(sum?.[1] ?? 0);
			const failed = Number(sum?.[2] ?? 0);
			resolve({ passed, failed: failed === 0 && (code !== 0 || passed === 0) ? 1 : failed });
		});
	});
}

const wanted = options.only.split(",");
const unknown = wanted.filter((name) => !RUNTIMES.some((runtime) => runtime.name === name));
if (unknown.length > 0) throw new RangeError(`--only: no runtime is called ${unknown.join(", ")}`);
if (wanted.includes("node22") || wanted.includes("node24")) install();

let passed = 0;
let failed = 0;
const sums = [];
for (const { name, args, program } of RUNTIMES.filter((runtime) => wanted.includes(runtime.name))) {
	const version =
		program && existsSync(program) ? spawnSync(program, ["--version"], { encoding: "utf8" }).stdout.trim() : "";
	const label = version === "" ? name : `Node ${version}`;
	console.log(`── ${label}`);
	const started = performance.now();
	const sum = await run(args);
	passed += sum.passed;
	failed += sum.failed;
	const seconds = ((performance.now() - started) / 1000).toFixed(0);
	sums.push(`${sum.failed === 0 ? "ok  " : "FAIL"} ${label}: ${sum.passed} passed, ${sum.failed} failed, ${seconds} s`);
}
for (const line of sums) console.log(line);
console.log(`${passed} passed, ${failed} failed`);
process.exitCode = failed > 0 || passed === 0 ? 1 : 0;
