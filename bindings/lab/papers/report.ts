/**
 * What an experiment reports: per point the paper's figure, ours and the error; a verdict with its reason; what was fitted;
 * and figures to draw. Plain data, printed by the command.
 */
import type { Clock } from "../../ports/clock.ts";

/** How a result compares with the paper's. */
export type Verdict = "reproduced" | "partly" | "not";

/** From worst to best. */
export const VERDICTS: readonly Verdict[] = ["not", "partly", "reproduced"];

/** One comparison. */
export interface ReportRow {
	readonly point: string;
	readonly paper: number | string;
	readonly ours: number | string;
	/** (ours − paper) / paper, where both are numbers that can be compared. */
	readonly error: number | undefined;
	readonly verdict: Verdict;
}

/** A plot to redraw. */
export interface ReportFigure {
	readonly title: string;
	readonly xLabel: string;
	readonly yLabel: string;
	readonly logarithmic?: boolean;
	/** Names on the x axis: bars instead of lines. */
	readonly categories?: readonly string[];
	readonly series: readonly {
		readonly name: string;
		/** [x, y]; x is the index of the category where there are categories. */
		readonly points: readonly (readonly [number, number])[];
	}[];
}

/** What came out. */
export interface Report {
	readonly verdict: Verdict;
	/** One sentence: why. */
	readonly reason: string;
	/** What was fitted and from what, or that nothing was. */
	readonly fitted: string;
	readonly rows: readonly ReportRow[];
	readonly figures: readonly ReportFigure[];
}

/** One id of the papers. */
export interface Experiment {
	readonly id: string;
	/** What the paper says, in a few words. */
	readonly title: string;
	/** The verdict when it was last judged: a worse one is a regression. */
	readonly recorded: Verdict;
	run(bench: LabBench): Promise<Report>;
}

/** What experiments run on. Runs that several ids look at are made once. */
export class LabBench {
	readonly real: Pick<Clock, "sleep">;
	readonly #onRun: (what: string) => void;
	readonly #known = new Map<string, Promise<unknown>>();

	/** @param real - drains promises. @param onRun - called before each simulation. */
	constructor(real: Pick<Clock, "sleep">, onRun: (what: string) => void = () => undefined) {
		this.real = real;
		this.#onRun = onRun;
	}

	/** Runs a simulation, or takes the result of the same one that ran before. */
	once<Result>(name: string, simulate: () => Promise<Result>): Promise<Result> {
		const known = this.#known.get(name);
		// allowed (cast): the name stands for one simulation, and so for one type of result
		if (known !== undefined) return known as Promise<Result>;
		this.#onRun(name);
		const result = simulate();
		this.#known.set(name, result);
		return result;
	}
}

/** (ours − paper) / paper. */
export function relativeError(paper: number, ours: number): number {
	return (ours - paper) / paper;
}

/** A row of two numbers, judged by the size of the relative error. */
export function numberRow(point: string, paper: number, ours: number, within: number, partlyWithin: number): ReportRow {
	const error = relativeError(paper, ours);
	const size = Math.abs(error);
	const verdict = size <= within ? "reproduced" : size <= partlyWithin ? "partly" : "not";
	return { point, paper, ours, error, verdict };
}

/** A row of a statement that holds or does not. */
export function statementRow(point: string, paper: string, ours: string, holds: boolean): ReportRow {
	return { point, paper, ours, error: undefined, verdict: holds ? "reproduced" : "not" };
}

/** The middle of some numbers. */
export function median(values: readonly number[]): number {
	const sorted = [...values].sort((a, b) => a - b);
	const middle = sorted.length >> 1;
	if (sorted.length === 0) return Number.NaN;
	return sorted.length % 2 === 1 ? sorted[middle]! : (sorted[middle - 1]! + sorted[middle]!) / 2;
}
