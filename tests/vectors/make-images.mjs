// Makes images/version-N.json: a store, a sealed store and an exported image of the format version that the code writes.
// A fixture that is committed is never made again: run this once for each new version.
//   node tests/vectors/make-images.mjs N
import { existsSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";
import { build } from "esbuild";

const here = dirname(fileURLToPath(import.meta.url));
const version = process.argv[2];
const target = join(here, "images", `version-${version}.json`);
if (!/^[1-9][0-9]*$/.test(version ?? "")) throw new RangeError("name the format version that the code writes");
if (existsSync(target)) throw new RangeError(`${target} is there: what was released never changes`);
// Inside the repository, so that the bundle finds its packages.
const scratch = mkdtempSync(join(here, ".make-"));
try {
	const outfile = join(scratch, "fixture.mjs");
	await build({
		entryPoints: [join(here, "image-fixtures.ts")],
		outfile,
		bundle: true,
		format: "esm",
		platform: "node",
		packages: "external",
	});
	const { makeImageFixture } = await import(pathToFileURL(outfile).href);
	writeFileSync(target, `${JSON.stringify(await makeImageFixture(), undefined, "\t")}\n`);
} finally {
	rmSync(scratch, { recursive: true });
}
