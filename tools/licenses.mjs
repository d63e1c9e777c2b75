// The licences of the packages that are bundled into dist/: each of them wants its text to go along.
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";

/** Licences that let a bundle be given away under ours. */
const ALLOWED = /^(MIT|ISC|0BSD|BSD-[23]-Clause|Apache-2\.0|Unlicense|Zlib)$/;

/**
 * @param inputs - paths of all files in a bundle, as esbuild's metafile has them
 * @returns one text with every package's name, version and licence; throws for a licence that is not allowed
 */
export function licensesOf(inputs) {
	const folders = new Set();
	for (const path of inputs) {
		const folder = /^(.*node_modules\/(?:@[^/]+\/)?[^/]+)\//.exec(path)?.[1];
		if (folder !== undefined) folders.add(folder);
	}
	const parts = [...folders].sort().map((folder) => {
		const { name, version, license } = JSON.parse(readFileSync(join(folder, "package.json"), "utf8"));
		if (!ALLOWED.test(license)) throw new Error(`${name} is bundled, and its licence is ${license}`);
		const files = readdirSync(folder).filter((file) => /^(licen[cs]e|notice|copying)(\.(md|txt))?$/i.test(file));
		const texts = files.map((file) => readFileSync(join(folder, file), "utf8").trim());
		return [`${name} ${version} (${license})`, ...texts].join("\n\n");
	});
	const head = "dist/ holds code of these packages: most of it in the pageferry command.";
	return `${[head, ...parts].join(`\n\n${"-".repeat(80)}\n\n`)}\n`;
}
