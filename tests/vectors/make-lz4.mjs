// Makes lz4.json: what liblz4 (Debian liblz4-dev, here 1.9.4-1) encodes lz4-inputs.ts to, by LZ4_compress_default ("fast")
// and LZ4_compress_HC level 12 ("hc"), base64. Needs gcc and the header; run only to make the vectors again:
//   node tests/vectors/make-lz4.mjs
import { execFileSync } from "node:child_process";
import { mkdtempSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { build } from "esbuild";

const here = dirname(fileURLToPath(import.meta.url));
const scratch = mkdtempSync(join(tmpdir(), "pageferry-lz4-"));
await build({
	entryPoints: [join(here, "lz4-inputs.ts")],
	outfile: join(scratch, "inputs.mjs"),
	format: "esm",
	bundle: true,
});
const { lz4Inputs } = await import(join(scratch, "inputs.mjs"));

writeFileSync(
	join(scratch, "encode.c"),
	`#include <lz4.h>
#include <lz4hc.h>
#include <stdio.h>
#include <string.h>
static char in[1 << 17], out[1 << 18];
int main(int argc, char **argv) {
	int n = fread(in, 1, sizeof in, stdin);
	int m = strcmp(argv[1], "hc") ? LZ4_compress_default(in, out, n, sizeof out) : LZ4_compress_HC(in, out, n, sizeof out, 12);
	return m > 0 && fwrite(out, 1, m, stdout) == (size_t)m ? 0 : 1;
}`,
);
execFileSync("gcc", ["-O2", join(scratch, "encode.c"), "-o", join(scratch, "encode"), "-llz4"]);
const vectors = [];
for (const [name, input] of lz4Inputs()) {
	const encode = (mode) => execFileSync(join(scratch, "encode"), [mode], { input }).toString("base64");
	vectors.push({ name, fast: encode("fast"), hc: encode("hc") });
}
writeFileSync(join(here, "lz4.json"), `${JSON.stringify({ library: "liblz4 1.9.4", vectors }, null, "\t")}\n`);
