// A guest of incompressible pages over loopback TCP between two processes, beside what node:net carries raw in the same run.
// Target memory and shadow are touched beforehand. Rate: bytes on the wire over preparation + downtime + resume.
import type { MoveOrder } from "../../bindings/cli/messages.ts";
import type { BenchOptions, Row } from "../row.ts";
import { Ferry, median } from "./ferry.ts";
import { RawTransfer } from "./raw-transfer.ts";

export const title = "A guest of incompressible pages over loopback TCP";

const KINDS: readonly (Pick<MoveOrder, "technique" | "verification"> & { readonly goal?: number })[] = [
	{ technique: "pre-copy", verification: "transport", goal: 0.5 },
	{ technique: "stop-and-copy", verification: "transport", goal: 0.5 },
	{ technique: "pre-copy", verification: "full" },
	{ technique: "stop-and-copy", verification: "full" },
];

/** Bytes per ms to MB/s. */
const MB_PER_S = 1000;

export async function rows({ smoke }: BenchOptions): Promise<Row[]> {
	const sizeMiB = smoke ? 16 : 256;
	const rounds = smoke ? 1 : 7;
	const raw = await RawTransfer.open(sizeMiB * 2 ** 20);
	const ferry = await Ferry.open(sizeMiB);
	const results = KINDS.map(() => ({ ours: [] as number[], theirs: [] as number[] }));
	try {
		await raw.run();
		// The first crossings run in the baseline tier, and each side must have been both source and target: not counted.
		for (let round = smoke ? 0 : -2; round < rounds; round++)
			for (const [index, { technique, verification }] of KINDS.entries()) {
				const theirs = await raw.run();
				const { metrics } = await ferry.cross({ technique, verification });
				if (round < 0) continue;
				results[index]!.ours.push(metrics.bytesOnWire / metrics.totalMs);
				results[index]!.theirs.push(theirs);
			}
	} finally {
		raw.close();
		await ferry.close();
	}
	return KINDS.map(({ technique, verification, goal }, index) => {
		const { ours, theirs } = results[index]!;
		const row = {
			name: `${sizeMiB} MiB, ${technique}, ${verification} verification`,
			value: median(ours) / MB_PER_S,
			unit: "MB/s",
			peer: "raw node:net",
			peerValue: median(theirs) / MB_PER_S,
			ratio: median(ours.map((rate, round) => rate / theirs[round]!)),
		};
		return goal === undefined ? row : { ...row, goal };
	});
}
