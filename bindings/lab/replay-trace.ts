/**
 * A recorded trace under any technique, in virtual time: the real technique moves or saves a guest whose pages become dirty as
 * they did when the trace was recorded (`planning/dirty-trace.ts`).
 */
import type { TechniqueName } from "../migration/metrics.ts";
import type { DirtyTrace } from "../planning/dirty-trace.ts";
import type { Clock } from "../ports/clock.ts";
import { improvedPlan, livePlan } from "../snapshot/live-save.ts";
import { pausedPlan } from "../snapshot/save.ts";
import type { SaveTechnique } from "../snapshot/save-metrics.ts";
import { runSave, type SavePlan } from "../snapshot/saving.ts";
import { diskDestination } from "./disk-destination.ts";
import { type LabTechnique, moveInLab } from "./move-run.ts";
import { SimulatedDisk } from "./simulated-disk.ts";
import { SyntheticGuest } from "./synthetic-guest.ts";
import { VirtualClock } from "./virtual-clock.ts";
import { TraceReplay } from "./workloads/replay.ts";

/** Every technique that a trace can be replayed under. */
export const REPLAY_TECHNIQUES: readonly (TechniqueName | SaveTechnique)[] = [
	...(["stop-and-copy", "pre-copy", "post-copy", "hybrid"] as const),
	...(["save", "live-save", "improved-live-save"] as const),
];

/** What a trace is replayed over. */
export interface ReplayOptions {
	readonly technique: TechniqueName | SaveTechnique;
	/** What the link carries, or a save's disk takes, in bytes per ms. */
	readonly bytesPerMs: number;
	/** Of the link, one way, in ms; 0 if left out. */
	readonly latencyMs?: number;
	/** Bytes of a page on the wire, as a sample of the guest says; a raw one if left out. */
	readonly bytesPerPage?: number;
}

/** What it took, in virtual time. */
export interface ReplayResult {
	readonly totalMs: number;
	readonly downtimeMs: number;
	/** Duplicates counted. */
	readonly pages: number;
	readonly rounds: number;
	/** Pages that the guest had to wait for after the switch, and how long it stood still. */
	readonly networkFaults: number;
	readonly waitedMs: number;
}

/** No simulated operation is too long: a slow link may need hours of virtual time. */
const PATIENT = { stateMs: 3_600_000, stallMs: 3_600_000, commitMs: 3_600_000 };

/**
 * Replays a trace under a technique.
 * @param real - a real clock: it lets promises settle between two moments of virtual time.
 * @throws RangeError for a trace without steps or a rate that is not above 0.
 *
 * @example
 * ```ts ignore
 * const trace = decodeTrace(await readFile("sqlite.trace", "utf8"));
 * const { downtimeMs } = await replayTrace(clock, trace, { technique: "hybrid", bytesPerMs: 20_000 });
 * ```
 */
export function replayTrace(
	real: Pick<Clock, "sleep">,
	trace: DirtyTrace,
	options: ReplayOptions,
): Promise<ReplayResult> {
	const { technique } = options;
	if (!(options.bytesPerMs > 0)) throw new RangeError(`bytesPerMs: must be above 0, got ${options.bytesPerMs}`);
	switch (technique) {
		case "save":
			return save(real, trace, options, pausedPlan({}));
		case "live-save":
			return save(real, trace, options, livePlan({}));
		case "improved-live-save":
			return save(real, trace, options, improvedPlan({}));
		case "stop-and-copy":
			return move(real, trace, options, { name: technique });
		default:
			return move(real, trace, options, { name: technique, options: {} });
	}
}

function guestOf(trace: DirtyTrace, { bytesPerPage }: ReplayOptions) {
	const wire = bytesPerPage === undefined ? {} : { wireBytesPerPage: bytesPerPage };
	return { pageCount: trace.pageCount, filled: true, ...wire };
}

async function move(
	real: Pick<Clock, "sleep">,
	trace: DirtyTrace,
	options: ReplayOptions,
	technique: LabTechnique,
): Promise<ReplayResult> {
	const { metrics, waitedMs } = await moveInLab({
		...{ real, seed: 1, technique, guest: guestOf(trace, options), workload: () => new TraceReplay(trace) },
		network: { rateBytesPerMs: options.bytesPerMs, latencyMs: options.latencyMs ?? 0 },
	});
	const { totalMs, downtimeMs, pagesTransferred: pages, rounds, networkFaults } = metrics;
	return { totalMs, downtimeMs, pages, rounds: rounds.length, networkFaults, waitedMs };
}

function save(
	real: Pick<Clock, "sleep">,
	trace: DirtyTrace,
	options: ReplayOptions,
	plan: SavePlan,
): Promise<ReplayResult> {
	const clock = new VirtualClock(real);
	return clock.run(async () => {
		const guest = new SyntheticGuest({ ...guestOf(trace, options), clock });
		guest.work(new TraceReplay(trace));
		const destination = diskDestination(new SimulatedDisk(clock, { rateBytesPerMs: options.bytesPerMs }));
		const { metrics } = await runSave(plan, { guest, clock, destination }, { deadlines: PATIENT });
		await guest.discard();
		const { totalMs, downtimeMs, pagesTransferred: pages, rounds } = metrics;
		return { totalMs, downtimeMs, pages, rounds: rounds.length, networkFaults: 0, waitedMs: 0 };
	});
}
