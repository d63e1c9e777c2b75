/**
 * PC-4, PC-5, PC-6, PC-10, PC-11: four applications, by models. The paper's bars come without numbers but for PC-5, so what
 * is judged is order and "more than half". All sizes are a quarter of the paper's 512 MB guest; ratios do not notice.
 *
 * Each model has two parameters that were chosen for one id each, and are stated: how fast it writes (`workMs`, so that PC-4
 * holds; PC-6 and PC-10 are then predicted) and how long its walks are (`runPages`, PC-5's locality: illustration only).
 */
import type { LabMoveResult } from "../move-run.ts";
import { Application } from "../workloads/application.ts";
import { ProgramWorkload } from "../workloads/program-workload.ts";
import { worst } from "./judging.ts";
import { runHines } from "./post-copy-runs.ts";
import { KERNEL_PAGES } from "./post-copy-stress.ts";
import { type Experiment, type LabBench, numberRow, type Report, type ReportRow, statementRow } from "./report.ts";

const MB_PAGES = 256;
/** CPU time of a fault, whatever it is for: the prepaging study's 8 µs. */
const FAULT_CPU_MS = 0.008;
/** Of the paper's sizes. */
const SCALE = 4;

interface ApplicationModel {
	readonly name: string;
	/** What it uses of the paper's 512 MB, kernel apart. */
	readonly megabytes: number;
	readonly hotMegabytes: number;
	readonly hotShare: number;
	readonly writeShare: number;
	readonly runPages: number;
	readonly workMs: number;
	readonly processes: number;
	/** Network faults that prepaging avoids, PC-5, in per cent. */
	readonly avoidedPercent: number;
}

const MODELS: readonly ApplicationModel[] = [
	{
		name: "web server",
		megabytes: 380,
		hotMegabytes: 40,
		hotShare: 0.6,
		writeShare: 0.1,
		runPages: 6,
		workMs: 0.3,
		processes: 4,
		avoidedPercent: 79,
	},
	{
		name: "BitTorrent",
		megabytes: 220,
		hotMegabytes: 80,
		hotShare: 0.7,
		writeShare: 0.6,
		runPages: 96,
		workMs: 0.04,
		processes: 2,
		avoidedPercent: 83,
	},
	{
		name: "kernel compile",
		megabytes: 140,
		hotMegabytes: 60,
		hotShare: 0.8,
		writeShare: 0.5,
		runPages: 1,
		workMs: 0.025,
		processes: 2,
		avoidedPercent: 41,
	},
	{
		name: "bulk sender",
		megabytes: 60,
		hotMegabytes: 30,
		hotShare: 0.9,
		writeShare: 0.7,
		runPages: 1,
		workMs: 0.02,
		processes: 1,
		avoidedPercent: 43,
	},
];

function run(
	bench: LabBench,
	model: ApplicationModel,
	technique: "pre-copy" | "post-copy",
	linkShare = 1,
): Promise<LabMoveResult> {
	const loadPages = (model.megabytes * MB_PAGES) / SCALE;
	const { hotShare, writeShare, runPages, workMs, processes } = model;
	return runHines(bench, {
		...{ name: model.name, technique, linkShare, loadPages, freePages: MB_PAGES / SCALE, warmUpMs: 200 },
		kernelPages: Math.round(KERNEL_PAGES / SCALE),
		workload: (firstPage, random) =>
			new ProgramWorkload({
				programs: Array.from(
					{ length: processes },
					() =>
						new Application({
							...{ firstPage, pageCount: loadPages, hotShare, writeShare, runPages, workMs, random },
							hotPages: (model.hotMegabytes * MB_PAGES) / SCALE,
						}),
				),
			}),
	});
}

const FITTED = `per application its rate of writing (${MODELS.map(({ name, workMs, writeShare }) => `${name} ${(writeShare / workMs).toFixed(1)} pages/ms`).join(", ")}), chosen so that PC-4 holds; all models are ours`;

