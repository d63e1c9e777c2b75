// Runs every suite of tests/ in a process of its own, on Node (bundled by esbuild) and on Deno (from the sources),
// and ends in `N passed, N failed`. A file is `name.test.ts` (both runtimes), `name.node.test.ts` or `name.deno.test.ts`.
//   node tests/run.mjs [--runtime node|deno|all] [--node PATH] [--jobs N] [--limit SECONDS] [--repeat N] [filter…]
// A suite that does not finish within its limit, crashes, or prints no count is one failure: nothing passes by silence.
// It is ended with everything it has started, and so are all when this process is told to end.
// `--repeat` runs everything N times in a row, to find what fails now and then: a round with a failure is the last.
import { spawn } from "node:child_process";
import { existsSync, readdirSync, rmSync } from "node:fs";
import { createRequire } from "node:module";
import { basename, dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";

const here = dirname(fileURLToPath(import.meta.url));
const root = join(here, "..");
/** Folders of tests/ whose suites are run; tools/suites.mjs fails on a suite anywhere else. */
export const FOLDERS = ["unit", "property", "contract", "simulation", "hostile", "processes", "guests"];

const { values: options, positionals: filters } = parseArgs({
	allowPositionals: true,
	options: {
		runtime: { type: "string", default: "all" },
		node: { type: "string", default: process.execPath },
		jobs: { type: "string", default: "2" },
		// The slowest suite (processes) takes under 60 s on 2 cores; a hung one must still end.
		limit: { type: "string", default: "300" },
		repeat: { type: "string", default: "1" },
	},
});
const SUITE_LIMIT_MS = Number(options.limit) * 1000;

/** @returns the Deno executable itself: `.bin/deno` may be a wrapper, and killing a wrapper orphans the real process. */
export function denoPath() {
	return createRequire(import.meta.url)("deno/install_api.cjs").runInstall();
}

function suites(runtime) {
	const found = [];
	for (const folder of FOLDERS) {
		const path = join(here, folder);
		if (!existsSync(path)) continue;
		for (const name of readdirSync(path).sort()) {
			if (!name.endsWith(".test.ts")) continue;
			const only = /\.(node|deno)\.test\.ts$/.exec(name)?.[1];
			if (only !== undefined && only !== runtime) continue;
			const file = join(folder, name);
			if (filters.length === 0 || filters.some((filter) => file.includes(filter))) found.push(file);
		}
	}
	return found;
}

/** Bundles the suites for Node into one flat folder, worker entries beside them. @returns suite → bundle */
async function bundle(files) {
	const { build } = await import("esbuild");
	// A folder per run: two runs at once (two Node versions, two terminals) do not delete each other's bundles.
	const outdir = join(root, "build", `tests-${process.pid}`);
	process.on("exit", () => rmSync(outdir, { recursive: true, force: true }));
	const flat = (file) => file.replaceAll("/", "--").replace(/\.ts$/, "");
	const entryPoints = Object.fromEntries(files.map((file) => [flat(file), join(here, file)]));
	const platform = join(root, "bindings/platform");
	for (const name of existsSync(platform) ? readdirSync(platform, { recursive: true }).map(String) : [])
		if (name.endsWith("-worker.ts")) entryPoints[basename(name, ".ts")] = join(platform, name);
	const programs = join(here, "programs");
	for (const name of existsSync(programs) ? readdirSync(programs) : [])
		if (name.endsWith(".ts")) entryPoints[basename(name, ".ts")] = join(programs, name);
	await build({
		entryPoints,
		outdir,
		bundle: true,
		splitting: true,
		format: "esm",
		platform: "node",
		target: "node20",
		packages: "external",
		sourcemap: "inline",
		logLevel: "warning",
	});
	return new Map(files.map((file) => [file, join(outdir, `${flat(file)}.js`)]));
}

/** Suites that run now. */
const running = new Set();
/** Where QEMU guests of the tests have their memory: see tests/qemu/stage.ts. */
const SHARED_MEMORY = "/dev/shm";

/** Ends a suite and all its processes, and removes the memory of its QEMU guests: it can't do so itself any more. */
function end({ pid }) {
	if (pid === undefined) return; // it could not be started
	try {
		process.kill(-pid, "SIGKILL");
	} catch {
		// all of it has ended
	}
	for (const name of existsSync(SHARED_MEMORY) ? readdirSync(SHARED_MEMORY) : [])
		if (name.startsWith(`pageferry-test-${pid}-`))
			rmSync(join(SHARED_MEMORY, name), { recursive: true, force: true, maxRetries: 3 });
}

function runSuite(command, args) {
	return new Promise((resolve) => {
		// A process group of its own, to be ended as one.
		const child = spawn(command, args, { cwd: root, stdio: ["ignore", "pipe", "pipe"], detached: true });
		running.add(child);
		let output = "";
		let isLate = false;
		const timer = setTimeout(() => {
			isLate = true;
			output += `\nno end within ${SUITE_LIMIT_MS} ms`;
			end(child);
		}, SUITE_LIMIT_MS);
		child.stdout.on("data", (chunk) => (output += chunk));
		child.stderr.on("data", (chunk) => (output += chunk));
		child.on("error", (error) => (output += `\n${error.stack}`));
		child.on("close", (code, signal) => {
			clearTimeout(timer);
			running.delete(child);
			const count = /^(\d+) passed, (\d+) failed$/m.exec(output);
			const passed = Number(count?.[1] ?? 0);
			let failed = Number(count?.[2] ?? 0);
			// It may have said that all is well, and left a process that holds its output.
			if ((code !== 0 || count === null || isLate) && failed === 0) failed = 1;
			if (failed > 0) end(child); // what a suite that died has left
			resolve({ passed, failed, output, ended: signal ?? code });
		});
	});
}

async function main() {
	for (const [signal, number] of Object.entries({ SIGHUP: 1, SIGINT: 2, SIGTERM: 15 }))
		process.on(signal, () => process.exit(128 + number));
	process.on("exit", () => {
		for (const child of running) end(child);
	});
	const jobs = [];
	if (options.runtime !== "deno") {
		const bundles = await bundle(suites("node"));
		for (const [file, bundled] of bundles)
			jobs.push({
				label: `node ${file}`,
				command: options.node,
				args: ["--enable-source-maps", join(here, "run-suites.mjs"), bundled],
			});
	}
	if (options.runtime !== "node") {
		const deno = denoPath();
		for (const file of suites("deno"))
			jobs.push({
				label: `deno ${file}`,
				command: deno,
				args: ["run", "--allow-all", "--no-check", join(here, "run-suites.mjs"), join(here, file)],
			});
	}
	let passed = 0;
	let failed = 0;
	const next = async (queue) => {
		for (let job = queue.shift(); job !== undefined; job = queue.shift()) {
			const started = performance.now();
			const result = await runSuite(job.command, job.args);
			passed += result.passed;
			failed += result.failed;
			const seconds = ((performance.now() - started) / 1000).toFixed(1);
			console.log(
				`${result.failed === 0 ? "ok  " : "FAIL"} ${job.label}  ${result.passed} passed, ${result.failed} failed, ${seconds} s`,
			);
			if (result.failed > 0) console.log(`${result.output.trimEnd()}\n(ended: ${result.ended})`);
			else
				for (const line of result.output.split("\n"))
					if (/skip|seed/i.test(line) && !/^\s*Skipped:\s+0$/.test(line)) console.log(`     ${line.trim()}`);
		}
	};
	const rounds = Number(options.repeat);
	for (let round = 1; round <= rounds && failed === 0; round++) {
		const queue = [...jobs];
		const started = performance.now();
		await Promise.all(Array.from({ length: Number(options.jobs) }, () => next(queue)));
		const seconds = ((performance.now() - started) / 1000).toFixed(0);
		if (rounds > 1) console.log(`round ${round} of ${rounds}: ${passed} passed so far, ${failed} failed, ${seconds} s`);
	}
	console.log(`${passed} passed, ${failed} failed`);
	process.exitCode = failed > 0 || passed === 0 ? 1 : 0;
}

if (process.argv[1] === fileURLToPath(import.meta.url)) await main();
