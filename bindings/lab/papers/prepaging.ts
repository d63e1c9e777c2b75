/**
 * PC-1, PC-7, PC-8: which pages a post-copy move waits for, by push order. The real page queue in the paging model with the
 * parameters of the prepaging study: link slot 33 µs, latency 60 µs, two pages staged, two virtual CPUs.
 */
import { activePush, type PushOrder, prepaging } from "../../policies/push-order.ts";
import { ascending, scannedOrder, shuffledRuns } from "../device-order.ts";
import { type PagingModelResult, runPagingModel } from "../paging-model.ts";
import { warmUp } from "../program.ts";
import { SeededRandom } from "../seeded-random.ts";
import { Quicksort } from "../workloads/quicksort.ts";
import { Sequential } from "../workloads/sequential.ts";
import { worst } from "./judging.ts";
import { type Experiment, type LabBench, numberRow, type Report, type ReportRow, statementRow } from "./report.ts";

const PAGES_PER_MB = 256;

/** Table 2. */
const WORKING_SETS_MB: readonly number[] = [8, 16, 32, 64, 128, 256];
const PREPAGING_PERCENT: readonly number[] = [2, 4, 4, 3, 3, 3];
const PUSHING_PERCENT: readonly number[] = [15, 13, 13, 10, 9, 10];
/** Fitted for PC-1: pages that lie next to each other in device order. Work per page as in the study: 40 µs. */
const STRESS_RUN_PAGES = 24;
const STRESS_WORK_MS = 0.04;

/** Of the Quicksort experiments: 256 MB instead of the paper's 512, pages in runs of 32, 20 µs of work per page. */
const SORT_PAGES = 65_536;
const SORT_RUN_PAGES = 32;
const SORT_WORK_MS = 0.02;
const PROCESSES: readonly number[] = [1, 2, 4, 8, 16, 32, 64, 128];
/** A scan of the referenced bits each second: what two CPUs touch in that time. */
const SCAN_TOUCHES = 100_000;

async function stress(bench: LabBench): Promise<Report> {
	const rows: ReportRow[] = [];
	const series: { name: string; points: [number, number][] }[] = [];
	for (const [name, push, paper, low, high] of [
		["prepaging, one pivot", prepaging({ pivots: 1 }), PREPAGING_PERCENT, 1.5, 4],
		["pushing only", activePush(), PUSHING_PERCENT, 9, 16],
	] as const) {
		const points: [number, number][] = [];
		for (const [i, megabytes] of WORKING_SETS_MB.entries()) {
			const result = await bench.once(`stress, ${name}, ${megabytes} MB`, async () => runStress(megabytes, push));
			const percent = Math.round((1000 * result.networkFaults) / (megabytes * PAGES_PER_MB)) / 10;
			const row = numberRow(`${name}, ${megabytes} MB: network faults, %`, paper[i]!, percent, 0.5, 1);
			rows.push({ ...row, verdict: percent >= low && percent <= high ? "reproduced" : row.verdict });
			points.push([megabytes, percent]);
		}
		series.push({ name, points });
		series.push({ name: `${name}, paper`, points: WORKING_SETS_MB.map((megabytes, i) => [megabytes, paper[i]!]) });
	}
	const inBand = rows.every(({ ours }, i) =>
		i < 6 ? Number(ours) >= 1.5 && Number(ours) <= 4 : Number(ours) >= 9 && Number(ours) <= 16,
	);
	return {
		verdict: inBand ? "reproduced" : worst(rows),
		reason:
			"judged by the bands 1.5 to 4 % and 9 to 16 % at every working set: each fault waits some five slots, so pushing alone is ahead of the program in all but every ninth page, and a bubble in all but the first pages of a run",
		fitted: `one parameter: runs of ${STRESS_RUN_PAGES} pages in device order; ${STRESS_WORK_MS * 1000} µs of work per page, link and latency are the study's`,
		rows,
		figures: [{ title: "Network faults by working set (table 2)", xLabel: "MB", yLabel: "% of pages", series }],
	};
}

