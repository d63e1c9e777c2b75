// What it costs that a post-copy move's target sends its changes back as checkpoints and holds its output for them: a client
// asks as fast as it is answered while pages are missing, with checkpoints and without, in turns. Two processes on Node 22
// from tests/runtimes where it is installed, else on Deno.
import { existsSync } from "node:fs";
import { resolve } from "node:path";
import { pathToFileURL } from "node:url";
import { demandPaging } from "../../bindings/policies/push-order.ts";
import type { BenchOptions, Row } from "../row.ts";
import { type Crossing, Ferry, type FerryCrew, type FerryLoad, median } from "./ferry.ts";

export const title = "Reverse checkpoints: what they cost while pages are missing";

const NODE_22 = resolve("tests/runtimes/node_modules/node22/bin/node");
const CREW: FerryCrew = {
	programUrl: pathToFileURL(resolve("bench/techniques/post-copy-pages-program.mjs")).href,
	...(existsSync(NODE_22) ? { nodeExecutable: NODE_22 } : { runtime: "deno" }),
};
/** Each call changes two of 256 pages; the others stay missing until the push begins. */
const LOADS: readonly (readonly [string, FerryLoad])[] = [
	["as fast as answers come", { requestsPerSecond: 0, changePages: 2, hotPages: 256 }],
	["200 calls/s", { requestsPerSecond: 200, changePages: 2, hotPages: 256 }],
];

export async function rows({ smoke }: BenchOptions): Promise<Row[]> {
	const all: Row[] = [];
	for (const [name, load] of smoke ? LOADS.slice(1) : LOADS) all.push(...(await loadRows(name, load, smoke)));
	return all;
}

async function loadRows(name: string, load: FerryLoad, smoke: boolean): Promise<Row[]> {
	const ferry = await Ferry.open(smoke ? 2 : 16, load, CREW);
	const push = demandPaging(smoke ? 50 : 1000);
	const plain: Crossing[] = [];
	const checkpointed: Crossing[] = [];
	try {
		// The first crossings run in the baseline tier: not counted.
		for (let run = smoke ? 0 : -1; run < (smoke ? 1 : 5); run++)
			for (const checkpoints of [false, true]) {
				const crossing = await ferry.cross({ technique: "post-copy", verification: "transport", push, checkpoints });
				if (run >= 0) (checkpoints ? checkpointed : plain).push(crossing);
			}
	} finally {
		await ferry.close();
	}
	const of = (pick: (crossing: Crossing) => number): number => median(checkpointed.map(pick));
	const perSecond = (what: "checkpoints" | "pages" | "bytes") =>
		of(({ metrics }) => (1000 * (metrics.paging?.checkpoints?.[what] ?? 0)) / metrics.resumeMs);
	const without = median(plain.map(({ answersPerSecond }) => answersPerSecond));
	const ratios = checkpointed.map(({ answersPerSecond }, i) => answersPerSecond / plain[i]!.answersPerSecond);
	return [
		{
			name: `${name}: answers with checkpoints`,
			value: of(({ answersPerSecond }) => answersPerSecond),
			unit: "per s",
			peer: "without",
			peerValue: without,
			ratio: median(ratios),
		},
		figure(`${name}: checkpoints`, perSecond("checkpoints"), "per s"),
		figure(`${name}: pages sent back`, perSecond("pages"), "per s"),
		figure(`${name}: bytes sent back`, perSecond("bytes") / 1e6, "MB/s"),
		figure(
			`${name}: client's longest gap`,
			of(({ longestGapMs }) => longestGapMs),
			"ms",
		),
		figure(`${name}: the same without`, median(plain.map(({ longestGapMs }) => longestGapMs)), "ms"),
	];
}

function figure(name: string, value: number, unit: string): Row {
	return { name, value, unit, peer: null, peerValue: null, ratio: null };
}
