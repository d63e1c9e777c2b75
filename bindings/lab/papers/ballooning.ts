/**
 * PC-9: what dynamic self-ballooning costs a kernel compile, by its interval (figure 12). The real balloon account decides
 * how much is inflated; a model says what that takes of the guest's CPU.
 */
import { BalloonAccount } from "../../engine/balloon.ts";
import { createEngine } from "../../engine/engine.ts";
import { PageList } from "../../engine/page-list.ts";
import { SeededRandom } from "../seeded-random.ts";
import { worst } from "./judging.ts";
import { type Experiment, type Report, type ReportRow, statementRow } from "./report.ts";

const INTERVALS_MS: readonly number[] = [10, 30, 100, 300, 1000, 4000, 5000, 10_000];
const GUEST_PAGES = 131_072;
const COMPILE_MS = 120_000;
/** A process of the compile takes so many pages, and gives them back when it exits. */
const PROCESS_PAGES = 6000;
const PROCESS_MS = 400;
const USED_PAGES = 40_000;
/** CPU time of one wake-up of the loop, and of a page that goes into or out of the balloon (allocate, hypercall, map). */
const WAKE_MS = 0.5;
const PAGE_MS = 0.0015;
const PRESSURE_PAGES = 128;

/** @returns CPU time that ballooning takes during the compile, in ms. */
function cost(intervalMs: number): number {
	const engine = createEngine();
	const account = new BalloonAccount(engine, GUEST_PAGES);
	const random = new SeededRandom(1);
	const list = new PageList(engine, GUEST_PAGES);
	let used = USED_PAGES;
	let spentMs = 0;
	const resize = (pages: number, inflate: boolean): void => {
		const first = inflate ? account.size : account.size - pages;
		list.load(Uint32Array.from({ length: pages }, (_, i) => first + i));
		if (inflate) account.inflated(list);
		else account.deflated(list);
		spentMs += pages * PAGE_MS;
	};
	const take = (pages: number): void => {
		while (GUEST_PAGES - account.size - used < pages && account.size > 0)
			resize(account.pressure(PRESSURE_PAGES).pages, false);
		used += pages;
	};
	let nextProcessMs = 0;
	for (let nowMs = 0; nowMs < COMPILE_MS; nowMs += intervalMs) {
		for (; nextProcessMs <= nowMs; nextProcessMs += PROCESS_MS) {
			used = USED_PAGES; // the process before has exited
			take(Math.floor(PROCESS_PAGES * (0.5 + random.nextU32() / 2 ** 32)));
		}
		spentMs += WAKE_MS;
		const step = account.interval(GUEST_PAGES - account.size - used);
		if (step.kind !== "hold") resize(step.pages, step.kind === "inflate");
	}
	return spentMs;
}

function run(): Promise<Report> {
	const costs = INTERVALS_MS.map((intervalMs) => cost(intervalMs));
	const rows: ReportRow[] = [];
	for (const [i, intervalMs] of INTERVALS_MS.entries()) {
		const percent = (100 * costs[i]!) / COMPILE_MS;
		const paper = intervalMs >= 4000 ? "harmless" : "more, the shorter";
		const holds = intervalMs >= 4000 ? percent < 0.5 : i === 0 || costs[i]! < costs[i - 1]!;
		rows.push(
			statementRow(`interval ${intervalMs} ms: added to 120 s of compile`, paper, `${percent.toFixed(2)} %`, holds),
		);
	}
	// If inversely proportional where wake-ups dominate: ten times the interval, a tenth of the time.
	const decade = costs[0]! / costs[2]!;
	rows.push(statementRow("10 ms ÷ 100 ms", "about 10", decade.toFixed(1), decade > 6 && decade < 14));
	return Promise.resolve({
		verdict: worst(rows),
		reason:
			"falls with every longer interval and is below 0.2 % from 4 s on; less than inversely proportional, because each exit of a compiler is given to the balloon once, whatever the interval: the paper's 1 / interval needs the wake-ups to be the larger part",
		fitted: `nothing; ${WAKE_MS} ms for a wake-up and ${PAGE_MS * 1000} µs for a page are assumed, the paper gives no scale`,
		rows,
		figures: [
			{
				...{ title: "Degradation by ballooning interval (figure 12)", xLabel: "interval", yLabel: "ms added to 120 s" },
				logarithmic: true,
				categories: INTERVALS_MS.map((interval) => `${interval} ms`),
				series: [{ name: "kernel compile", points: costs.map((value, i) => [i, value] as const) }],
			},
		],
	});
}

/** PC-9. */
export const BALLOONING_EXPERIMENT: Experiment = {
	id: "PC-9",
	title: "degradation by the ballooning interval (figure 12)",
	recorded: "partly",
	run,
};
