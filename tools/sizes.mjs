// Size budgets, and the shape the wasm modules promise. The engine imports nothing; the in-place kernels import the guest's
// memory and the engine's sinks; neither has a data section (a guest's memory is not ours: data would be written over it).
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { gzipSync } from "node:zlib";
import { root } from "./sources.mjs";

const KIB = 1024;

// One row per thing that is shipped: `node tools/sizes.mjs` prints what each is now.
const BUDGETS = [
	{
		path: "dist/engine.wasm",
		limit: 48 * KIB,
		why: "compiled by every worker before its guest runs; 34 KB with deltas, LZ4, bubbling and balloon",
	},
	{
		path: "dist/inplace.wasm",
		limit: 12 * KIB,
		why: "instantiated once per guest memory; 8 KB with the first kernels",
	},
	{
		path: "dist/index.js",
		limit: 1024 * KIB,
		why: 'with its chunks: what `import "pageferry"` reads, engine inlined, not minified; 760 KB with migration, post-copy, snapshots and the lab',
	},
	{ path: "dist/deno.js", limit: 1024 * KIB, why: "the same for Deno" },
	{
		path: "dist/pageferry.js",
		limit: 2560 * KIB,
		why: "the command with its bundled argument parser, bars, tables, v86 guests and the lab with its charts (1.6 MB), chunks that only what needs them loads",
	},
];
const PACKAGE_GZIP = { limit: 2048 * KIB, why: "all of dist/ compressed: about what an install downloads" };

/** A bundle's own bytes and those of every chunk it imports, each once. */
function withChunks(path, seen = new Set()) {
	if (seen.has(path) || !existsSync(join(root, path))) return 0;
	seen.add(path);
	const bytes = readFileSync(join(root, path));
	let total = bytes.length;
	if (path.endsWith(".js"))
		for (const [, name] of bytes.toString("utf8").matchAll(/(?:from|import)\s*\(?\s*"\.\/([\w.-]+\.js)"/g))
			total += withChunks(`dist/${name}`, seen);
	return total;
}

/** Ids of the sections of a wasm module: 11 is data. */
function sections(bytes) {
	const ids = [];
	for (let at = 8; at < bytes.length; ) {
		ids.push(bytes[at++]);
		let length = 0;
		for (let shift = 0, more = true; more; shift += 7) {
			length += (bytes[at] & 127) * 2 ** shift;
			more = bytes[at++] > 127;
		}
		at += length;
	}
	return ids;
}

function shape(path, allowed) {
	if (!existsSync(join(root, path))) return [];
	const bytes = readFileSync(join(root, path));
	const imports = WebAssembly.Module.imports(new WebAssembly.Module(bytes)).map(
		({ module, name }) => `${module}.${name}`,
	);
	const violations = imports.filter((name) => !allowed.test(name)).map((name) => `${path}: imports ${name}`);
	if (sections(bytes).includes(11))
		violations.push(`${path}: has a data section; keep constants in code or in a region`);
	return violations;
}

/** @returns one line per budget that is exceeded, per file that is missing and per broken promise */
export function sizes() {
	const violations = [
		...shape("dist/engine.wasm", /^$/),
		...shape("dist/inplace.wasm", /^(env\.memory|engine\.inplace\w+)$/),
	];
	for (const { path, limit, why } of BUDGETS) {
		if (!existsSync(join(root, path))) violations.push(`${path}: missing (${why})`);
		const size = withChunks(path);
		if (size > limit) violations.push(`${path}: ${size} bytes, budget ${limit} (${why})`);
	}
	const files = existsSync(join(root, "dist"))
		? readdirSync(join(root, "dist"), { recursive: true, withFileTypes: true })
		: [];
	const shipped = files
		.filter((entry) => entry.isFile())
		.map((entry) => readFileSync(join(entry.parentPath, entry.name)));
	const packed = gzipSync(Buffer.concat(shipped)).length;
	if (packed > PACKAGE_GZIP.limit)
		violations.push(`dist/: ${packed} bytes compressed, budget ${PACKAGE_GZIP.limit} (${PACKAGE_GZIP.why})`);
	return violations;
}

/** @returns the table, for `node tools/sizes.mjs` */
export function sizeTable() {
	return BUDGETS.map(
		({ path, limit }) =>
			`${path.padEnd(20)} ${String(withChunks(path)).padStart(8)} of ${String(limit).padStart(8)} bytes`,
	);
}

if (process.argv[1]?.endsWith("sizes.mjs")) console.log([...sizeTable(), ...sizes()].join("\n"));
