// What the test programs need of whichever runtime starts them.
import process from "node:process";
import type { Platform } from "../../bindings/ports/platform.ts";

/** The platform this program runs on. */
export async function thisPlatform(): Promise<Platform> {
	if ("Deno" in globalThis) return (await import("../../bindings/platform/deno/index.ts")).denoPlatform();
	return (await import("../../bindings/platform/node/index.ts")).nodePlatform();
}

/** The program's own arguments. */
export const programArguments: readonly string[] = process.argv.slice(2);

/** Prints one line, at once: what was printed counts even if the process is killed right after. */
export const print = (line: string): void => console.log(line);

/** Ends this process when the one that has started it is gone: a suite that is killed can end nothing itself. */
export function endWithParent(): void {
	const parent = process.ppid;
	const timer = setInterval(() => {
		if (process.ppid !== parent) process.exit(1);
	}, 1000);
	timer.unref();
}
