#!/usr/bin/env node
/**
 * The pageferry command.
 *
 * Exit codes: 0 moved and verified; 1 not moved, or not verified; 2 wrong use; 130, 143, 129 interrupted by
 * SIGINT, SIGTERM, SIGHUP, 141 when nobody reads its output any more.
 */
import { readFileSync, writeFileSync } from "node:fs";
import process from "node:process";
import { nodePlatform } from "../platform/node/index.ts";
import { runDemo } from "./demo.ts";
import { createDisplay } from "./display.ts";
import { messageWithCauses } from "./failure.ts";
import { HELP } from "./help.ts";
import { HostEndedError } from "./host-start.ts";
import { asksForGuest, type MachineDemoOptions, parseMachineDemoOptions } from "./machine-options.ts";
import { type DemoOptions, parseDemoOptions, UsageError } from "./options.ts";
import { lastWords, machineReport, report } from "./report.ts";
import { newSocketPath, removeSocket } from "./socket-path.ts";

/** Signals that end the command in order, and the exit code of each. */
const SIGNALS = { SIGINT: 130, SIGTERM: 143, SIGHUP: 129 } as const;

/** Exit code when nobody reads what the command says: as of a program that SIGPIPE ends. */
const CLOSED_OUTPUT = 141;

/** What to do when nobody reads what the command says any more. */
let onLostReader: () => void = () => process.exit(CLOSED_OUTPUT); // allowed (exit): nothing has been started yet

/** The caller wants no more. */
class Interruption extends Error {
	override readonly name = "Interruption";
	readonly exitCode: number;
	constructor(what: string, exitCode: number) {
		super(`interrupted by ${what}; nothing of it is left behind`);
		this.exitCode = exitCode;
	}
}

async function main(args: readonly string[]): Promise<number> {
	const [command, ...rest] = args;
	if (
		command === undefined ||
		command === "--help" ||
		command === "-h" ||
		command === "help" ||
		rest.includes("--help")
	) {
		process.stdout.write(HELP);
		return command === undefined ? 2 : 0;
	}
	if (command === "--version" || command === "-v") {
		process.stdout.write(`${version()}\n`);
		return 0;
	}
	if (command === "lab") {
		if (rest[0] === "faults") {
			const { parseFaultOptions, runFaults } = await import("./lab-faults.ts");
			return runFaults(parseFaultOptions(rest.slice(1)));
		}
		// Charts and experiments are loaded only for this.
		const { parseLabOptions, runLab } = await import("./lab.ts");
		return runLab(parseLabOptions(rest));
	}
	if (command === "wire") {
		const { parseWireOptions } = await import("./wire-options.ts");
		const { runWire } = await import("./wire.ts");
		return runWire(parseWireOptions(rest), nodePlatform());
	}
	if (command === "snapshot") {
		const { parseSnapshotCommand } = await import("./snapshot-options.ts");
		const { runSnapshot } = await import("./snapshot.ts");
		const asked = parseSnapshotCommand(rest);
		return interruptibly((signal) => runSnapshot(asked, nodePlatform(), signal));
	}
	if (command !== "demo") throw new UsageError(`unknown command: ${command}`);
	if (!asksForGuest(rest)) return demo(parseDemoOptions(rest));
	return machineDemo(parseMachineDemoOptions(rest));
}

async function machineDemo(options: MachineDemoOptions): Promise<number> {
	const { guest, from, to, technique } = options;
	// With what it needs of its guests: loaded only for this.
	const run =
		guest === "v86" ? (await import("./v86-demo.ts")).runV86Demo : (await import("./qemu-demo.ts")).runQemuDemo;
	const what = guest === "v86" ? "a Linux in v86" : "a Linux under QEMU";
	const display = createDisplay(process.stderr);
	process.stderr.write(`${what} moves from ${from} to ${to} by ${technique} while its programs work\n`);
	try {
		return await interruptibly(async (signal) => {
			const services = { platform: nodePlatform(), dist: new URL("./", import.meta.url), display, signal };
			const result = await run(options, services);
			process.stdout.write(machineReport(result));
			if (options.jsonFile !== undefined) writeJson(options.jsonFile, { options, ...result });
			return result.verified ? 0 : 1;
		});
	} finally {
		display.progressEnd();
	}
}

async function demo(options: DemoOptions): Promise<number> {
	const { program, technique, from, to, load } = options;
	const display = createDisplay(process.stderr);
	const pace = load === 0 ? "as fast as answers come" : `${load} requests per second`;
	process.stderr.write(`${program.title} moves from ${from} to ${to} by ${technique} while a client sends ${pace}\n`);
	const platform = nodePlatform();
	const socketPath = newSocketPath(platform.random);
	try {
		return await interruptibly(async (signal) => {
			const services = { platform, dist: new URL("./", import.meta.url), display, signal, socketPath };
			const result = await runDemo(options, services);
			process.stdout.write(report(options, result));
			if (options.jsonFile !== undefined) writeJson(options.jsonFile, { options: plain(options), ...result });
			return result.verified ? 0 : 1;
		});
	} finally {
		display.progressEnd();
		removeSocket(socketPath);
	}
}

/** Work that a signal ends in order, and a reader that goes away: a terminal that is closed, `| head`. */
async function interruptibly(work: (signal: AbortSignal) => Promise<number>): Promise<number> {
	const stop = new AbortController();
	onLostReader = () => stop.abort(new Interruption("a closed output", CLOSED_OUTPUT));
	const listeners = Object.entries(SIGNALS).map(([signal, exitCode]) => {
		const listener = () => stop.abort(new Interruption(signal, exitCode));
		process.on(signal, listener);
		return () => process.off(signal, listener);
	});
	try {
		return await work(stop.signal);
	} catch (error) {
		// Whatever broke because everything was stopped is not what the caller wants to hear.
		throw stop.signal.aborted ? stop.signal.reason : error;
	} finally {
		for (const remove of listeners) remove();
	}
}

/** The package's own; dist/ lies beside its package.json. */
function version(): string {
	const manifest: unknown = JSON.parse(readFileSync(new URL("../package.json", import.meta.url), "utf8"));
	return typeof manifest === "object" && manifest !== null && "version" in manifest ? String(manifest.version) : "";
}

function plain(options: DemoOptions): object {
	return { ...options, program: options.program.name };
}

function writeJson(path: string, value: object): void {
	try {
		writeFileSync(path, `${JSON.stringify(value, undefined, "\t")}\n`);
	} catch (cause) {
		throw new TypeError(`--json ${path}: ${messageWithCauses(cause)}`, { cause });
	}
}

/** Says what went wrong, to whom the guest belongs, and what to do. @returns the exit code */
function explain(error: unknown): number {
	const say = (text: string): void => void process.stderr.write(`pageferry: ${text}\n`);
	if (error instanceof UsageError) {
		say(`${error.message}\n  pageferry --help shows what there is`);
		return 2;
	}
	if (error instanceof HostEndedError) {
		say(lastWords(error.message, error.errorText));
		return 1;
	}
	say(messageWithCauses(error));
	return error instanceof Interruption ? error.exitCode : 1;
}

for (const output of [process.stdout, process.stderr]) output.on("error", () => onLostReader());
try {
	process.exitCode = await main(process.argv.slice(2));
} catch (error) {
	process.exitCode = explain(error);
}
