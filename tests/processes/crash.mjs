// The crash tests of the snapshot store for as long as one likes; `npm test` runs a few of each kind.
//   node tests/processes/crash.mjs [--seeds 1000] [--runtime node|deno|all] [--kind kill|reorder|all] [--first N] [--restart]
// Two kinds, by the suites that npm test has too:
//   kill      real writer processes, killed by SIGKILL at any moment, alone and beside others   snapshot-crash-suite.ts
//   reorder   a simulated machine that stops: un-synced bytes and names are lost in any order    snapshot-store-crash.test.ts
// Both check that nothing acknowledged is lost and nothing half is visible. It stops at the first failure and prints the seed.
// Progress is kept in build/crash-progress.json: called again it goes on where it was ended; --restart begins anew.
// A thousand kills take half an hour on two quiet cores: `nice -n 10` is a good idea.
import { spawn } from "node:child_process";
import { mkdirSync, readFileSync, renameSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import process from "node:process";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";

const root = join(dirname(fileURLToPath(import.meta.url)), "../..");
const progressPath = join(root, "build/crash-progress.json");
/** Seeds of one run of a suite: well within its time limit on a busy machine. */
const CHUNK = { kill: 10, reorder: 100 };

const { values: options } = parseArgs({
	options: {
		seeds: { type: "string", default: "1000" },
		first: { type: "string", default: "0" },
		runtime: { type: "string", default: "node" },
		kind: { type: "string", default: "all" },
		restart: { type: "boolean", default: false },
	},
});
const seeds = Number(options.seeds);
const first = Number(options.first);
if (!Number.isSafeInteger(seeds) || seeds < 1) throw new RangeError(`--seeds: a whole number from 1 on`);
if (!Number.isSafeInteger(first) || first < 0) throw new RangeError(`--first: a whole number from 0 on`);
const kinds = options.kind === "all" ? ["kill", "reorder"] : [options.kind];
const runtimes = options.runtime === "all" ? ["node", "deno"] : [options.runtime];
if (kinds.some((kind) => !(kind in CHUNK))) throw new RangeError(`--kind: kill, reorder or all`);
if (runtimes.some((runtime) => !["node", "deno"].includes(runtime)))
	throw new RangeError(`--runtime: node, deno or all`);

/** Chunks that have passed, as `runtime kind first count`. */
const done = new Set(options.restart ? [] : readProgress());

function readProgress() {
	try {
		return JSON.parse(readFileSync(progressPath, "utf8"));
	} catch (error) {
		if (error.code === "ENOENT") return [];
		throw error;
	}
}

function keepProgress() {
	mkdirSync(dirname(progressPath), { recursive: true });
	writeFileSync(`${progressPath}.new`, JSON.stringify([...done]));
	renameSync(`${progressPath}.new`, progressPath);
}

/** Runs a suite for some seeds. @returns its output if it has failed. */
function run(runtime, kind, from, count) {
	const settings =
		kind === "kill"
			? { PAGEFERRY_CRASH_RUNS: count, PAGEFERRY_CRASH_SEED: from }
			: { PAGEFERRY_SNAPSHOT_SEEDS: count, PAGEFERRY_SNAPSHOT_FIRST_SEED: from };
	const filter = kind === "kill" ? "snapshot-crash." : "snapshot-store-crash";
	return new Promise((resolve) => {
		const child = spawn(process.execPath, [join(root, "tests/run.mjs"), "--runtime", runtime, filter], {
			cwd: root,
			env: {
				...process.env,
				...Object.fromEntries(Object.entries(settings).map(([name, value]) => [name, `${value}`])),
			},
			stdio: ["ignore", "pipe", "inherit"],
		});
		let output = "";
		child.stdout.on("data", (chunk) => (output += chunk));
		child.on("close", (code) => resolve(code === 0 ? undefined : output));
	});
}

let passed = 0;
let failed = 0;
outer: for (const runtime of runtimes)
	for (const kind of kinds)
		for (let from = first; from < first + seeds; from += CHUNK[kind]) {
			const count = Math.min(CHUNK[kind], first + seeds - from);
			const name = `${runtime} ${kind} ${from} ${count}`;
			if (!done.has(name)) {
				const started = performance.now();
				const failure = await run(runtime, kind, from, count);
				const seconds = ((performance.now() - started) / 1000).toFixed(0);
				console.log(
					`${failure === undefined ? "ok  " : "FAIL"} ${runtime} ${kind}: seeds ${from} to ${from + count - 1}, ${seconds} s`,
				);
				if (failure !== undefined) {
					console.log(failure);
					failed += count;
					break outer;
				}
				done.add(name);
				keepProgress();
			}
			passed += count;
		}
console.log(`${passed} passed, ${failed} failed`);
process.exitCode = failed > 0 ? 1 : 0;
