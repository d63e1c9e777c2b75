/**
 * `pageferry demo --guest v86`: a Linux in v86 works in this process and is moved, while it works, into another one. What its
 * programs write on the console, before the move and after it, must go on without a gap.
 *
 *   restore the ready Linux ─▶ programs work ─▶ move ─▶ they work on ─▶ check
 */
import { loadV86, V86Guest, V86GuestFactory } from "../guests/v86/index.ts";
import { openLink } from "../links/open-link.ts";
import type { MoveMetrics } from "../migration/metrics.ts";
import { preCopy } from "../migration/pre-copy.ts";
import { stopAndCopy } from "../migration/stop-and-copy.ts";
import type { Platform } from "../ports/platform.ts";
import type { RunningProcess } from "../ports/process.ts";
import { restore } from "../snapshot/restore.ts";
import { SnapshotStore } from "../snapshot/store.ts";
import type { Display } from "./display.ts";
import { hostCommand } from "./executables.ts";
import type { V86HostLine } from "./v86-host.ts";
import type { V86DemoOptions } from "./v86-options.ts";
import { consoleChecks, WORDS } from "./v86-verdict.ts";
import type { Check } from "./verdict.ts";

/** Where `npm run guests` leaves the Linux. */
const READY = "build/guests/ready/v86";
/** A counter, a memory oracle that checks every page it increments, and a loop of hashes (tools/guests/linux). */
const PROGRAMS = "counter 10 & oracle 8 200 & md5loop &\n";
/** Each program has written so many lines before the move, and as many after it. */
const LINES = 20;
const PATIENCE_MS = 120_000;

/** What the demo works with. */
export interface V86DemoServices {
	readonly platform: Platform;
	/** Where the built entries lie. */
	readonly dist: URL;
	readonly display: Display;
	readonly signal: AbortSignal;
}

/** How the demo went. */
export interface V86DemoResult {
	readonly outcome: string;
	readonly metrics: MoveMetrics;
	readonly checks: readonly Check[];
	readonly verified: boolean;
}

/** Without its Linux there is no demo. */
class MissingLinuxError extends Error {
	override readonly name = "MissingLinuxError";
	readonly code = "missing";
}

/** Runs it. @throws {MissingLinuxError} */
export async function runV86Demo(options: V86DemoOptions, services: V86DemoServices): Promise<V86DemoResult> {
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
	options: V86DemoOptions,
	{ platform, display, signal }: V86DemoServices,
	{ source, process }: { readonly source: V86Guest; readonly process: RunningProcess },
): Promise<V86DemoResult> {
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
		await patiently(platform, signal, () => WORDS.every((word) => countLines(before, word) >= LINES));
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
			while (!WORDS.every((word) => countLines(after, word) >= LINES) && clock.now() < limit) {
				const line = await next();
				if ("text" in line) after += line.text;
			}
		} else display.step("source", `the guest was ${outcome}: ${result.error.message}`);
		const checks = consoleChecks(before + after, after);
		return { outcome, metrics, checks, verified: outcome === "moved" && checks.every(({ ok }) => ok) };
	} finally {
		await leash.close();
	}
}

function countLines(text: string, word: string): number {
	return text.split(`\n${word} `).length - 1;
}

async function patiently({ clock }: Platform, signal: AbortSignal, done: () => boolean): Promise<void> {
	const limit = clock.now() + PATIENCE_MS;
	while (!done()) {
		if (clock.now() > limit) throw new Error("the programs in the guest do not work"); // allowed (bare-error): the same
		await clock.sleep(10, signal);
	}
}
