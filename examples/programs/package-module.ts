// The WebAssembly module of a package without its glue: the names that a minified module's functions have in the glue, and
// the package's version, because what its imports are called changes from build to build.
import { readFileSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { createRequire } from "node:module";
import { join } from "node:path";

const require = createRequire(import.meta.url);

/** Where a package has what. */
export interface PackageModule {
	readonly name: string;
	/** The one whose imports this program knows. */
	readonly version: string;
	/** Paths within the package. */
	readonly module: string;
	readonly glue: string;
	/** The package through which this one is installed. */
	readonly through?: string;
}

/** @returns the package's folder. @throws Error for another version */
function folderOf({ name, version, through }: PackageModule): string {
	const from = through === undefined ? require : createRequire(require.resolve(through));
	const entry = from.resolve(name);
	const folder = entry.slice(0, entry.lastIndexOf(join("node_modules", name)) + join("node_modules", name).length);
	const { version: found } = JSON.parse(readFileSync(join(folder, "package.json"), "utf8"));
	if (found !== version) throw new Error(`${name} is ${found}: this program knows the imports of ${version}`);
	return folder;
}

/** The module's bytes. */
export async function moduleBytesOf(packageModule: PackageModule): Promise<Uint8Array> {
	return readFile(join(folderOf(packageModule), packageModule.module));
}

/** `object._malloc=exports.Ia` and the like. */
const ASSIGNMENT = /\.?\b\w+(?:\.(_\w+)|\['(_\w+)'\])\s*=\s*\w+(?:\.([\w$]+)|\['([\w$]+)'\])/g;

/** Functions by the names that the glue gives them, without the first underscore. */
export function namedExports(packageModule: PackageModule, exports: WebAssembly.Exports): WebAssembly.Exports {
	const glue = readFileSync(join(folderOf(packageModule), packageModule.glue), "utf8");
	const named: WebAssembly.Exports = {};
	for (const [, dotted, quoted, short, shortQuoted] of glue.matchAll(ASSIGNMENT)) {
		const value = exports[short ?? shortQuoted ?? ""];
		if (value !== undefined) named[(dotted ?? quoted)!.slice(1)] = value;
	}
	return named;
}

/** Imports that are called by letters: what each is, by its name in Emscripten's library. */
export function letteredImports(
	letters: Readonly<Record<string, string>>,
	...functions: readonly Readonly<Record<string, unknown>>[]
): WebAssembly.ModuleImports {
	const all: Readonly<Record<string, unknown>> = Object.assign({}, ...functions);
	const imports: WebAssembly.ModuleImports = {};
	for (const [letter, name] of Object.entries(letters)) {
		const known = all[name];
		imports[letter] = (typeof known === "function" ? known : all.none) as WebAssembly.ImportValue;
	}
	return imports;
}
