// The third-party WebAssembly programs among the development dependencies, as bytes and behind their own glue.
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { join } from "node:path";
import process from "node:process";
import type { SqlJsStatic } from "sql.js";

const packages = join(process.cwd(), "node_modules");

export const PROGRAMS = {
	sqlite: "sql.js/dist/sql-wasm.wasm",
	sqliteDebug: "sql.js/dist/sql-wasm-debug.wasm",
	quickjs: "@jitl/quickjs-wasmfile-release-sync/dist/emscripten-module.wasm",
	quickjsDebug: "@jitl/quickjs-wasmfile-debug-sync/dist/emscripten-module.wasm",
	quickjsAsyncify: "@jitl/quickjs-wasmfile-release-asyncify/dist/emscripten-module.wasm",
	lua: "wasmoon/dist/glue.wasm",
	roaring: "roaring-wasm/index.wasm",
	zstd: "@bokuweb/zstd-wasm/dist/common/zstd.wasm",
	xxhash: "xxhash-wasm/workerd/xxhash.wasm",
} as const;

export type ProgramName = keyof typeof PROGRAMS;
export const PROGRAM_NAMES = Object.keys(PROGRAMS) as ProgramName[];

export function programBytes(name: ProgramName): Uint8Array<ArrayBuffer> {
	return new Uint8Array(readFileSync(join(packages, PROGRAMS[name])));
}

/** Every WebAssembly file of the installed packages, whatever it is for. */
export function installedModules(): { path: string; bytes: Uint8Array<ArrayBuffer> }[] {
	if (!existsSync(packages)) throw new Error(`run the tests from the project's root: there is no ${packages}`);
	return readdirSync(packages, { recursive: true, withFileTypes: true })
		.filter((entry) => entry.isFile() && entry.name.endsWith(".wasm"))
		.map((entry) => join(entry.parentPath, entry.name))
		.sort()
		.map((path) => ({ path: path.slice(packages.length + 1), bytes: new Uint8Array(readFileSync(path)) }));
}

const load = createRequire(join(packages, "package.json"));

/** The package keeps one instance for all callers; loaded anew it makes another. */
export function freshSqlite(): Promise<SqlJsStatic> {
	delete load.cache[load.resolve("sql.js")];
	return load("sql.js")();
}

/** What the glue of zstd gives: the C functions, and views of memory. */
export interface Zstd {
	readonly HEAPU8: Uint8Array;
	readonly _malloc: (byteLength: number) => number;
	readonly _ZSTD_compress: (to: number, room: number, from: number, byteLength: number, level: number) => number;
	readonly _ZSTD_decompress: (to: number, room: number, from: number, byteLength: number) => number;
}

/** Likewise. */
export async function freshZstd(): Promise<Zstd> {
	const folder = join(packages, "@bokuweb/zstd-wasm/dist/common");
	for (const file of ["module.js", "zstd.js"]) delete load.cache[join(folder, file)];
	const { Module, waitInitialized } = load(join(folder, "module.js"));
	Module.init(programBytes("zstd"));
	await waitInitialized();
	return Module;
}

export interface Instantiated {
	readonly instance: WebAssembly.Instance;
	readonly imports: WebAssembly.Imports;
	readonly module: Uint8Array;
}

/**
 * Runs a package's own set-up while every module it instantiates is rewritten first.
 * @returns what the set-up returned, and the instance made
 */
export async function withRewriting<T>(
	rewrite: (bytes: Uint8Array) => Uint8Array,
	setUp: () => Promise<T>,
	facade: (made: Instantiated) => WebAssembly.Exports = (made) => made.instance.exports,
	importing: (imports: WebAssembly.Imports) => WebAssembly.Imports = (imports) => imports,
): Promise<{ program: T; made: Instantiated }> {
	const original = WebAssembly.instantiate;
	let made: Instantiated | undefined;
	const replacement = async (source: BufferSource, given: WebAssembly.Imports) => {
		const imports = importing(given);
		const bytes = ArrayBuffer.isView(source)
			? new Uint8Array(source.buffer, source.byteOffset, source.byteLength)
			: new Uint8Array(source);
		const module = new WebAssembly.Module(Uint8Array.from(rewrite(bytes)));
		const instance = new WebAssembly.Instance(module, imports);
		made = { instance, imports, module: bytes };
		return { module, instance: { exports: facade(made) } };
	};
	// Emscripten prefers streaming where the host has it; its own fallback is the path that can be observed here.
	const streaming = WebAssembly.instantiateStreaming;
	Object.assign(WebAssembly, { instantiate: replacement, instantiateStreaming: undefined });
	try {
		const program = await setUp();
		if (made === undefined) throw new Error("the package instantiated nothing");
		return { program, made };
	} finally {
		Object.assign(WebAssembly, { instantiate: original, instantiateStreaming: streaming });
	}
}
