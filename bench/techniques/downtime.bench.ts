// What a move of a 64 MiB guest between two processes costs its clients: downtime with full verification, slices on the
// guest's thread, and the longest gap between two answers of a client that asks a thousand times per second.
import type { BenchOptions, Row } from "../row.ts";
import { type Crossing, Ferry, type FerryLoad, median } from "./ferry.ts";

export const title = "A 64 MiB guest between two processes, full verification";

interface Scene {
	readonly name: string;
	readonly load: FerryLoad;
	readonly downtimeLimitMs: number;
}

const SCENES: readonly Scene[] = [
	{ name: "idle but for its client", load: { requestsPerSecond: 1000, changePages: 0 }, downtimeLimitMs: 20 },
	{ name: "500 pages per 100 ms", load: { requestsPerSecond: 1000, changePages: 5 }, downtimeLimitMs: 50 },
];
const SLICE_LIMIT_MS = 2;

export async function rows({ smoke }: BenchOptions): Promise<Row[]> {
	const all: Row[] = [];
	for (const scene of SCENES) all.push(...sceneRows(scene, await crossings(scene, smoke)));
	return all;
}

async function crossings({ load }: Scene, smoke: boolean): Promise<Crossing[]> {
	const runs = smoke ? 2 : 21;
	const ferry = await Ferry.open(smoke ? 8 : 64, load);
	const measured: Crossing[] = [];
	try {
		// The first crossings run in the baseline tier: not counted.
		for (let run = smoke ? 0 : -4; run < runs; run++) {
			const crossing = await ferry.cross({ technique: "pre-copy", verification: "full" });
			if (run >= 0) measured.push(crossing);
		}
	} finally {
		await ferry.close();
	}
	return measured;
}

/** A time that should stay below a limit: the ratio is how many times below it is. */
function limited(name: string, values: readonly number[], limitMs: number): Row[] {
	const value = median(values);
	return [
		{ name, value, unit: "ms", peer: "limit", peerValue: limitMs, ratio: limitMs / value, goal: 1 },
		plain(`${name}, worst`, Math.max(...values)),
	];
}

function plain(name: string, value: number): Row {
	return { name, value, unit: "ms", peer: null, peerValue: null, ratio: null };
}

function sceneRows({ name, downtimeLimitMs }: Scene, measured: readonly Crossing[]): Row[] {
	const of = (pick: (crossing: Crossing) => number): number[] => measured.map(pick);
	const parts = (part: "finalRoundMs" | "stateMs" | "verifyMs" | "commitMs"): Row =>
		plain(`${name}: of it ${part.replace("Ms", "")}`, median(of(({ metrics }) => metrics.downtimeParts[part])));
	return [
		...limited(
			`${name}: downtime`,
			of(({ metrics }) => metrics.downtimeMs),
			downtimeLimitMs,
		),
		...[parts("finalRoundMs"), parts("stateMs"), parts("verifyMs"), parts("commitMs")],
		...limited(
			`${name}: slice, 95 %`,
			of(({ metrics }) => metrics.sliceP95Ms),
			SLICE_LIMIT_MS,
		),
		plain(`${name}: longest slice, worst`, Math.max(...of(({ metrics }) => metrics.longestSliceMs))),
		plain(`${name}: client's longest gap`, median(of(({ longestGapMs }) => longestGapMs))),
		plain(`${name}: client's longest gap, worst`, Math.max(...of(({ longestGapMs }) => longestGapMs))),
	];
}
