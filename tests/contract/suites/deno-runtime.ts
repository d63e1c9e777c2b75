import { denoPlatform } from "../../../bindings/platform/deno/index.ts";
import { denoWorkers } from "../../../bindings/platform/deno/workers.ts";
import type { TestRuntime } from "./test-runtime.ts";

const programUrl = (name: string) => new URL(`../../programs/${name}.ts`, import.meta.url);

export const denoRuntime: TestRuntime = {
	platform: denoPlatform(),
	temporaryFolder: () => Deno.makeTempDir({ prefix: "pageferry-" }),
	removeFolder: async (path) => {
		await Deno.remove(path, { recursive: true });
	},
	program: (name, ...args) => {
		const file = programUrl(name).pathname;
		return { executable: Deno.execPath(), args: ["run", "--allow-all", "--no-check", file, ...args] };
	},
	programUrl,
	workerOf: (name) => denoWorkers({ "wasm-guest": programUrl(name) }).start("wasm-guest"),
	processState: (pid) =>
		Deno.readTextFile(`/proc/${pid}/stat`).then(
			(stat) => /\) ([A-Z]) /i.exec(stat)?.[1],
			() => undefined,
		),
	inode: async (path) => (await Deno.lstat(path)).ino ?? 0,
	exists: (path) =>
		Deno.lstat(path).then(
			() => true,
			() => false,
		),
	writeFile: Deno.writeFile,
	readFile: Deno.readFile,
	names: async (path) => {
		const names: string[] = [];
		for await (const { name } of Deno.readDir(path)) names.push(name);
		return names.sort();
	},
};
