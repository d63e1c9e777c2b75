// The paper's push order (edges, 7 pivots) against turns, over a set of test loads: network faults and blocked time, in the
// paging model with the parameters of the prepaging study (link slot 33 µs, latency 60 µs, two pages staged, two virtual
// CPUs). Blocked time stands beside faults, because either alone can be bought with the other.
//
// | load | what it is | from |
// | --- | --- | --- |
// | sweep | one process, end to end, 40 µs a page | PC-1 (docs/lab.md) |
// | two sweeps | two of them, in halves | |
// | random | one page here, one there | the worst case of any order |
// | walks | walks of 8 pages, 7 of 10 in a tenth of the memory; positions by last use | PC-5's kind, proactive LRU ordering |
// | Hoare's Quicksort | 1, 8 and 64 processes, 20 µs a page | PC-7 |
// | Lomuto's Quicksort | 8 processes: forward scans only | PC-7 |
import { ascending, scannedOrder, shuffledRuns } from "../../bindings/lab/device-order.ts";
import { type PagingModelResult, runPagingModel } from "../../bindings/lab/paging-model.ts";
import { type Program, warmUp } from "../../bindings/lab/program.ts";
import { SeededRandom } from "../../bindings/lab/seeded-random.ts";
import { Application } from "../../bindings/lab/workloads/application.ts";
import { Quicksort } from "../../bindings/lab/workloads/quicksort.ts";
import { Sequential } from "../../bindings/lab/workloads/sequential.ts";
import { type PushOrder, prepaging } from "../../bindings/policies/push-order.ts";
import type { BenchOptions, Row } from "../row.ts";

export const title = "Push orders over test loads: turns against the paper's";

/** Blocked time may be at most this much of the paper's, and faults at most that much. */
const BLOCKED_LIMIT = 0.9;
const FAULTS_LIMIT = 1.15;
/** Touches between two scans of the referenced bits. */
const SCAN_TOUCHES = 100_000;
const RUN_PAGES = 28;

interface Load {
	readonly name: string;
	readonly programs: (pageCount: number, random: SeededRandom) => readonly Program[];
	/** Positions by last use. */
	readonly lru?: boolean;
}

function sorts(processes: number, scheme: "hoare" | "lomuto"): Load {
	return {
		name: `Quicksort, ${scheme}, ${processes} processes`,
		programs: (pages, random) => {
			const pageCount = pages / processes;
			const sort = (_: unknown, i: number): Program =>
				new Quicksort({ firstPage: i * pageCount, pageCount, scheme, workMs: 0.02, random });
			return Array.from({ length: processes }, sort);
		},
	};
}

function sweeps(count: number): Load {
	return {
		name: count === 1 ? "sweep" : `${count} sweeps`,
		programs: (pages, random) => {
			const pageCount = pages / count;
			const one = (_: unknown, i: number): Program =>
				new Sequential({ firstPage: i * pageCount, pageCount, write: true, workMs: 0.04, start: random.nextU32() });
			return Array.from({ length: count }, one);
		},
	};
}

function walks(name: string, runPages: number, lru: boolean): Load {
	const options = { firstPage: 0, hotShare: 0.7, writeShare: 0.5, workMs: 0.04, runPages };
	return {
		...{ name, lru },
		programs: (pageCount, random) => [
			new Application({ ...options, pageCount, hotPages: Math.floor(pageCount / 10), random }),
		],
	};
}

const LOADS: readonly Load[] = [
	sweeps(1),
	sweeps(2),
	walks("random", 1, false),
	walks("walks", 8, true),
	...[1, 8, 64].map((processes) => sorts(processes, "hoare")),
	sorts(8, "lomuto"),
];

function run(load: Load, pageCount: number, seed: number, push: PushOrder): PagingModelResult {
	const random = new SeededRandom(seed);
	const programs = load.programs(pageCount, random);
	const lastUse = new Float64Array(pageCount);
	// In the middle of its work, wherever that is.
	warmUp(programs, Math.floor((pageCount / programs.length) * 3), lastUse);
	const list = shuffledRuns(ascending(pageCount), RUN_PAGES, random);
	const order = load.lru === true ? scannedOrder(list, lastUse, SCAN_TOUCHES) : list;
	return runPagingModel({ programs, pageCount, order, push });
}

/** Sums over seeds: single runs of a sweep have a hundred faults. */
function total(
	load: Load,
	pageCount: number,
	seeds: readonly number[],
	push: PushOrder,
): { faults: number; blockedMs: number } {
	let [faults, blockedMs] = [0, 0];
	for (const seed of seeds) {
		const result = run(load, pageCount, seed, push);
		faults += result.networkFaults;
		blockedMs += result.blockedMs;
	}
	return { faults, blockedMs };
}

/** Both orders, load by load, and the geometric means of what turns take of the paper's. */
function compareOrders(pageCount: number, seeds: readonly number[], ours: PushOrder): Row[] {
	const rows: Row[] = [];
	const logs = { faults: 0, blocked: 0 };
	for (const load of LOADS) {
		const paper = total(load, pageCount, seeds, prepaging());
		const turns = total(load, pageCount, seeds, ours);
		rows.push(against(`${load.name}: network faults`, turns.faults, paper.faults, "faults"));
		rows.push(against(`${load.name}: blocked`, turns.blockedMs, paper.blockedMs, "ms"));
		logs.faults += Math.log(turns.faults / paper.faults) / LOADS.length;
		logs.blocked += Math.log(turns.blockedMs / paper.blockedMs) / LOADS.length;
	}
	rows.push(limited("over all loads: network faults, of the paper's", Math.exp(logs.faults), FAULTS_LIMIT));
	rows.push(limited("over all loads: blocked, of the paper's", Math.exp(logs.blocked), BLOCKED_LIMIT));
	return rows;
}

export async function rows({ smoke }: BenchOptions): Promise<Row[]> {
	return compareOrders(smoke ? 1024 : 16_384, smoke ? [1] : [1, 2, 3, 11, 12, 13], prepaging({ order: "turns" }));
}

/** The ratio is above 1 where turns are better. */
function against(name: string, value: number, paper: number, unit: string): Row {
	return { name, value, unit, peer: "the paper's order", peerValue: paper, ratio: paper / value };
}

function limited(name: string, value: number, limit: number): Row {
	return { name, value, unit: "times", peer: "limit", peerValue: limit, ratio: limit / value, goal: 1 };
}
