// Runs an example on this Node, whatever its version: bundles it, with the built package as `pageferry`.
//   node examples/run.mjs NAME        e.g. move-between-processes
// On Deno they run as they are: deno run -A examples/NAME.ts
import { spawn } from "node:child_process";
import { existsSync, readdirSync, rmSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

const here = dirname(fileURLToPath(import.meta.url));

/** Names of all examples. */
export function exampleNames() {
	return readdirSync(here)
		.filter((name) => name.endsWith(".ts"))
		.map((name) => name.replace(/\.ts$/, ""))
		.sort();
}

/**
 * Bundles examples and the programs they load into a folder below the package, where `pageferry` means this package.
 * @param {string[]} files paths of the sources; @param {string} outdir
 */
export async function bundleExamples(files, outdir) {
	const { build } = await import("esbuild");
	const programs = readdirSync(join(here, "programs")).map((name) => join(here, "programs", name));
	const common = { bundle: true, splitting: true, format: "esm", platform: "node", target: "node20" };
	await build({ ...common, entryPoints: files, outdir, packages: "external", logLevel: "warning" });
	await build({ ...common, entryPoints: programs, outdir: join(outdir, "programs"), packages: "external" });
}

async function main([name, ...args]) {
	if (name === undefined || !exampleNames().includes(name)) {
		console.error(`node examples/run.mjs NAME, where NAME is one of\n  ${exampleNames().join("\n  ")}`);
		process.exitCode = 2;
		return;
	}
	if (!existsSync(join(here, "../dist/index.js"))) throw new Error("dist/ is missing: npm run build");
	const outdir = join(here, `../build/example-${process.pid}`);
	process.on("exit", () => rmSync(outdir, { recursive: true, force: true }));
	await bundleExamples([join(here, `${name}.ts`)], outdir);
	const child = spawn(process.execPath, [join(outdir, `${name}.js`), ...args], { stdio: "inherit" });
	process.exitCode = await new Promise((resolve) => child.on("close", (code) => resolve(code ?? 1)));
}

if (process.argv[1] === fileURLToPath(import.meta.url)) await main(process.argv.slice(2));
