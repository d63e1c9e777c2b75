/** Many schedules, one after another: every technique × every workload × seeds. */
import type { FaultRun } from "./findings.ts";
import { runMoveSchedule } from "./move-run.ts";
import { runRestoreSchedule } from "./restore-run.ts";
import type { FaultBench } from "./save-guest.ts";
import { runSaveSchedule } from "./save-run.ts";
import {
	drawSchedule,
	type FaultSchedule,
	MOVE_TECHNIQUES,
	type MoveTechniqueName,
	SAVE_TECHNIQUES,
	type SaveTechniqueName,
} from "./schedule.ts";
import type { Tampering } from "./two-hosts.ts";
import { WORKLOADS, type WorkloadName } from "./workloads.ts";

/** Every technique that is simulated under faults. */
export const FAULT_TECHNIQUES: readonly (MoveTechniqueName | SaveTechniqueName)[] = [
	...MOVE_TECHNIQUES,
	...SAVE_TECHNIQUES,
];

/** One drawn schedule, by what it is drawn from. */
export interface FaultCase {
	readonly technique: MoveTechniqueName | SaveTechniqueName;
	readonly workload: WorkloadName;
	readonly seed: number;
}

/** Plays a schedule. Never rejects for what the schedule does: what broke is in the result. */
export function runSchedule(bench: FaultBench, schedule: FaultSchedule, tampering: Tampering = {}): Promise<FaultRun> {
	const { technique } = schedule;
	if (isOneOf(MOVE_TECHNIQUES, technique)) return runMoveSchedule(bench.real, schedule, tampering);
	if (technique === "restore" || technique === "lazy-restore") return runRestoreSchedule(bench, schedule, tampering);
	return runSaveSchedule(bench, schedule, tampering);
}

/** The case with this number, of those that begin with a seed: all techniques come in turn, then the next workload. */
export function caseOf(
	techniques: readonly (MoveTechniqueName | SaveTechniqueName)[],
	base: number,
	number: number,
): FaultCase {
	const technique = techniques[number % techniques.length]!;
	const workload = WORKLOADS[Math.floor(number / techniques.length) % WORKLOADS.length]!;
	return { technique, workload, seed: (base + number) >>> 0 };
}

/** A case as text, e.g. `pre-copy/random-writer/42`. */
export function caseName({ technique, workload, seed }: FaultCase): string {
	return `${technique}/${workload}/${seed}`;
}

/** Reads {@link caseName}. @returns undefined for anything else. */
export function parseCase(text: string): FaultCase | undefined {
	const [technique = "", workload = "", digits = "", ...rest] = text.split("/");
	const seed = Number(digits);
	if (rest.length > 0 || !/^\d{1,10}$/.test(digits) || seed >= 2 ** 32) return undefined;
	if (!isOneOf(FAULT_TECHNIQUES, technique) || !isOneOf(WORKLOADS, workload)) return undefined;
	return { technique, workload, seed };
}

/** Draws a case's schedule and plays it. */
export function runCase(
	bench: FaultBench,
	{ technique, workload, seed }: FaultCase,
	tampering: Tampering = {},
): Promise<FaultRun> {
	const schedule = drawSchedule(technique, workload, seed);
	return runSchedule(bench, tampering.schedule?.(schedule) ?? schedule, tampering);
}

function isOneOf<T extends string>(names: readonly T[], name: string): name is T {
	return (names as readonly string[]).includes(name); // allowed (cast): widened to search in it
}
