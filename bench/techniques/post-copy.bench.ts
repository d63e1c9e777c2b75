// Post-copy between two processes: how soon the guest runs at the target, whatever its size, and how long it waits for a
// page while others are pushed; and the paper's sequential sweep, in virtual time. The processes run on Node 22 from
// tests/runtimes where it is installed, else on Deno: Node 20 cannot wait for pages.
import { existsSync } from "node:fs";
import { resolve } from "node:path";
import { pathToFileURL } from "node:url";
import { activePush, demandPaging, type PushOrder, prepaging } from "../../bindings/policies/push-order.ts";
import { sweep } from "../../tests/simulation/sequential-sweep.ts";
import type { BenchOptions, Row } from "../row.ts";
import { type Crossing, Ferry, type FerryCrew, type FerryLoad, median } from "./ferry.ts";

export const title = "Post-copy: the switch, waits for pages, the sequential sweep";

const NODE_22 = resolve("tests/runtimes/node_modules/node22/bin/node");
const CREW: FerryCrew = {
	programUrl: pathToFileURL(resolve("bench/techniques/post-copy-pages-program.mjs")).href,
	...(existsSync(NODE_22) ? { nodeExecutable: NODE_22 } : { runtime: "deno" }),
};
const RUNTIME = existsSync(NODE_22) ? "Node 22" : "Deno";
/** A call per 2 ms that touches two pages somewhere in the guest: most of them are missing at first. */
const LOAD: FerryLoad = { requestsPerSecond: 500, changePages: 2 };

const SWITCH_LIMIT_MS = 15;
const FAULT_LIMIT_US = 200;
const PARTS = ["finalRoundMs", "stateMs", "verifyMs", "commitMs"] as const;
const FAULT_SHARE_LIMIT = 4;
/** Of a push that nobody disturbs, in MB/s. */
const PUSH_LIMIT = 500;

export async function rows({ smoke }: BenchOptions): Promise<Row[]> {
	const all: Row[] = [];
	for (const sizeMiB of smoke ? [8] : [64, 512]) all.push(...sizeRows(sizeMiB, await crossings(sizeMiB, smoke, LOAD)));
	for (const sizeMiB of smoke ? [8] : [64, 512]) all.push(pushRow(sizeMiB, await crossings(sizeMiB, smoke, undefined)));
	for (const megabytes of smoke ? [8] : [8, 64, 256]) all.push(...(await sweepRows(megabytes)));
	return all;
}

async function crossings(sizeMiB: number, smoke: boolean, load: FerryLoad | undefined): Promise<Crossing[]> {
	const runs = smoke ? 2 : sizeMiB > 100 || load === undefined ? 7 : 21;
	const ferry = await Ferry.open(sizeMiB, load, CREW);
	const measured: Crossing[] = [];
	try {
		// The first crossings run in the baseline tier: not counted.
		for (let run = smoke ? 0 : -2; run < runs; run++) {
			const crossing = await ferry.cross({ technique: "post-copy", verification: "transport" });
			if (run >= 0) measured.push(crossing);
		}
	} finally {
		await ferry.close();
	}
	return measured;
}

function sizeRows(sizeMiB: number, measured: readonly Crossing[]): Row[] {
	const name = `${sizeMiB} MiB, ${RUNTIME}`;
	const of = (pick: (crossing: Crossing) => number): number[] => measured.map(pick);
	const switches = of(({ metrics }) => metrics.pauseWaitMs + metrics.downtimeMs);
	const latencyUs = median(of(({ metrics }) => (metrics.paging?.faultLatency.p50Ms ?? 0) * 1000));
	return [
		limited(`${name}: runs at the target after`, median(switches), "ms", SWITCH_LIMIT_MS),
		plain(`${name}: runs at the target after, worst`, Math.max(...switches), "ms"),
		...PARTS.map((part) =>
			plain(`${name}: of it ${part.replace("Ms", "")}`, median(of(({ metrics }) => metrics.downtimeParts[part])), "ms"),
		),
		limited(`${name}: median wait for a page`, latencyUs, "µs", FAULT_LIMIT_US),
		plain(
			`${name}: 90 % of the waits below`,
			median(of(({ metrics }) => metrics.paging?.faultLatency.p90Ms ?? 0)),
			"ms",
		),
		plain(`${name}: waits for pages`, median(of(({ metrics }) => metrics.networkFaults)), "faults"),
		plain(`${name}: pages in vain`, median(of(({ metrics }) => metrics.paging?.pushedInVain ?? 0)), "pages"),
		plain(`${name}: every page is there after`, median(of(({ metrics }) => metrics.resumeMs)), "ms"),
		plain(`${name}: client's longest gap`, median(of(({ longestGapMs }) => longestGapMs)), "ms"),
	];
}

/** How fast pages come to a guest that does nothing. */
function pushRow(sizeMiB: number, measured: readonly Crossing[]): Row {
	const value = median(measured.map(({ metrics }) => (sizeMiB * 2 ** 20) / 1000 / metrics.resumeMs));
	const name = `${sizeMiB} MiB, ${RUNTIME}: push to an idle guest`;
	return { name, value, unit: "MB/s", peer: "wanted", peerValue: PUSH_LIMIT, ratio: value / PUSH_LIMIT, goal: 1 };
}

const ORDERS: readonly (readonly [string, PushOrder])[] = [
	["demand only", demandPaging()],
	["push only", activePush()],
	["prepaging", prepaging()],
	["turns", prepaging({ order: "turns" })],
];

async function sweepRows(megabytes: number): Promise<Row[]> {
	const all: Row[] = [];
	const pages = megabytes * 256;
	for (const [name, push] of ORDERS) {
		const { networkFaults, paging } = await sweep(pages, push);
		const label = `sweep of ${megabytes} MB, ${name}`;
		const share = (100 * networkFaults) / pages;
		const isPrepaging = push.variant === "prepaging";
		const faults = `${label}: network faults of first touches`;
		all.push(isPrepaging ? limited(faults, share, "%", FAULT_SHARE_LIMIT) : plain(faults, share, "%"));
		all.push(plain(`${label}: blocked`, paging?.blockedMs ?? 0, "ms"));
	}
	return all;
}

/** A figure that should stay below a limit: the ratio is how many times below it is. */
function limited(name: string, value: number, unit: string, limit: number): Row {
	return { name, value, unit, peer: "limit", peerValue: limit, ratio: limit / value, goal: 1 };
}

function plain(name: string, value: number, unit: string): Row {
	return { name, value, unit, peer: null, peerValue: null, ratio: null };
}
