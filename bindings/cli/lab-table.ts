/** The lab's results as tables. */
import Table from "cli-table3";
import { isWorse, type LabOutcome } from "./lab-outcome.ts";

const COMPACT = { mid: "", "left-mid": "", "mid-mid": "", "right-mid": "" };

/** One experiment: paper, ours, error, verdict. */
export function labTable({ experiment, report, seconds }: LabOutcome): string {
	const table = new Table({
		head: [experiment.id, "paper", "ours", "error", "verdict"],
		style: { head: [], border: [] },
		chars: COMPACT,
		colAligns: ["left", "right", "right", "right", "left"],
		colWidths: [null, null, 56, null, null],
		wordWrap: true,
	});
	for (const { point, paper, ours, error, verdict } of report.rows)
		table.push([point, String(paper), String(ours), error === undefined ? "" : percent(error), verdict]);
	const lines = [
		`\n${experiment.id}  ${experiment.title}`,
		table.toString(),
		`${report.verdict}: ${report.reason}`,
		`fitted: ${report.fitted}`,
		`${seconds.toFixed(1)} s`,
	];
	return lines.join("\n");
}

/** All verdicts, and which got worse; the last line counts ids as tests. */
export function labSummary(outcomes: readonly LabOutcome[]): string {
	const lines = outcomes.map((outcome) => {
		const { experiment, report } = outcome;
		const worse = isWorse(outcome) ? `  WORSE than recorded (${experiment.recorded})` : "";
		return `${experiment.id.padEnd(6)} ${report.verdict.padEnd(10)} ${experiment.title}${worse}`;
	});
	const failed = outcomes.filter(isWorse).length;
	return ["", ...lines, `${outcomes.length - failed} passed, ${failed} failed`].join("\n");
}

function percent(error: number): string {
	return `${error >= 0 ? "+" : "−"}${Math.abs(error * 100).toFixed(1)} %`;
}
