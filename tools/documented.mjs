// The files whose doc comments hold an example: each runs as a Deno test.
import { projectFiles, textOf } from "./sources.mjs";

/** @returns paths below bindings/ with a fenced TypeScript example in a doc comment */
export function documented() {
	const example = /^\s*\*\s*```(ts|typescript|js)?\s*$/m;
	return projectFiles().filter((path) => /^bindings\/.*\.ts$/.test(path) && example.test(textOf(path) ?? ""));
}
