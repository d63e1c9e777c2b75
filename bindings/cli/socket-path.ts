/** Where the target listens for `--link unix`: a socket in the system's folder for temporary files, named after its command. */
import { readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import type { Random } from "../ports/random.ts";

const NAME = /^pageferry-(\d+)-[0-9a-z]+\.sock$/;

/** A path for this command's socket. Those of commands that were killed together with their processes are removed. */
export function newSocketPath(random: Random): string {
	const folder = tmpdir();
	for (const name of readdirSync(folder)) {
		const owner = NAME.exec(name)?.[1];
		if (owner !== undefined && !exists(Number(owner))) removeSocket(join(folder, name));
	}
	return join(folder, `pageferry-${process.pid}-${random.nextU32().toString(36)}.sock`);
}

/** Removes what a target that was killed could not remove; another user's stays. */
export function removeSocket(path: string): void {
	try {
		rmSync(path, { force: true });
	} catch {
		// It is not ours.
	}
}

function exists(pid: number): boolean {
	try {
		process.kill(pid, 0);
		return true;
	} catch (error) {
		// Another user's process is one.
		return !(error instanceof Error && "code" in error && error.code === "ESRCH");
	}
}
