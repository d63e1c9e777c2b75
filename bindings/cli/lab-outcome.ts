/** What `pageferry lab` found out, and whether it is worse than before. */
import { type Experiment, type Report, VERDICTS } from "../lab/papers/report.ts";

/** An experiment and what came out. */
export interface LabOutcome {
	readonly experiment: Experiment;
	readonly report: Report;
	readonly seconds: number;
}

/** Whether a verdict is worse than the recorded one. */
export function isWorse({ experiment, report }: LabOutcome): boolean {
	return VERDICTS.indexOf(report.verdict) < VERDICTS.indexOf(experiment.recorded);
}
