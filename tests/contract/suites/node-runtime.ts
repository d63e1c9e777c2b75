import { lstat, mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { fileURLToPath } from "node:url";
import { nodePlatform } from "../../../bindings/platform/node/index.ts";
import { nodeWorkers } from "../../../bindings/platform/node/workers.ts";
import type { TestRuntime } from "./test-runtime.ts";

const programUrl = (name: string) => new URL(`./${name}.js`, import.meta.url);

/** Suites run bundled on Node: the programs lie beside them. */
export const nodeRuntime: TestRuntime = {
	platform: nodePlatform(),
	temporaryFolder: () => mkdtemp(join(tmpdir(), "pageferry-")),
	removeFolder: (path) => rm(path, { recursive: true, force: true }),
	program: (name, ...args) => ({
		executable: process.execPath,
		args: ["--enable-source-maps", fileURLToPath(programUrl(name)), ...args],
	}),
	foreignProgram: (name, ...args) => ({
		executable: createRequire(import.meta.url)("deno/install_api.cjs").runInstall(),
		args: ["run", "--allow-all", "--no-check", join(process.cwd(), "tests", "programs", `${name}.ts`), ...args],
	}),
	programUrl,
	workerOf: (name) => nodeWorkers({ "wasm-guest": programUrl(name) }).start("wasm-guest"),
	processState: (pid) =>
		readFile(`/proc/${pid}/stat`, "utf8").then(
			(stat) => /\) ([A-Z]) /i.exec(stat)?.[1],
			() => undefined,
		),
	inode: async (path) => (await lstat(path)).ino,
	exists: (path) =>
		lstat(path).then(
			() => true,
			() => false,
		),
	writeFile,
	readFile: async (path) => new Uint8Array(await readFile(path)),
	names: async (path) => (await readdir(path)).sort(),
};