/** Runs every application both ways. */
async function both(bench: LabBench) {
	const results = [];
	for (const model of MODELS)
		results.push({ model, pre: await run(bench, model, "pre-copy"), post: await run(bench, model, "post-copy") });
	return results;
}

function bars(
	title: string,
	yLabel: string,
	results: Awaited<ReturnType<typeof both>>,
	value: (result: LabMoveResult) => number,
) {
	return {
		...{ title, yLabel, xLabel: "" },
		categories: results.map(({ model }) => model.name),
		series: [
			{ name: "pre-copy", points: results.map(({ pre }, i) => [i, value(pre)] as const) },
			{ name: "post-copy", points: results.map(({ post }, i) => [i, value(post)] as const) },
		],
	};
}

async function pages(bench: LabBench): Promise<Report> {
	const results = await both(bench);
	const rows = results.map(({ model, pre, post }) => {
		const ratio = post.metrics.pagesTransferred / pre.metrics.pagesTransferred;
		const half = model.name !== "web server";
		return statementRow(
			`${model.name}: pages, post-copy ÷ pre-copy`,
			half ? "less than half" : "the exception: more than half",
			ratio.toFixed(2),
			half ? ratio < 0.5 : ratio >= 0.5 && ratio < 1,
		);
	});
	return {
		verdict: worst(rows),
		reason:
			"post-copy sends what there is once; pre-copy sends it and what was written meanwhile, again and again, until a stop condition",
		fitted: FITTED,
		rows,
		figures: [bars("Pages transferred (figure 13)", "pages", results, ({ metrics }) => metrics.pagesTransferred)],
	};
}

async function faults(bench: LabBench): Promise<Report> {
	const rows: ReportRow[] = [];
	const points: [number, number][] = [];
	for (const [i, model] of MODELS.entries()) {
		const post = await run(bench, model, "post-copy");
		const network = post.metrics.networkFaults;
		const avoided = (100 * post.minorFaults) / (post.minorFaults + network + (post.metrics.paging?.inFlightWaits ?? 0));
		points.push([i, avoided]);
		rows.push(
			numberRow(`${model.name}: network faults avoided, %`, model.avoidedPercent, Math.round(avoided), 0.1, 0.3),
		);
	}
	const order = points[0]![1] > points[2]![1] && points[1]![1] > points[3]![1];
	rows.push(
		statementRow("the two large applications avoid more than the two small", "yes", order ? "yes" : "no", order),
	);
	return {
		verdict: worst(rows),
		reason:
			"illustration: one length of walks per application is fitted to its own bar, and no single one fits all four",
		fitted: `${MODELS.map(({ name, runPages }) => `${name}: walks of ${runPages} pages`).join(", ")}; ${FITTED}`,
		rows,
		figures: [
			{
				title: "Network faults avoided (figure 14)",
				xLabel: "",
				yLabel: "%",
				categories: MODELS.map(({ name }) => name),
				series: [
					{ name: "lab", points },
					{ name: "paper", points: MODELS.map(({ avoidedPercent }, i) => [i, avoidedPercent] as const) },
				],
			},
		],
	};
}

async function totalTimes(bench: LabBench): Promise<Report> {
	const results = await both(bench);
	const ratios = results.map(({ pre, post }) => post.metrics.totalMs / pre.metrics.totalMs);
	const rows = results.map(({ model }, i) =>
		statementRow(`${model.name}: total time, post-copy ÷ pre-copy`, "below 1", ratios[i]!.toFixed(2), ratios[i]! < 1),
	);
	rows.push(
		statementRow(
			"more than 50 % less for some",
			"yes",
			`${ratios.filter((ratio) => ratio < 0.5).length} of 4`,
			ratios.some((ratio) => ratio < 0.5),
		),
	);
	return {
		verdict: worst(rows),
		reason: "follows from the pages of PC-4",
		fitted: FITTED,
		rows,
		figures: [bars("Total time (figure 15)", "ms", results, ({ metrics }) => metrics.totalMs)],
	};
}

