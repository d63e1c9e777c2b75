/**
 * The guests of Hines, Deshpande and Gopalan in the lab: real pre-copy and post-copy over a gigabit link. With dynamic
 * self-ballooning (DSB) a guest has no free pages but the 5 % buffer: what is in the balloon is no part of it. With
 * pseudo-paging the kernel's own pages cannot be faulted on, and neither can free pages: they travel in the downtime.
 */
import { xenConvergence } from "../../policies/convergence.ts";
import { type LabMoveResult, moveInLab } from "../move-run.ts";
import { pageRange } from "../page-sets.ts";
import type { SeededRandom } from "../seeded-random.ts";
import type { Workload } from "../workload.ts";
import type { LabBench } from "./report.ts";

/** Gigabit Ethernet after its overhead, and half a switched round trip. */
const GIGABIT = { rateBytesPerMs: 117_000, latencyMs: 0.06 } as const;

/** A guest that is moved. */
export interface HinesRun {
	readonly name: string;
	readonly technique: "pre-copy" | "post-copy" | "stop-and-copy";
	/** The kernel's own pages: the first ones. */
	readonly kernelPages: number;
	/** Free pages outside the balloon. */
	readonly freePages: number;
	/** Pages of the load, behind the two. */
	readonly loadPages: number;
	readonly workload: (firstPage: number, random: SeededRandom) => Workload;
	readonly warmUpMs?: number;
	readonly seed?: number;
	/** The link's share that the move gets: less beside other traffic. */
	readonly linkShare?: number;
}

/** Runs it, or takes the same run's result. */
export function runHines(bench: LabBench, run: HinesRun): Promise<LabMoveResult> {
	const { technique, kernelPages, freePages, loadPages, seed = 1, linkShare = 1, warmUpMs } = run;
	const firstPage = kernelPages + freePages;
	const pageCount = firstPage + loadPages;
	const network = { ...GIGABIT, rateBytesPerMs: GIGABIT.rateBytesPerMs * linkShare };
	const name = `${run.name}, ${technique}, ${kernelPages} + ${freePages} + ${loadPages} pages, ${linkShare} of the link, seed ${seed}`;
	return bench.once(name, () =>
		moveInLab({
			real: bench.real,
			seed,
			guest: { pageCount, filled: true, pinned: pageRange(pageCount, 0, firstPage) },
			workload: (random) => run.workload(firstPage, random),
			network,
			technique:
				technique === "pre-copy"
					? { name: "pre-copy", options: { convergence: xenConvergence() } }
					: technique === "post-copy"
						? { name: "post-copy", options: {} }
						: { name: "stop-and-copy" },
			...(warmUpMs === undefined ? {} : { warmUpMs }),
		}),
	);
}
