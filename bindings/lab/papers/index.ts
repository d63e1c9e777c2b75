/** Every experiment of the lab, in the order of the papers: post-copy (PC), live save (LS). */
import { BALLOONING_EXPERIMENT } from "./ballooning.ts";
import { LIVE_SAVE_EXPERIMENTS } from "./live-save.ts";
import { LIVE_SAVE_DOWNTIME } from "./live-save-downtime.ts";
import { APPLICATION_EXPERIMENTS } from "./post-copy-applications.ts";
import { STRESS_EXPERIMENTS } from "./post-copy-stress.ts";
import { PREPAGING_EXPERIMENTS } from "./prepaging.ts";
import type { Experiment } from "./report.ts";

/** See the head of this file. */
export const EXPERIMENTS: readonly Experiment[] = [
	...PREPAGING_EXPERIMENTS,
	...STRESS_EXPERIMENTS,
	...APPLICATION_EXPERIMENTS,
	BALLOONING_EXPERIMENT,
	...LIVE_SAVE_EXPERIMENTS,
	LIVE_SAVE_DOWNTIME,
].sort(byId);

function byId(a: Experiment, b: Experiment): number {
	const [aPaper = "", aNumber = ""] = a.id.split("-");
	const [bPaper = "", bNumber = ""] = b.id.split("-");
	if (aPaper !== bPaper) return aPaper < bPaper ? 1 : -1; // the moves before the saves
	return Number(aNumber) - Number(bNumber);
}
