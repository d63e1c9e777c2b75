// What deltas save of a hot guest's bytes: a guest of incompressible pages of which some change all the time, a word in each,
// over a link of 117 MB/s, with and without versions of sent pages to send deltas against.
import type { BenchOptions, Row } from "../row.ts";
import { type Crossing, Ferry, median } from "./ferry.ts";

export const title = "Deltas of a hot guest over 117 MB/s";

const LINK = { bandwidthBytesPerMs: 117_000 };
/** Each request changes 64 of 4096 hot pages: 64 000 changes a second, more than the link carries as whole pages. */
const LOAD = { requestsPerSecond: 1000, changePages: 64, hotPages: 4096 };

export async function rows({ smoke }: BenchOptions): Promise<Row[]> {
	const runs = smoke ? 1 : 5;
	const ferry = await Ferry.open(smoke ? 8 : 64, smoke ? { ...LOAD, hotPages: 512 } : LOAD);
	const withDeltas: Crossing[] = [];
	const without: Crossing[] = [];
	try {
		for (let run = smoke ? 0 : -1; run < runs; run++)
			for (const [measured, deltas] of [
				[withDeltas, {}],
				[without, { deltaCachePages: 0 }],
			] as const) {
				const crossing = await ferry.cross({
					...{ technique: "pre-copy", verification: "transport", downtimeLimitMs: 10, ...LINK, ...deltas },
				});
				if (run >= 0) measured.push(crossing);
			}
	} finally {
		await ferry.close();
	}
	const beside = (name: string, unit: string, pick: (crossing: Crossing) => number): Row => {
		const [ours, theirs] = [withDeltas.map(pick), without.map(pick)];
		return {
			...{ name, unit, value: median(ours), peer: "whole pages", peerValue: median(theirs) },
			ratio: median(theirs.map((value, run) => value / ours[run]!)),
		};
	};
	const plain = (name: string, unit: string, pick: (crossing: Crossing) => number): Row => ({
		...{ name, unit, value: median(withDeltas.map(pick)), peer: null, peerValue: null, ratio: null },
	});
	return [
		beside("bytes on the wire", "MB", ({ metrics }) => metrics.bytesOnWire / 1e6),
		beside("downtime", "ms", ({ metrics }) => metrics.downtimeMs),
		beside("all of the move", "ms", ({ metrics }) => metrics.totalMs),
		beside("pages sent", "pages", ({ metrics }) => metrics.pagesTransferred),
		plain("of them as deltas", "pages", ({ metrics }) => metrics.pageKinds?.delta ?? 0),
		plain("of them unchanged", "pages", ({ metrics }) => metrics.pageKinds?.unchanged ?? 0),
		plain("memory that the move held", "MB", ({ metrics }) => metrics.memoryBytes / 1e6),
	];
}
