// What belongs to the project: every file git tracks or would track. Generated and ignored files are nobody's text.
import { spawnSync } from "node:child_process";
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

/** The repository's root; every path of the tools is relative to it. */
export const root = join(dirname(fileURLToPath(import.meta.url)), "..");

// For a copy without history or a machine without git: the names .gitignore gives, at any depth.
const IGNORED = new Set([".git", "node_modules", "dist", "build"]);
function walk(folder) {
	return readdirSync(join(root, folder), { withFileTypes: true }).flatMap((entry) => {
		const path = join(folder, entry.name);
		if (IGNORED.has(entry.name) || path === "bindings/engine/bytes.ts" || entry.name.endsWith(".tgz")) return [];
		return entry.isDirectory() ? walk(path) : [path];
	});
}

/** @returns paths of all project files, sorted, forward slashes */
export function projectFiles() {
	// A checkout owned by another user (a container's mount) is refused by git unless it is named safe.
	const args = ["-c", "safe.directory=*", "ls-files", "-z", "--cached", "--others", "--exclude-standard"];
	const git = spawnSync("git", args, { cwd: root, encoding: "utf8" });
	const paths = git.status === 0 ? git.stdout.split("\0").filter(Boolean) : walk(".");
	return [...new Set(paths)].filter((path) => existsSync(join(root, path))).sort();
}

/** @returns the file's text, or undefined when it is binary */
export function textOf(path) {
	const bytes = readFileSync(join(root, path));
	return bytes.includes(0) ? undefined : bytes.toString("utf8");
}
