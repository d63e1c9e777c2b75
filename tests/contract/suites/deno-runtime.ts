import { denoPlatform } from "../../../bindings/platform/deno/index.ts";
import type { TestRuntime } from "./test-runtime.ts";

export const denoRuntime: TestRuntime = {
	platform: denoPlatform(),
	temporaryFolder: () => Deno.makeTempDir({ prefix: "pageferry-" }),
	removeFolder: async (path) => {
		await Deno.remove(path, { recursive: true });
	},
	program: (name, ...args) => {
		const file = new URL(`../../programs/${name}.ts`, import.meta.url).pathname;
		return { executable: Deno.execPath(), args: ["run", "--allow-all", "--no-check", file, ...args] };
	},
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
