/** `pageferry lab`: runs the papers' experiments and says how they compare. */
import { writeFileSync } from "node:fs";
import process from "node:process";
import { parseArgs } from "node:util";
import { EXPERIMENTS } from "../lab/papers/index.ts";
import { type Experiment, LabBench } from "../lab/papers/report.ts";
import { systemClock } from "../platform/system-clock.ts";
import { isWorse, type LabOutcome } from "./lab-outcome.ts";
import { labSummary, labTable } from "./lab-table.ts";
import { UsageError } from "./options.ts";

/** What `pageferry lab` is asked for. */
interface LabOptions {
	readonly experiments: readonly Experiment[];
	readonly jsonFile: string | undefined;
	readonly htmlFile: string | undefined;
}

/** @throws {UsageError} */
export function parseLabOptions(args: readonly string[]): LabOptions {
	const { values, positionals } = words(args);
	const wanted = positionals.map((word) => word.toUpperCase());
	for (const word of wanted)
		if (!EXPERIMENTS.some(({ id }) => matches(id, word)))
			throw new UsageError(`${word}: no such id; there are ${EXPERIMENTS.map(({ id }) => id).join(", ")}`);
	const experiments = EXPERIMENTS.filter(({ id }) => wanted.length === 0 || wanted.some((word) => matches(id, word)));
	return { experiments, jsonFile: values.json, htmlFile: values.html };
}

function words(args: readonly string[]) {
	try {
		return parseArgs({
			args: [...args],
			options: { json: { type: "string" }, html: { type: "string" } },
			allowPositionals: true,
		});
	} catch (cause) {
		throw new UsageError(cause instanceof Error ? cause.message : String(cause), { cause });
	}
}

/** `LS` means all of LS-1, LS-2, … */
function matches(id: string, word: string): boolean {
	return id === word || id.startsWith(`${word}-`);
}

/** Runs it. @returns the exit code: 1 if a verdict is worse than the recorded one */
export async function runLab(options: LabOptions): Promise<number> {
	const bench = new LabBench(systemClock, (what) => {
		if (process.stderr.isTTY) process.stderr.write(`\r\u001b[K  ${what}`);
	});
	const outcomes: LabOutcome[] = [];
	for (const experiment of options.experiments) {
		const startedMs = systemClock.now();
		const report = await experiment.run(bench);
		if (process.stderr.isTTY) process.stderr.write("\r\u001b[K");
		const outcome = { experiment, report, seconds: (systemClock.now() - startedMs) / 1000 };
		outcomes.push(outcome);
		process.stdout.write(`${labTable(outcome)}\n`);
	}
	process.stdout.write(`${labSummary(outcomes)}\n`);
	if (options.jsonFile !== undefined) writeText("--json", options.jsonFile, jsonOf(outcomes));
	if (options.htmlFile !== undefined) {
		const { labPage } = await import("./lab-page.ts");
		writeText("--html", options.htmlFile, labPage(outcomes));
	}
	return outcomes.some(isWorse) ? 1 : 0;
}

/** Rows `{ id, point, paper, ours, error, verdict }`; the experiment's own verdict is the row with the point `verdict`. */
function jsonOf(outcomes: readonly LabOutcome[]): string {
	const rows = outcomes.flatMap(({ experiment: { id, recorded }, report }) => [
		...report.rows.map((row) => ({ id, ...row, error: row.error ?? null })),
		{ id, point: "verdict", paper: recorded, ours: report.verdict, error: null, verdict: report.verdict },
	]);
	return `${JSON.stringify(rows, undefined, "\t")}\n`;
}

function writeText(option: string, path: string, text: string): void {
	try {
		writeFileSync(path, text);
	} catch (cause) {
		throw new TypeError(`${option} ${path}: ${cause instanceof Error ? cause.message : String(cause)}`, { cause });
	}
}
