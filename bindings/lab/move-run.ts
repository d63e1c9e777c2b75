/** One move in the lab: a synthetic guest, a simulated network, the real technique, the real target. */
import { openLink } from "../links/open-link.ts";
import { type HybridOptions, hybrid } from "../migration/hybrid.ts";
import type { MoveMetrics } from "../migration/metrics.ts";
import type { MoveServices } from "../migration/move.ts";
import { type PostCopyOptions, postCopy } from "../migration/post-copy.ts";
import { type PreCopyOptions, preCopy } from "../migration/pre-copy.ts";
import type { PostCopyResult } from "../migration/results.ts";
import { stopAndCopy } from "../migration/stop-and-copy.ts";
import { receiveGuest } from "../migration/target.ts";
import type { Clock } from "../ports/clock.ts";
import type { GuestCpuOptions } from "./guest-cpu.ts";
import { SeededRandom } from "./seeded-random.ts";
import { type CpuReport, SimulatedCpu } from "./simulated-cpu.ts";
import { connectSimulated } from "./simulated-stream.ts";
import { SyntheticFactory } from "./synthetic-factory.ts";
import { SyntheticGuest, type SyntheticGuestOptions } from "./synthetic-guest.ts";
import { VirtualClock } from "./virtual-clock.ts";
import type { Workload } from "./workload.ts";

/** The path between the hosts. */
export interface LabNetwork {
	/** Bytes per ms: 117 000 is gigabit Ethernet after its overhead. */
	readonly rateBytesPerMs: number;
	/** One way. */
	readonly latencyMs: number;
	/** What the sockets hold at each end; a small one keeps the queue ahead of a fault short. */
	readonly bufferBytes?: number;
}

/** A CPU of each host, and what of it the guest and the move want. */
export interface LabCpu extends Omit<GuestCpuOptions, "cpu"> {
	readonly cores: number;
}

/** A technique and its options. */
export type LabTechnique =
	| { readonly name: "stop-and-copy" }
	| { readonly name: "pre-copy"; readonly options: PreCopyOptions }
	| { readonly name: "post-copy"; readonly options: PostCopyOptions }
	| { readonly name: "hybrid"; readonly options: HybridOptions };

/** What {@link moveInLab} takes. */
export interface LabMove {
	/** Drains promises between two events: a real clock's `sleep(0)`. */
	readonly real: Pick<Clock, "sleep">;
	readonly seed: number;
	readonly guest: Omit<SyntheticGuestOptions, "clock" | "cpu">;
	readonly workload: (random: SeededRandom) => Workload;
	readonly network: LabNetwork;
	/** Left out, the guest has all the CPU time it wants and the move takes none. */
	readonly cpu?: LabCpu;
	readonly technique: LabTechnique;
	/** Work before the move begins. */
	readonly warmUpMs?: number;
	/** Work after it has ended. */
	readonly coolDownMs?: number;
	/** Called at the start, to watch the guests. */
	readonly onGuest?: (guest: SyntheticGuest, side: "source" | "target") => void;
}

/** What became of it. */
export interface LabMoveResult {
	readonly result: PostCopyResult;
	readonly metrics: MoveMetrics;
	/** Useful CPU time of the guest, both sides together, in ms. */
	readonly workMs: number;
	/** Virtual time from the move's start until everything was over, cool-down included. */
	readonly elapsedMs: number;
	/** First touches of pages that had come in time, and the number of waits, as the target's guest counted them. */
	readonly minorFaults: number;
	readonly waits: number;
	readonly waitedMs: number;
	/** Where the CPUs' time has gone, warm-up included, if the hosts have any. */
	readonly cpus?: { readonly source: CpuReport; readonly target: CpuReport };
}

/** Runs a move in virtual time. The same seed gives the same figures. */
export function moveInLab(move: LabMove): Promise<LabMoveResult> {
	const clock = new VirtualClock(move.real);
	return clock.run(() => runMove(move, clock));
}

async function runMove(move: LabMove, clock: VirtualClock): Promise<LabMoveResult> {
	const random = new SeededRandom(move.seed);
	const workload = move.workload(random);
	const [sourceCpu, targetCpu] = [cpuOf(move, clock), cpuOf(move, clock)];
	const source = new SyntheticGuest({ ...move.guest, clock, ...sourceCpu });
	source.work(workload);
	move.onGuest?.(source, "source");
	let target: SyntheticGuest | undefined;
	const factory = new SyntheticFactory(clock, {
		workload,
		...targetCpu,
		...(move.guest.wireBytesPerPage === undefined ? {} : { wireBytesPerPage: move.guest.wireBytesPerPage }),
		onSetUp: (guest) => {
			target = guest;
			move.onGuest?.(guest, "target");
		},
	});
	if (move.warmUpMs !== undefined) await clock.sleep(move.warmUpMs);
	source.catchUp();
	const startedMs = clock.now();
	const startedCpuMs = source.cpuMs;
	const connection = connectSimulated(clock, move.network);
	const received = receiveGuest({ link: openLink(connection.b), factories: [factory], clock });
	const result = await runTechnique(move.technique, { guest: source, link: openLink(connection.a), clock, random });
	const reception = await received;
	if (reception.outcome === "running") await reception.paging?.ended;
	if (move.coolDownMs !== undefined) await clock.sleep(move.coolDownMs);
	target?.catchUp();
	const report = target?.missing.report();
	const workMs = source.cpuMs - startedCpuMs + (target?.cpuMs ?? 0);
	const elapsedMs = clock.now() - startedMs;
	const minorFaults = target?.missing.minorFaults ?? 0;
	await target?.discard();
	const cpus =
		sourceCpu === undefined || targetCpu === undefined
			? {}
			: { cpus: { source: sourceCpu.cpu.cpu.report(), target: targetCpu.cpu.cpu.report() } };
	return {
		...{ result, metrics: result.metrics, workMs, elapsedMs, minorFaults },
		...cpus,
		waits: report?.faults ?? 0,
		waitedMs: report?.blockedMs ?? 0,
	};
}

/** A host's CPU as an option of its guest. */
function cpuOf({ cpu }: LabMove, clock: VirtualClock): { readonly cpu: GuestCpuOptions } | undefined {
	return cpu === undefined ? undefined : { cpu: { ...cpu, cpu: new SimulatedCpu(clock, cpu.cores) } };
}

/** No move in the lab is too long: a paper's slowest takes minutes. */
const PATIENT = { stallMs: 3_600_000, stateMs: 3_600_000, verifyMs: 3_600_000 };

function runTechnique(technique: LabTechnique, services: MoveServices): Promise<PostCopyResult> {
	switch (technique.name) {
		case "stop-and-copy":
			return stopAndCopy(services, { deadlines: PATIENT });
		case "pre-copy":
			return preCopy(services, { deadlines: PATIENT, ...technique.options });
		case "post-copy":
			return postCopy(services, { deadlines: PATIENT, ...technique.options });
		case "hybrid":
			return hybrid(services, { deadlines: PATIENT, ...technique.options });
	}
}