function runStress(megabytes: number, push: PushOrder): PagingModelResult {
	const pageCount = megabytes * PAGES_PER_MB;
	const random = new SeededRandom(3);
	const start = random.nextU32();
	const program = new Sequential({ firstPage: 0, pageCount, write: true, workMs: STRESS_WORK_MS, start });
	const order = shuffledRuns(ascending(pageCount), STRESS_RUN_PAGES, random);
	return runPagingModel({ programs: [program], pageCount, order, push });
}

/** One Quicksort run. */
interface SortRun {
	readonly processes: number;
	readonly push: PushOrder;
	readonly lru?: boolean;
	readonly scheme?: "hoare" | "lomuto";
	readonly workMs?: number;
	readonly seed?: number;
}

/** Runs it in the middle of its work, or takes the same run's result. */
function runSort(bench: LabBench, run: SortRun): Promise<PagingModelResult> {
	const { processes, push, lru = false, scheme = "hoare", workMs = SORT_WORK_MS, seed = 1 } = run;
	const name = `quicksort, ${processes} processes, ${scheme}, ${workMs} ms, ${JSON.stringify(push)}, ${lru}, seed ${seed}`;
	return bench.once(name, async () => {
		const random = new SeededRandom(seed * 1000 + processes);
		const pageCount = SORT_PAGES / processes;
		const programs = Array.from(
			{ length: processes },
			(_, i) => new Quicksort({ firstPage: i * pageCount, pageCount, scheme, workMs, random }),
		);
		const lastUse = new Float64Array(SORT_PAGES);
		warmUp(programs, Math.floor((pageCount * Math.log2(pageCount)) / 2), lastUse);
		const list = shuffledRuns(ascending(SORT_PAGES), SORT_RUN_PAGES, random);
		const order = lru ? scannedOrder(list, lastUse, SCAN_TOUCHES) : list;
		return runPagingModel({ programs, pageCount: SORT_PAGES, order, push });
	});
}

const STRATEGIES: readonly { readonly name: string; readonly push: PushOrder; readonly lru?: boolean }[] = [
	{ name: "push only", push: activePush() },
	{ name: "forward, one pivot", push: prepaging({ pivots: 1, direction: "forward" }) },
	{ name: "dual, one pivot", push: prepaging({ pivots: 1 }) },
	{ name: "dual, seven pivots", push: prepaging() },
	{ name: "dual, seven pivots, LRU order", push: prepaging(), lru: true },
];

async function strategies(bench: LabBench): Promise<Report> {
	const faults: number[][] = [];
	for (const { push, lru = false } of STRATEGIES) {
		const each: number[] = [];
		for (const processes of PROCESSES) each.push((await runSort(bench, { processes, push, lru })).networkFaults);
		faults.push(each);
	}
	const sums = faults.map((each) => each.reduce((sum, count) => sum + count, 0));
	const rows: ReportRow[] = [];
	for (const [i, { name }] of STRATEGIES.slice(1).entries()) {
		const before = STRATEGIES[i]!.name;
		rows.push(
			statementRow(
				`sum over 1 to 128 processes: ${before} > ${name}`,
				"more faults",
				`${sums[i]} > ${sums[i + 1]}`,
				sums[i]! > sums[i + 1]!,
			),
		);
	}
	const [push = [], forward = [], dual = [], multi = [], lru = []] = faults;
	const wins = (a: readonly number[], b: readonly number[]) => a.filter((count, i) => count <= b[i]!).length;
	const countRow = (point: string, paper: string, a: readonly number[], b: readonly number[], least: number) =>
		statementRow(`${point}, of 8 points`, paper, `${wins(a, b)}`, wins(a, b) >= least);
	rows.push(
		countRow("seven pivots below push only", "all", multi, push, 8),
		countRow("seven pivots below one", "consistently", multi, dual, 7),
		countRow("dual below forward", "most", dual, forward, 5),
		countRow("LRU order below none", "better", lru, multi, 5),
		...(await backwardRows(bench)),
		await fastGuestRow(bench),
	);
	return {
		verdict: worst(rows),
		reason:
			"the order of the strategies follows from the queue and a two-ended partition; backward-only comes out level with pushing only under a forward scan (Lomuto) and better under a two-ended one, not worse as in the paper, because the sweep sends what its stalled bubbles would leave; a fast guest with many processes is the exception: its faults fill the link and any push order is as good",
		fitted: `nothing; ${SORT_WORK_MS * 1000} µs of work per page is the lower end of the regime in which the paper's order holds, 256 MB in place of 512`,
		rows,
		figures: [
			{
				title: "Network faults by push order, Quicksort (figure 17)",
				xLabel: "processes",
				yLabel: "network faults",
				categories: PROCESSES.map(String),
				series: STRATEGIES.map(({ name }, i) => ({
					name,
					points: faults[i]!.map((count, point) => [point, count] as const),
				})),
			},
		],
	};
}

