// Runs the benches: every bench/<folder>/*.bench.ts, each bundled by esbuild and in a process of its own.
//   node bench/run.mjs [filter…] [--smoke] [--json FILE] [--markdown FILE]
// A bench exports `title` and `rows(options): Promise<Row[]>` (bench/row.ts). Prints a table per bench; --json writes all
// rows as { name, value, unit, peer, peerValue, ratio }; --markdown puts the tables into a page (bench/markdown.mjs):
// docs/benchmarks.md is made so. --smoke runs each in tiny size: it then proves that the bench
// works, and its figures mean nothing. The last line is `N passed, N failed`, where each bench counts one.
import { spawn, spawnSync } from "node:child_process";
import { readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { cpus, loadavg } from "node:os";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import Table from "cli-table3";
import { writeMarkdown } from "./markdown.mjs";

const here = dirname(fileURLToPath(import.meta.url));
const root = join(here, "..");
const BENCH_LIMIT_MS = 600_000; // the slowest full bench takes under three minutes; a hung one must still end

const { values: options, positionals: filters } = parseArgs({
	allowPositionals: true,
	options: {
		smoke: { type: "boolean", default: false },
		json: { type: "string" },
		markdown: { type: "string" },
	},
});

function benches() {
	const folders = readdirSync(here, { withFileTypes: true }).filter((entry) => entry.isDirectory());
	const files = folders.flatMap(({ name }) =>
		readdirSync(join(here, name))
			.filter((file) => file.endsWith(".bench.ts"))
			.map((file) => join(name, file)),
	);
	return files.filter((file) => filters.length === 0 || filters.some((filter) => file.includes(filter))).sort();
}

/** Bundles the benches, and what platform code starts as workers, into one flat folder. @returns bench → bundle */
async function bundle(files) {
	const { build } = await import("esbuild");
	// A folder of its own: another run may be under way.
	const outdir = join(root, "build", `bench-${process.pid}`);
	process.on("exit", () => rmSync(outdir, { recursive: true, force: true }));
	process.on("SIGINT", () => process.exit(130));
	const flat = (file) => file.replaceAll("/", "--").replace(/\.ts$/, "");
	const entryPoints = Object.fromEntries(files.map((file) => [flat(file), join(here, file)]));
	for (const name of readdirSync(join(root, "bindings/platform"), { recursive: true }).map(String))
		if (/-(worker|entry)\.ts$/.test(name))
			entryPoints[name.replace(/^.*\//, "").replace(/\.ts$/, "")] = join(root, "bindings/platform", name);
	await build({
		entryPoints,
		outdir,
		bundle: true,
		splitting: true,
		format: "esm",
		platform: "node",
		target: "node20",
		packages: "external",
		logLevel: "warning",
	});
	return new Map(files.map((file) => [file, join(outdir, `${flat(file)}.js`)]));
}

/** Runs one bench. Its rows come back over the process's message channel; what it prints is passed on. */
function runBench(file) {
	return new Promise((resolve) => {
		const child = spawn(
			process.execPath,
			["--expose-gc", join(here, "run-one.mjs"), file, JSON.stringify({ smoke: options.smoke })],
			{
				cwd: root,
				stdio: ["ignore", "inherit", "inherit", "ipc"],
			},
		);
		let result;
		const timer = setTimeout(() => child.kill("SIGKILL"), BENCH_LIMIT_MS);
		child.on("message", (message) => (result = message));
		child.on("error", (error) => (result = { error: error.stack }));
		child.on("close", (code, signal) => {
			clearTimeout(timer);
			if (result === undefined) result = { error: `ended without rows: ${signal ?? code}` };
			else if (code !== 0 && result.error === undefined) result = { error: `ended with ${signal ?? code}` };
			resolve(result);
		});
	});
}

const short = (value) => (value === null || value === undefined ? "" : Number(value.toPrecision(3)).toString());

function print(title, rows) {
	const table = new Table({
		head: ["", "ours", "unit", "peer", "theirs", "ratio", "goal"],
		style: { head: [], border: [] },
		colAligns: ["left", "right", "left", "left", "right", "right", "right"],
		chars: {
			top: "",
			"top-mid": "",
			"top-left": "",
			"top-right": "",
			mid: "",
			"mid-mid": "",
			"left-mid": "",
			"right-mid": "",
			bottom: "",
			"bottom-mid": "",
			"bottom-left": "",
			"bottom-right": "",
			left: "",
			right: "",
			middle: " ",
		},
	});
	for (const { name, value, unit, peer, peerValue, ratio, goal } of rows)
		table.push([
			name,
			short(value),
			unit,
			peer ?? "",
			short(peerValue),
			short(ratio),
			goal === undefined || options.smoke ? "" : `≥ ${goal}${ratio >= goal ? "" : "  below"}`,
		]);
	console.log(`\n${title}\n${table.toString()}`);
}

spawnSync(process.execPath, [join(root, "tools/build.mjs"), "engine"], { stdio: "inherit" });
const files = benches();
const bundles = await bundle(files);
const machine = `Node ${process.version}, V8 ${process.versions.v8}, ${cpus()[0]?.model}, ${cpus().length} CPUs${options.smoke ? ", smoke size" : ""}`;
console.log(machine);
const all = [];
const tables = [];
/** Processes that wanted to run in the last minute: what else the machine does. */
const load = () => loadavg()[0].toFixed(1);
let failed = 0;
for (const [file, bundled] of bundles) {
	const loadBefore = load();
	const { title, rows, error } = await runBench(bundled);
	if (error !== undefined || rows.length === 0) {
		failed++;
		console.error(`\nFAIL ${file}\n${error ?? "no rows"}`);
		continue;
	}
	print(title, rows);
	tables.push({ title, rows, conditions: `${machine}; load average ${loadBefore} before, ${load()} after` });
	all.push(
		...rows.map(({ name, value, unit, peer, peerValue, ratio }) => ({
			name: `${title}: ${name}`,
			value,
			unit,
			peer,
			peerValue,
			ratio,
		})),
	);
}
if (options.json !== undefined) {
	writeFileSync(options.json, `${JSON.stringify(all, null, "\t")}\n`);
	JSON.parse(readFileSync(options.json, "utf8"));
}
if (options.markdown !== undefined) writeMarkdown(options.markdown, tables);
console.log(`\n${files.length - failed} passed, ${failed} failed`);
process.exitCode = failed > 0 || files.length === 0 ? 1 : 0;