async function downtimes(bench: LabBench): Promise<Report> {
	const results = await both(bench);
	const rows = results.map(({ model, pre, post }) =>
		statementRow(
			`${model.name}: downtime, post-copy and pre-copy`,
			"higher",
			`${post.metrics.downtimeMs.toFixed(0)} and ${pre.metrics.downtimeMs.toFixed(0)} ms`,
			post.metrics.downtimeMs > pre.metrics.downtimeMs,
		),
	);
	return {
		verdict: worst(rows),
		reason:
			"with pseudo-paging the kernel's pages travel in post-copy's downtime; in pre-copy's what the load has written last, which is more than that for the models that write fastest",
		fitted: FITTED,
		rows,
		figures: [bars("Downtime (figure 16)", "ms", results, ({ metrics }) => metrics.downtimeMs)],
	};
}

async function degradation(bench: LabBench): Promise<Report> {
	const sender = MODELS[3]!;
	const compile = MODELS[2]!;
	const rows: ReportRow[] = [];
	// A sender on the same link gets half of it while pages travel, and nothing while it is paused.
	const dips: { lost: number; duration: number }[] = [];
	for (const technique of ["pre-copy", "post-copy"] as const) {
		const { metrics } = await run(bench, sender, technique, 0.5);
		dips.push({ duration: metrics.totalMs, lost: metrics.downtimeMs + 0.5 * (metrics.totalMs - metrics.downtimeMs) });
	}
	const [pre, post] = [dips[0]!, dips[1]!];
	rows.push(
		statementRow(
			"NetPerf's dip, duration: pre-copy and post-copy",
			"longer",
			`${pre.duration.toFixed(0)} and ${post.duration.toFixed(0)} ms`,
			pre.duration > post.duration,
		),
		statementRow(
			"NetPerf's loss in ms of full rate: pre-copy and post-copy",
			"more",
			`${pre.lost.toFixed(0)} and ${post.lost.toFixed(0)}`,
			pre.lost > post.lost,
		),
	);
	const slow: number[] = [];
	for (const technique of ["pre-copy", "post-copy"] as const) {
		const { metrics, waitedMs } = await run(bench, compile, technique);
		// Each first write after a round has cleared the dirty log traps; the processes share what that takes.
		const trapsMs = metrics.rounds.reduce((sum, { dirtiedPages }) => sum + dirtiedPages, 0) * FAULT_CPU_MS;
		slow.push(metrics.downtimeMs + (waitedMs + trapsMs) / compile.processes);
	}
	const [preLoss = 0, postLoss = 0] = slow;
	rows.push(
		statementRow(
			"kernel compile, time lost per move: pre-copy and post-copy",
			"about the same",
			`${preLoss.toFixed(0)} and ${postLoss.toFixed(0)} ms`,
			Math.abs(postLoss / preLoss - 1) < 0.35,
		),
	);
	return {
		verdict: worst(rows),
		reason:
			"a sender loses what the move takes of its link, so fewer pages are a shorter dip; the compile loses its downtime and, under post-copy, its waits, under pre-copy a trap for each page it writes in a round; domain 0's CPU is not modelled",
		fitted: `nothing here: a write trap costs the ${FAULT_CPU_MS * 1000} µs of CPU that the prepaging study gives any fault; ${FITTED}`,
		rows,
		figures: [],
	};
}

/** PC-4, 5, 6, 10, 11. */
export const APPLICATION_EXPERIMENTS: readonly Experiment[] = [
	{ id: "PC-4", title: "pages transferred, four applications (figures 7, 13)", recorded: "reproduced", run: pages },
	{ id: "PC-5", title: "network faults avoided (figure 14)", recorded: "partly", run: faults },
	{ id: "PC-6", title: "total time, four applications (figure 15)", recorded: "reproduced", run: totalTimes },
	{ id: "PC-10", title: "downtime, four applications (figure 16)", recorded: "reproduced", run: downtimes },
	{ id: "PC-11", title: "degradation by moves (figures 8 to 11)", recorded: "reproduced", run: degradation },
];