async function backwardRows(bench: LabBench): Promise<ReportRow[]> {
	const rows: ReportRow[] = [];
	for (const scheme of ["lomuto", "hoare"] as const) {
		const sums = [0, 0];
		for (const processes of PROCESSES)
			for (const [i, push] of [prepaging({ pivots: 1, direction: "backward" }), activePush()].entries())
				sums[i]! += (await runSort(bench, { processes, push, scheme })).networkFaults;
		const [backward = 0, push = 0] = sums;
		const row = statementRow(
			`backward worse than push only, ${scheme} partition`,
			"much worse",
			`${backward} and ${push}`,
			backward > push,
		);
		rows.push(row);
	}
	return rows;
}

/** The regime in which the order fails: shown, and true when it fails as predicted. */
async function fastGuestRow(bench: LabBench): Promise<ReportRow> {
	let push = 0;
	let multi = 0;
	for (const processes of [16, 32, 64, 128]) {
		push += (await runSort(bench, { processes, push: activePush(), workMs: 0.002 })).networkFaults;
		multi += (await runSort(bench, { processes, push: prepaging(), workMs: 0.002 })).networkFaults;
	}
	const gain = push / multi;
	return statementRow(
		"16 to 128 processes at 2 µs per page: push only ÷ seven pivots",
		"(ours: the advantage vanishes)",
		gain.toFixed(2),
		gain < 1.5,
	);
}

const PIVOTS: readonly number[] = [1, 3, 5, 7, 10, 16];

async function pivots(bench: LabBench): Promise<Report> {
	const faults: number[] = [];
	for (const k of PIVOTS) {
		let sum = 0;
		for (const processes of PROCESSES)
			sum += (await runSort(bench, { processes, push: prepaging({ pivots: k }) })).networkFaults;
		faults.push(sum);
	}
	const best = PIVOTS[faults.indexOf(Math.min(...faults))]!;
	const seven = faults[PIVOTS.indexOf(7)]! / faults[0]!;
	const rows: ReportRow[] = [
		statementRow("best number of pivots", "about 7", String(best), best >= 5 && best <= 10),
		statementRow("faults with seven pivots ÷ with one", "clearly fewer", seven.toFixed(2), seven <= 0.65),
		...PIVOTS.map((k, i) => statementRow(`faults with ${k} pivots, 1 to 128 processes`, "", String(faults[i]), true)),
	];
	return {
		verdict: worst(rows),
		reason:
			"the best number follows the fault's latency in slots (about 7 here) and the number of active streams; the minimum is flat",
		fitted: "nothing",
		rows,
		figures: [
			{
				title: "Network faults by number of pivots",
				xLabel: "pivots",
				yLabel: "network faults, 1 to 128 processes",
				series: [{ name: "dual", points: PIVOTS.map((k, i) => [k, faults[i]!] as const) }],
			},
		],
	};
}

/** PC-1, 7, 8. */
export const PREPAGING_EXPERIMENTS: readonly Experiment[] = [
	{ id: "PC-1", title: "network faults of a sequential load (table 2)", recorded: "reproduced", run: stress },
	{ id: "PC-7", title: "push orders under Quicksort (figure 17)", recorded: "partly", run: strategies },
	{ id: "PC-8", title: "about seven pivots are best", recorded: "reproduced", run: pivots },
];
