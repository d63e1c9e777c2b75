/**
 * `pageferry demo --guest v86|qemu`: a Linux is moved, while its programs work, from one process of ours into another. What
 * its programs write on the console, before the move and after it, must go on without a gap.
 *
 *   source boots, target stands by ─▶ programs work ─▶ move ─▶ they work on ─▶ check
 *
 * Every wait has an end: a machine that stands still after the move is an error, not a verdict.
 */
import type { MoveMetrics } from "../migration/metrics.ts";
import type { Platform } from "../ports/platform.ts";
import type { Display } from "./display.ts";
import type { HostServices, HostStart } from "./host-start.ts";
import { consoleChecks, LINES, LineCount } from "./linux-console.ts";
import type { MachineMoved, MachineNews } from "./machine-messages.ts";
import type { MachineDemoOptions } from "./machine-options.ts";
import { MachineProcess } from "./machine-process.ts";
import { pagesFollow, type RuntimeName } from "./options.ts";
import { type Check, howVerified } from "./verdict.ts";

/**
 * How long the programs may write nothing that is waited for, in ms. They need half a second for all of it; a machine that is
 * short of CPU time needs minutes, but not for a line.
 */
const PATIENCE_MS = 60_000;
/** Between two looks, in ms. */
const LOOK_MS = 10;

/** What the demo of one machine works with. */
export interface MachineDemoServices {
	readonly platform: Platform;
	/** Where the built entries lie. */
	readonly dist: URL;
	readonly display: Display;
	readonly signal: AbortSignal;
}

/** What {@link runMachineDemo} works with. */
export interface RunServices {
	readonly platform: HostServices;
	/** What starts a process that has, or takes, a machine. @throws {MissingError} */
	readonly command: (runtime: RuntimeName) => HostStart["command"];
	readonly display: Display;
	readonly signal: AbortSignal;
}

/** How it went. */
export interface MachineDemoResult {
	readonly outcome: string;
	readonly metrics: MoveMetrics;
	readonly checks: readonly Check[];
	readonly verified: boolean;
}

/** The programs in the Linux do not go on. */
class StandstillError extends Error {
	override readonly name = "StandstillError";
	readonly code = "standstill";
}

/**
 * Runs it.
 * @throws {StandstillError}, {HostEndedError}, {MachineProcessError}, {MissingError}, the signal's reason; nothing is left then
 *   but what a process that had to be killed could not clear up
 */
export async function runMachineDemo(options: MachineDemoOptions, services: RunServices): Promise<MachineDemoResult> {
	const demo = new MachineDemo(options, services);
	try {
		return await demo.run();
	} finally {
		await demo.end();
	}
}

interface Sides {
	readonly source: MachineProcess;
	readonly target: MachineProcess;
}

class MachineDemo {
	readonly #options: MachineDemoOptions;
	readonly #services: RunServices;
	readonly #open: MachineProcess[] = [];

	constructor(options: MachineDemoOptions, services: RunServices) {
		this.#options = options;
		this.#services = services;
	}

	async run(): Promise<MachineDemoResult> {
		const { display } = this.#services;
		const { from, to, technique, push, verification, bandwidthBytesPerMs } = this.#options;
		const sides = { source: await this.#start("source", from), target: await this.#start("target", to) };
		const { source, target } = sides;
		source.order({ order: "boot" });
		target.order({ order: "stand-by", faulting: pagesFollow(technique) });
		await Promise.all([this.#ready("source", source), this.#ready("target", target)]);
		await this.#haveWritten(sides, "source", 0);
		const rate = bandwidthBytesPerMs === undefined ? {} : { bandwidthBytesPerMs };
		const order = push === undefined ? {} : { push };
		source.order({ order: "move", target: target.door, technique, verification, ...order, ...rate });
		const move = await source.news("move");
		const places = { source: source.text.length, target: target.text.length };
		display.progressEnd();
		const checks = [moveCheck(move), ...(await this.#consoleAfter(sides, move.outcome, places))];
		const { outcome, metrics } = move;
		return { outcome, metrics, checks, verified: checks.every(({ ok }) => ok) };
	}

	/** What its programs prove once the move is over, wherever the guest is then. */
	async #consoleAfter(sides: Sides, outcome: string, places: Record<keyof Sides, number>): Promise<readonly Check[]> {
		const { source, target } = sides;
		if (outcome === "kept") {
			await this.#haveWritten(sides, "source", places.source);
			return consoleChecks(source.text, places.source);
		}
		if (outcome !== "moved") return [];
		const pages = pagesFollow(this.#options.technique) ? [pagesCheck(await target.news("paged"))] : [];
		await this.#haveWritten(sides, "target", places.target);
		return [...pages, ...consoleChecks(source.text + target.text, source.text.length + places.target)];
	}

	/** No process of the demo is left afterwards. */
	async end(): Promise<void> {
		await Promise.all(this.#open.splice(0).map((process) => process.stop()));
	}

	async #start(role: keyof Sides, runtime: RuntimeName): Promise<MachineProcess> {
		const { platform, command, display, signal } = this.#services;
		const onNews = (news: MachineNews): void => void (news.news === "progress" && display.progress(news.progress));
		const process = await MachineProcess.start({ platform, role, command: command(runtime), signal, onNews });
		this.#open.push(process);
		display.step(role, `${process.hello.runtime}, process ${process.pid}`);
		return process;
	}

	async #ready(role: keyof Sides, process: MachineProcess): Promise<void> {
		const { what } = await process.news("ready");
		this.#services.display.step(role, what);
	}

	/** Waits until each program has written enough on this side, from this place of its text on. @throws {StandstillError} */
	async #haveWritten(sides: Sides, role: keyof Sides, place: number): Promise<void> {
		const { platform, signal } = this.#services;
		const process = sides[role];
		const lines = new LineCount(process.text, place);
		let missing = lines.missing(process.text);
		for (let lastMs = platform.clock.now(); missing > 0; await platform.clock.sleep(LOOK_MS, signal)) {
			process.throwIfFailed();
			if (role === "source") sides.target.throwIfFailed();
			const before = missing;
			missing = lines.missing(process.text);
			if (missing < before) lastMs = platform.clock.now();
			if (platform.clock.now() - lastMs <= PATIENCE_MS) continue;
			const where = role === "source" ? "the guest has not been moved" : "it was moved, and belongs to the target";
			throw new StandstillError(
				`the programs in the Linux do not go on at the ${role}: of ${LINES} lines each, ${lines}, and no more for ${PATIENCE_MS / 1000} s; ${where}`,
			);
		}
	}
}

function moveCheck({ outcome, metrics, failure }: MachineMoved): Check {
	const ok = outcome === "moved";
	return { name: "move", ok, detail: ok ? howVerified(metrics) : `${outcome}: ${failure ?? "for no reason given"}` };
}

function pagesCheck({ outcome, missingPages }: Extract<MachineNews, { readonly news: "paged" }>): Check {
	const ok = outcome === "complete" && missingPages === 0;
	return { name: "pages", ok, detail: ok ? "all there" : `${outcome}: ${missingPages} are missing` };
}
