// Compiles tests/programs/ballooning.as, an AssemblyScript guest whose allocator has a balloon.
import { readFileSync } from "node:fs";

let compiled: Promise<Uint8Array<ArrayBuffer>> | undefined;

/** The module, compiled once per process. */
export function ballooningModule(): Promise<Uint8Array<ArrayBuffer>> {
	compiled ??= compile();
	return compiled;
}

async function compile(): Promise<Uint8Array<ArrayBuffer>> {
	const { main } = await import("assemblyscript/asc");
	let bytes: Uint8Array | undefined;
	const options = ["--runtime", "stub", "--initialMemory", "64", "-O", "--outFile", "ballooning.wasm"];
	const { error, stderr } = await main(["ballooning.ts", ...options], {
		// asc only takes files that end in .ts, and this one is no TypeScript.
		readFile: (name: string) =>
			name === "ballooning.ts" ? readFileSync("tests/programs/ballooning.as", "utf8") : null,
		writeFile: (name: string, contents: Uint8Array | string) => {
			if (name === "ballooning.wasm" && typeof contents !== "string") bytes = contents;
		},
		listFiles: () => [],
	});
	if (error !== null || bytes === undefined) throw new Error(`asc failed: ${stderr.toString()}`);
	return Uint8Array.from(bytes);
}
