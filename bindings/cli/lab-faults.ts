/** `pageferry lab faults`: plays drawn fault schedules, new ones each time, and says how to play a failure again. */
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import process from "node:process";
import { parseArgs } from "node:util";
import {
	caseName,
	caseOf,
	FAULT_TECHNIQUES,
	type FaultCase,
	parseCase,
	runCase,
	runSchedule,
} from "../lab/faults/batch.ts";
import type { FaultRun } from "../lab/faults/findings.ts";
import { REGRESSIONS } from "../lab/faults/regressions.ts";
import { drawSchedule, type FaultSchedule } from "../lab/faults/schedule.ts";
import { systemClock } from "../platform/system-clock.ts";
import { systemRandom } from "../platform/system-random.ts";
import { FAULT_BENCH } from "./fault-bench.ts";
import { UsageError } from "./options.ts";

/** What `pageferry lab faults` is asked for. */
interface FaultOptions {
	readonly techniques: typeof FAULT_TECHNIQUES;
	/** Until then, or so many. */
	readonly seconds: number;
	readonly runs: number;
	readonly base: number;
	/** One case or one schedule, played again with its whole trace. */
	readonly replay: FaultCase | FaultSchedule | undefined;
}

/** Seconds of a batch unless the caller says otherwise. */
const DEFAULT_SECONDS = 60;
/** Lines of a failure's trace that are printed. */
const TRACE_LINES = 60;
/** A batch that finds this much has found enough. */
const MAX_FAILURES = 10;

/** @throws {UsageError} */
export function parseFaultOptions(args: readonly string[]): FaultOptions {
	const { values } = words(args);
	const names = values.technique?.split(",") ?? [...FAULT_TECHNIQUES];
	const techniques = names.map((name) => {
		const technique = FAULT_TECHNIQUES.find((one) => one === name);
		if (technique !== undefined) return technique;
		throw new UsageError(`--technique ${name}: there are ${FAULT_TECHNIQUES.join(", ")}`);
	});
	const runs = numberOf("--runs", values.runs) ?? Number.POSITIVE_INFINITY;
	const seconds =
		numberOf("--seconds", values.seconds) ?? (values.runs === undefined ? DEFAULT_SECONDS : Number.POSITIVE_INFINITY);
	const base = numberOf("--seed", values.seed) ?? systemRandom.nextU32();
	return { techniques, runs, seconds, base, replay: values.replay === undefined ? undefined : replayOf(values.replay) };
}

function words(args: readonly string[]) {
	try {
		const text = { type: "string" } as const;
		return parseArgs({
			args: [...args],
			options: { technique: text, runs: text, seconds: text, seed: text, replay: text },
		});
	} catch (cause) {
		throw new UsageError(cause instanceof Error ? cause.message : String(cause), { cause });
	}
}

function numberOf(option: string, text: string | undefined): number | undefined {
	if (text === undefined) return undefined;
	const value = Number(text);
	if (!Number.isInteger(value) || value < 0 || value >= 2 ** 32)
		throw new UsageError(`${option} ${text}: a whole number below 2^32`);
	return value;
}

/** A case's name, or a file with the schedule that a failure has printed. */
function replayOf(text: string): FaultCase | FaultSchedule {
	const named = parseCase(text);
	if (named !== undefined) return named;
	if (!existsSync(text)) throw new UsageError(`--replay ${text}: neither TECHNIQUE/WORKLOAD/SEED nor a file`);
	try {
		// allowed (cast): a file that this command has written
		return JSON.parse(readFileSync(text, "utf8")) as FaultSchedule;
	} catch (cause) {
		throw new UsageError(`--replay ${text}: no schedule`, { cause });
	}
}

/** Runs it. @returns the exit code: 1 if a promise was broken */
export async function runFaults(options: FaultOptions): Promise<number> {
	return options.replay === undefined ? runBatch(options) : replay(options.replay);
}

async function replay(what: FaultCase | FaultSchedule): Promise<number> {
	const schedule = "faults" in what ? what : drawSchedule(what.technique, what.workload, what.seed);
	const run = await runSchedule(FAULT_BENCH, schedule);
	print(`${JSON.stringify(schedule, undefined, "\t")}\n${traceOf(run, Number.POSITIVE_INFINITY)}\n${run.path}`);
	for (const violation of run.violations) print(`broken: ${violation}`);
	return run.violations.length === 0 ? 0 : 1;
}

/** What a batch has seen of one technique. */
interface Tally {
	runs: number;
	failed: number;
	readonly paths: Map<string, number>;
}

async function runBatch({ techniques, runs, seconds, base }: FaultOptions): Promise<number> {
	print(`seeds from ${base}`);
	const startedMs = systemClock.now();
	const tallies = new Map(techniques.map((name): [string, Tally] => [name, { runs: 0, failed: 0, paths: new Map() }]));
	const regressions = REGRESSIONS.filter(({ technique }) => techniques.includes(technique));
	let failures = 0;
	const elapsed = (): number => (systemClock.now() - startedMs) / 1000;
	for (let i = 0; i < regressions.length + runs && elapsed() < seconds && failures < MAX_FAILURES; i++) {
		const one = regressions[i] ?? caseOf(techniques, base, i - regressions.length);
		const run = await runCase(FAULT_BENCH, one);
		const tally = tallies.get(one.technique)!;
		tally.runs++;
		tally.paths.set(run.path, (tally.paths.get(run.path) ?? 0) + 1);
		if (run.violations.length === 0) continue;
		failures++;
		tally.failed++;
		printFailure(one, run);
	}
	printTallies(tallies, elapsed());
	return failures === 0 ? 0 : 1;
}

function printFailure(one: FaultCase, run: FaultRun): void {
	const file = `fault-${caseName(one).replaceAll("/", "-")}.json`;
	writeFileSync(file, `${JSON.stringify(drawSchedule(one.technique, one.workload, one.seed), undefined, "\t")}\n`);
	print(`\nFAIL ${caseName(one)}: ${run.path}`);
	for (const violation of run.violations) print(`  broken: ${violation}`);
	print(traceOf(run, TRACE_LINES));
	print(`  again: pageferry lab faults --replay ${caseName(one)}   (or ${file}, which stays when drawing changes)`);
}

function traceOf({ trace }: FaultRun, most: number): string {
	const left = Math.max(0, trace.length - most);
	const lines = trace.slice(left).map(({ atMs, what }) => `  ${atMs.toFixed(2).padStart(10)} ms  ${what}`);
	return [...(left > 0 ? [`  … ${left} lines before`] : []), ...lines].join("\n");
}

/** Per technique what became of its runs; each counts as one test. */
function printTallies(tallies: ReadonlyMap<string, Tally>, seconds: number): void {
	let total = 0;
	for (const [name, { runs, failed, paths }] of tallies) {
		total += runs;
		const common = [...paths].sort((a, b) => b[1] - a[1]).slice(0, 6);
		print(
			`${failed === 0 ? "ok  " : "FAIL"} ${name.padEnd(18)} ${runs} runs: ${common.map(([path, times]) => `${times} ${path}`).join(", ")}`,
		);
	}
	print(`${total} schedules in ${seconds.toFixed(1)} s, ${Math.round((60 * total) / seconds)} per minute`);
	const played = [...tallies.values()].filter(({ runs }) => runs > 0);
	const failed = played.filter((tally) => tally.failed > 0).length;
	print(`${played.length - failed} passed, ${failed} failed`);
}

function print(text: string): void {
	process.stdout.write(`${text}\n`);
}
