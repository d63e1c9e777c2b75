/**
 * `pageferry demo --guest v86`: a Linux in v86 works in this process and is moved, while it works, into another one. What its
 * programs write on the console, before the move and after it, must go on without a gap.
 *
 *   restore the ready Linux ─▶ programs work ─▶ move ─▶ they work on ─▶ check
 */
import { loadV86, V86Guest, V86GuestFactory } from "../guests/v86/index.ts";
import { openLink } from "../links/open-link.ts";
import { preCopy } from "../migration/pre-copy.ts";
import { stopAndCopy } from "../migration/stop-and-copy.ts";
import type { Platform } from "../ports/platform.ts";
import type { RunningProcess } from "../ports/process.ts";
import { restore } from "../snapshot/restore.ts";
import { SnapshotStore } from "../snapshot/store.ts";
import { hostCommand } from "./executables.ts";
import { PROGRAMS, programsHaveWritten } from "./linux-console.ts";
import {
	type MachineDemoResult,
	type MachineDemoServices,
	MissingLinuxError,
	machineResult,
	PATIENCE_MS,
	patiently,
} from "./machine-demo.ts";
import type { MachineDemoOptions } from "./machine-options.ts";
import type { V86HostLine } from "./v86-host.ts";

/** Where `npm run guests` leaves the Linux. */
const READY = "build/guests/ready/v86";

/** Runs it. @throws {MissingLinuxError} */
export async function runV86Demo(
	options: MachineDemoOptions,
	services: MachineDemoServices,
): Promise<MachineDemoResult> {
	const { platform, display, dist } = services;
	const source = await openLinux(platform);
	let process: RunningProcess | undefined;
	try {
		display.step("source", `Linux of ${source.pages.pageCount / 256} MiB, tracked by ${source.dirty.tracker}`);
		process = await platform.processes.start(hostCommand(options.to, dist, "v86-host"));
		return await move(options, services, { source, process });
	} finally {
		await source.discard();
		process?.kill("SIGKILL");
		await process?.ended;
	}
}

async function openLinux({ files, clock, random, openFolderStore }: Platform): Promise<V86Guest> {
	if ((await files.read(`${READY}/manifest.json`)) === undefined)
		throw new MissingLinuxError(`${READY} is missing: \`npm run guests\` prepares the Linux (root on Debian)`);
	const factories = [new V86GuestFactory({ v86: await loadV86(files), clock })];
	const store = new SnapshotStore(await openFolderStore(`${READY}/store`), { clock, random });
	const [ready] = await store.list();
	if (ready === undefined)
		throw new MissingLinuxError(`${READY}/store holds no snapshot: remove it, \`npm run guests\``);
	const { guest } = await restore(
		{ snapshot: await store.open(ready.id), factories, clock, random },
		{ clock: "continue", random: "keep" },
	);
	if (guest instanceof V86Guest) return guest;
	throw new MissingLinuxError(`${READY}/store holds another guest`);
}

async function move(
	options: MachineDemoOptions,
	{ platform, display, signal }: MachineDemoServices,
	{ source, process }: { readonly source: V86Guest; readonly process: RunningProcess },
): Promise<MachineDemoResult> {
	const { clock, random, connect } = platform;
	let before = "";
	let after = "";
	source.serial.listen((text) => {
		before += text;
	});
	source.serial.write(PROGRAMS);
	const lines = process.lines[Symbol.asyncIterator]();
	const next = async (): Promise<V86HostLine> => {
		const { value, done } = await lines.next();
		if (done) throw new Error(`the target has ended`); // allowed (bare-error): a broken demo, told as it is
		const line: V86HostLine = JSON.parse(value);
		return line;
	};
	const hello = await next();
	if (!("address" in hello)) throw new Error("the target does not say where it is"); // allowed (bare-error): the same
	const leash = await connect(hello.address);
	try {
		await patiently(platform, signal, () => programsHaveWritten(before));
		display.step("target", hello.runtime);
		const technique = options.technique === "pre-copy" ? preCopy : stopAndCopy;
		const { verification, bandwidthBytesPerMs } = options;
		const link = openLink(await connect(hello.address));
		const result = await technique(
			{ guest: source, link, clock, random },
			{
				verification,
				signal,
				onProgress: (progress) => display.progress(progress),
				...(bandwidthBytesPerMs === undefined ? {} : { bandwidthBytesPerMs }),
			},
		);
		display.progressEnd();
		const { outcome, metrics } = result;
		if (outcome === "moved") {
			const limit = clock.now() + PATIENCE_MS;
			while (!programsHaveWritten(after) && clock.now() < limit) {
				const line = await next();
				if ("text" in line) after += line.text;
			}
		} else display.step("source", `the guest was ${outcome}: ${result.error.message}`);
		return machineResult({ outcome, metrics }, { before, after });
	} finally {
		await leash.close();
	}
}
