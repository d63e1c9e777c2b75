// Push order by multi-pivot bubbling over 2^24 pages (64 GiB): ns per page handed out, faults among them.
import { Bitmap } from "../../bindings/engine/bitmap.ts";
import { BubblingQueue } from "../../bindings/engine/bubble.ts";
import { createEngine } from "../../bindings/engine/engine.ts";
import { PageList } from "../../bindings/engine/page-list.ts";
import { contest } from "../contest.ts";
import { randomBelow } from "../inputs/synthetic.ts";
import type { BenchOptions, Row } from "../row.ts";

export const title = "multi-pivot bubbling";

const BATCH = 1024;
/** ns per page that is wanted at most, with 7 pivots. */
const WANTED_NS = 4;

/** Hands out everything, with a fault per batch. @returns pages handed out */
function drain(pages: number, pushOrder: "edges" | "turns"): { run: () => number; before: () => void } {
	let queue: BubblingQueue | undefined;
	let list: PageList | undefined;
	const before = (): void => {
		const engine = createEngine();
		const owed = new Bitmap(engine, pages);
		owed.setAll();
		list = new PageList(engine, BATCH);
		queue = new BubblingQueue(engine, pages, owed, { pivots: 7, pushOrder });
		engine.prefault();
	};
	const run = (): number => {
		const below = randomBelow(99);
		let handed = 0;
		while (queue!.remaining > 0) {
			if (queue!.fault(below(pages)) === "send") handed++;
			handed += queue!.push(list!);
		}
		return handed;
	};
	return { run, before };
}

export async function rows(options: BenchOptions): Promise<Row[]> {
	const pages = options.smoke ? 2 ** 14 : 2 ** 24;
	const result: Row[] = [];
	for (const pushOrder of ["edges", "turns"] as const) {
		const ours = { name: pushOrder, ...drain(pages, pushOrder) };
		const rows = await contest({ name: `7 pivots, ${pushOrder}`, amount: pages, unit: "ns", ours, peers: [] }, options);
		for (const row of rows)
			result.push({ ...row, peer: "wanted at most", peerValue: WANTED_NS, ratio: WANTED_NS / row.value, goal: 1 });
	}
	return result;
}
