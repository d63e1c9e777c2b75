/** How hosts are started: their entries lie beside this command in dist/. */
import { existsSync } from "node:fs";
import { createRequire } from "node:module";
import process from "node:process";
import { fileURLToPath } from "node:url";
import type { ProcessCommand } from "../ports/process.ts";
import type { MachineName } from "./machine-messages.ts";
import type { RuntimeName } from "./options.ts";
import type { Workload } from "./workloads.ts";

/** Something that the demo needs is not installed. */
class MissingError extends Error {
	override readonly name = "MissingError";
	readonly code = "missing";
}

/**
 * V8 compiles a wasm function when it is first called, which for a target is when its first client waits: SQLite's first
 * answer then takes about 30 ms instead of 7. Compiled at once, that time lies in the set-up.
 */
const COMPILE_AT_SETUP = "--no-wasm-lazy-compilation";

/**
 * @param dist - URL of the folder with the built entries
 * @param host - which of them
 * @throws {MissingError}
 */
export function hostCommand(
	runtime: RuntimeName,
	dist: URL,
	host: "host" | "machine-host" = "host",
): Pick<ProcessCommand, "executable" | "args"> {
	const entry = fileURLToPath(new URL(`${host}-${runtime}.js`, dist));
	if (!existsSync(entry)) throw new MissingError(`${entry} is missing: build it with npm run build`);
	if (runtime === "node") return { executable: process.execPath, args: [COMPILE_AT_SETUP, entry] };
	const args = ["run", "--quiet", "--no-prompt", "--allow-all", `--v8-flags=${COMPILE_AT_SETUP}`, entry];
	return { executable: denoExecutable(dist), args };
}

/** How processes with a machine are started, in each runtime. */
export function machineCommand(
	machine: MachineName,
	dist: URL,
): (runtime: RuntimeName) => Pick<ProcessCommand, "executable" | "args"> {
	return (runtime) => {
		const { executable, args } = hostCommand(runtime, dist, "machine-host");
		return { executable, args: [...args, machine] };
	};
}

/** @returns the URL of the built program. @throws {MissingError} when it, or the package that it wraps, is not there. */
export function programUrl(workload: Workload, dist: URL): string {
	const url = new URL(`program-${workload.name}.js`, dist);
	if (!existsSync(url)) throw new MissingError(`${fileURLToPath(url)} is missing: build it with npm run build`);
	try {
		createRequire(url).resolve(workload.packageName);
	} catch {
		// What the resolver says is where it looked: no help to anybody.
		const { title, packageName } = workload;
		throw new MissingError(`${title} comes from the npm package ${packageName}: npm install ${packageName}`);
	}
	return url.href;
}

/** The executable itself: the package's wrapper script would orphan it when it is killed. */
function denoExecutable(dist: URL): string {
	const installer = denoInstaller(dist);
	const path: unknown = installer?.();
	if (typeof path === "string") return path;
	throw new MissingError(
		"the npm package deno does not say where its executable is: npm install deno@2.9.5 is known to",
	);
}

/** @throws {MissingError} without the package */
function denoInstaller(dist: URL): (() => unknown) | undefined {
	let installer: unknown;
	try {
		installer = createRequire(dist)("deno/install_api.cjs");
	} catch {
		// What the resolver says is where it looked: no help to anybody.
		throw new MissingError("Deno comes from the npm package deno: npm install deno");
	}
	if (typeof installer !== "object" || installer === null || !("runInstall" in installer)) return undefined;
	const { runInstall } = installer;
	return typeof runInstall === "function" ? () => runInstall() : undefined;
}
