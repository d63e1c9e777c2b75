/**
 * Cases that once broke a promise, and cases that reach corners which are rarely drawn: played by every batch before anything
 * is drawn. A case is never removed; when drawing changes, the ones that found something are kept as they were drawn.
 */
import type { FaultCase } from "./batch.ts";

/** See the head of this file. */
export const REGRESSIONS: readonly FaultCase[] = [
	// The source crashes inside its own progress report and would go on for the rest of that instant.
	{ technique: "pre-copy-switch", workload: "quicksort", seed: 509 },
	// The host crashes when a history has deleted its oldest snapshot and not yet said that it has a new one.
	{ technique: "history", workload: "growing", seed: 1649954761 },
	// The disk is full when a history deletes what is beyond its bounds: one snapshot too many until the next.
	{ technique: "history", workload: "kernel-compile", seed: 3516074380 },
	// The lease's keeper never answers the renewal of a source that keeps its guest: the move did not end.
	{ technique: "pre-copy", workload: "sequential-read", seed: 2128413995 },
	// The disk is full when a source has taken the lease to run its guest on: nobody knew of that grant any more.
	{ technique: "post-copy", workload: "web-server", seed: 2748058741 },
];
