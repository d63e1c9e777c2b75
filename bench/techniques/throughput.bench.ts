// A guest over loopback TCP between two processes, beside what node:net carries raw in the same run. Target memory and shadow
// are touched beforehand. Rate: bytes of the guest over preparation + downtime + resume, so what compresses can be faster
// than raw. A paced link carries 117 MB/s at most, for both.
import type { MoveOrder } from "../../bindings/cli/messages.ts";
import type { BenchOptions, Row } from "../row.ts";
import { Ferry, type FerryCrew, median } from "./ferry.ts";
import { RawTransfer } from "./raw-transfer.ts";

export const title = "A guest over loopback TCP";

type Kind = Pick<MoveOrder, "technique" | "verification"> & { readonly goal?: number };

/** A guest's contents and its link. */
interface Scene {
	readonly name: string;
	readonly sizeMiB: number;
	readonly content: NonNullable<FerryCrew["content"]>;
	readonly bytesPerMs?: number;
	readonly rounds: number;
	readonly kinds: readonly Kind[];
}

const BOTH: readonly Kind[] = [
	{ technique: "pre-copy", verification: "transport" },
	{ technique: "stop-and-copy", verification: "transport" },
];
const SCENES: readonly Scene[] = [
	{
		name: "incompressible",
		sizeMiB: 256,
		content: "noise",
		rounds: 7,
		kinds: [
			{ technique: "pre-copy", verification: "transport", goal: 0.8 },
			{ technique: "stop-and-copy", verification: "transport", goal: 0.8 },
			{ technique: "pre-copy", verification: "full" },
			{ technique: "stop-and-copy", verification: "full" },
		],
	},
	{
		name: "half zero, a third compressible",
		sizeMiB: 256,
		content: "mixed",
		rounds: 7,
		kinds: BOTH.map((kind) => ({ ...kind, goal: 1 })),
	},
	{
		name: "half zero, a third compressible, link of 117 MB/s",
		sizeMiB: 64,
		content: "mixed",
		bytesPerMs: 117_000,
		rounds: 5,
		kinds: [{ technique: "pre-copy", verification: "transport", goal: 1 }],
	},
	{
		name: "incompressible, link of 117 MB/s",
		sizeMiB: 64,
		content: "noise",
		bytesPerMs: 117_000,
		rounds: 3,
		kinds: [{ technique: "pre-copy", verification: "transport" }],
	},
];

/** Bytes per ms to MB/s. */
const MB_PER_S = 1000;

export async function rows({ smoke }: BenchOptions): Promise<Row[]> {
	const all: Row[] = [];
	for (const scene of SCENES)
		all.push(...(await sceneRows(smoke ? { ...scene, sizeMiB: 8, rounds: 1 } : scene, smoke)));
	return all;
}

async function sceneRows(scene: Scene, smoke: boolean): Promise<Row[]> {
	const { name, sizeMiB, content, bytesPerMs, rounds, kinds } = scene;
	const byteLength = sizeMiB * 2 ** 20;
	const raw = await RawTransfer.open(byteLength);
	const ferry = await Ferry.open(sizeMiB, undefined, { content });
	const results = kinds.map(() => ({ ours: [] as number[], theirs: [] as number[] }));
	const pace = bytesPerMs === undefined ? {} : { bandwidthBytesPerMs: bytesPerMs };
	try {
		await raw.run();
		// The first crossings run in the baseline tier, and each side must have been both source and target: not counted.
		for (let round = smoke ? 0 : -2; round < rounds; round++)
			for (const [index, { technique, verification }] of kinds.entries()) {
				const theirs = await raw.run(bytesPerMs);
				const { metrics } = await ferry.cross({ technique, verification, ...pace });
				if (round < 0) continue;
				results[index]!.ours.push(byteLength / metrics.totalMs);
				results[index]!.theirs.push(theirs);
			}
	} finally {
		raw.close();
		await ferry.close();
	}
	return kinds.map(({ technique, verification, goal }, index) => {
		const { ours, theirs } = results[index]!;
		const row = {
			name: `${sizeMiB} MiB, ${name}, ${technique}, ${verification} verification`,
			value: median(ours) / MB_PER_S,
			unit: "MB/s",
			peer: "raw node:net",
			peerValue: median(theirs) / MB_PER_S,
			ratio: median(ours.map((rate, round) => rate / theirs[round]!)),
		};
		return goal === undefined ? row : { ...row, goal };
	});
}
