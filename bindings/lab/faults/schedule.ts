/**
 * A fault schedule: everything that a simulated run depends on, as plain data. It is drawn from a technique, a workload and a
 * seed, printed when the run breaks a promise, and read back to play it again.
 */
import { MOVE_PHASES, type MovePhase } from "../../handover/move-error.ts";
import type { TargetState } from "../../migration/target-states.ts";
import type { Random } from "../../ports/random.ts";
import { SAVE_PHASES, type SavePhase } from "../../snapshot/save-error.ts";
import { SeededRandom } from "../seeded-random.ts";
import { type ByteFault, drawFault, type StreamEnd } from "../stream-faults.ts";
import type { DiskFault, HostName, LeaseSilence } from "./host.ts";
import type { WorkloadName } from "./workloads.ts";

/** What hands a guest over. `pre-copy-switch` is pre-copy that goes on as post-copy. */
export const MOVE_TECHNIQUES = ["stop-and-copy", "pre-copy", "pre-copy-switch", "post-copy", "hybrid"] as const;
/** What keeps an image of a guest, or makes a guest of one. */
export const SAVE_TECHNIQUES = [
	"save",
	"live-save",
	"improved-live-save",
	"save-to",
	"history",
	"restore",
	"lazy-restore",
] as const;

/** See {@link MOVE_TECHNIQUES}. */
export type MoveTechniqueName = (typeof MOVE_TECHNIQUES)[number];
/** See {@link SAVE_TECHNIQUES}. */
export type SaveTechniqueName = (typeof SAVE_TECHNIQUES)[number];

/** When something happens: at a time, or so long after one side has entered a phase for the first time. */
export type Moment =
	| { readonly atMs: number }
	| { readonly phase: MovePhase | SavePhase | "pages"; readonly afterMs: number }
	| { readonly state: TargetState["name"]; readonly afterMs: number };

/** One thing that goes wrong. `durationMs` null: until the faults cease. */
export type Fault =
	/** The connection breaks for both. */
	| { readonly kind: "cut" }
	/** Nothing passes, either way; nobody is told. */
	| { readonly kind: "stall"; readonly durationMs: number | null }
	/** Nothing that `from` writes passes. */
	| { readonly kind: "partition"; readonly from: StreamEnd; readonly durationMs: number | null }
	/** A host stops, and goes on later. */
	| { readonly kind: "freeze"; readonly host: HostName; readonly durationMs: number | null }
	/** A host is gone with all that ran on it. Its peer is told by the connection's end, or by nothing. */
	| { readonly kind: "crash"; readonly host: HostName; readonly silent: boolean; readonly restarts: boolean }
	/** Writes to a host's disk fail, or never end. */
	| { readonly kind: "disk"; readonly host: HostName; readonly fault: DiskFault; readonly durationMs: number | null }
	/** A host's clock leaps ahead. */
	| { readonly kind: "clock-jump"; readonly host: HostName; readonly byMs: number }
	/** The lease's keeper cannot be asked; see {@link LeaseSilence}. */
	| { readonly kind: "lease-away"; readonly how: LeaseSilence; readonly durationMs: number | null }
	/** The caller at the source cancels. */
	| { readonly kind: "cancel" };

/** See {@link Fault}; faults of bytes have a place instead of a moment. */
export interface PlannedFault {
	readonly when: Moment;
	readonly what: Fault;
}

/** What goes wrong on one connection. */
export interface ConnectionFaults {
	readonly bytes: readonly ByteFault[];
	readonly planned: readonly PlannedFault[];
}

/** See the head of this file. */
export interface FaultSchedule {
	readonly technique: MoveTechniqueName | SaveTechniqueName;
	readonly workload: WorkloadName;
	/** Seeds what the guest does. */
	readonly seed: number;
	readonly rateBytesPerMs: number;
	readonly latencyMs: number;
	/** Ledgers survive the process. */
	readonly durable: boolean;
	readonly leased: boolean;
	readonly verification: "full" | "transport";
	/** Index into the push orders, and of the other choices a technique has. */
	readonly variant: number;
	/** On the first connection, then on each that recovers it. Afterwards nothing goes wrong any more. */
	readonly faults: readonly ConnectionFaults[];
}

/** Pages of the guests: several frames of a link's window, and little enough for thousands of runs. */
export const PAGES = 48;
/** A guest may grow to this. */
export const MAXIMUM_PAGES: number = PAGES + 8;
/** What a run takes on an undisturbed link, roughly, in ms; and the bytes it puts there. */
const RUN_MS = 120;
/** Bytes are few: a synthetic page is four. */
const RUN_BYTES = 6000;
const CLOCK_JUMPS_MS: readonly number[] = [5, 500, 20_000];
const TARGET_STATES: readonly TargetState["name"][] = [
	"setting-up",
	"receiving",
	"owing",
	"restoring",
	"verifying",
	"ready",
	"running",
];
/** `check` is over before anything is sent. */
const PHASES: readonly MovePhase[] = [...MOVE_PHASES.slice(1), "paging"];

/** Of a full restore; a lazy one has the first two. */
const RESTORE_PHASES = ["set-up", "pages", "state"] as const;
type Phase = MovePhase | SavePhase | (typeof RESTORE_PHASES)[number];

type FaultKind = Fault["kind"] | "bytes" | "disk-bytes";
const NETWORK: readonly FaultKind[] = ["bytes", "bytes", "cut", "stall", "partition"];
const HOSTS: readonly FaultKind[] = ["freeze", "crash", "disk", "clock-jump", "cancel"];
const KINDS: Readonly<Record<"move" | "leased" | "keeper" | "save" | "restore", readonly FaultKind[]>> = {
	move: [...NETWORK, ...HOSTS],
	leased: [...NETWORK, ...HOSTS, "lease-away"],
	keeper: [...NETWORK, ...HOSTS],
	save: [...HOSTS, "disk", "disk", "cancel"],
	restore: [...HOSTS, "disk", "disk-bytes", "cancel"],
};

/** Draws a schedule: the same words and seed, the same schedule. */
export function drawSchedule(
	technique: MoveTechniqueName | SaveTechniqueName,
	workload: WorkloadName,
	seed: number,
): FaultSchedule {
	const random = new SeededRandom(seed);
	const draw = new Draw(random);
	const isMove = (MOVE_TECHNIQUES as readonly string[]).includes(technique); // allowed (cast): widened to search in it
	const isRestore = technique === "restore" || technique === "lazy-restore";
	const phases: readonly Phase[] = isMove ? PHASES : isRestore ? RESTORE_PHASES : SAVE_PHASES;
	const leased = isMove && draw.below(3) === 0;
	// One in twelve runs without any fault: what must hold then as well.
	const count = draw.below(12) === 0 ? 0 : 1 + draw.below(2);
	const family = isMove
		? leased
			? "leased"
			: "move"
		: isRestore
			? "restore"
			: technique === "save-to"
				? "keeper"
				: "save";
	const menu: Menu = { phases, isMove, kinds: KINDS[family] };
	const first = draw.connection(count, menu);
	const more = Array.from({ length: draw.below(3) }, () => draw.connection(1, menu));
	return {
		...{ technique, workload, seed, leased },
		rateBytesPerMs: draw.of([2000, 4000, 8000]),
		latencyMs: draw.of([0, 0.5, 1, 3]),
		durable: draw.below(2) === 0,
		verification: draw.of(["full", "transport"] as const),
		variant: draw.below(4),
		faults: [first, ...more],
	};
}

/** What a technique can suffer. */
interface Menu {
	readonly phases: readonly Phase[];
	readonly isMove: boolean;
	readonly kinds: readonly FaultKind[];
}

class Draw {
	readonly #random: Random;

	constructor(random: Random) {
		this.#random = random;
	}

	below(limit: number): number {
		return Math.floor((this.#random.nextU32() / 2 ** 32) * limit);
	}

	of<T>(choices: readonly T[]): T {
		return choices[this.below(choices.length)]!;
	}

	connection(count: number, menu: Menu): ConnectionFaults {
		const bytes: ByteFault[] = [];
		const planned: PlannedFault[] = [];
		for (let i = 0; i < count; i++) {
			const kind = this.of(menu.kinds);
			if (kind === "bytes") bytes.push(this.#byteFault());
			else planned.push({ when: this.#moment(menu), what: this.#fault(kind, menu) });
		}
		return { bytes, planned };
	}

	#byteFault(): ByteFault {
		const kinds = ["flip", "truncate", "drop", "duplicate", "reorder"] as const;
		const fault = drawFault(this.#random, { durationMs: RUN_MS, byteLength: RUN_BYTES, kinds });
		if (!("offset" in fault)) throw new TypeError(`fault: '${fault.kind}' is none of bytes`);
		// Runs of up to 4096 bytes would swallow half of so small a move.
		return "byteLength" in fault ? { ...fault, byteLength: 1 + (fault.byteLength & 0xff) } : fault;
	}

	#moment({ phases, isMove }: Menu): Moment {
		const afterMs = this.of([0, 0, 0.3, 2, 10]);
		const way = this.below(isMove ? 3 : 2);
		if (way === 0) return { atMs: Math.round(this.below(RUN_MS * 100)) / 100 };
		return way === 1 ? { phase: this.of(phases), afterMs } : { state: this.of(TARGET_STATES), afterMs };
	}

	#fault(kind: Exclude<FaultKind, "bytes">, { kinds }: Menu): Fault {
		const durationMs = this.of([null, 1, 30, 300]);
		// Without a network there is one host.
		const host = kinds.includes("cut") ? this.of(["source", "target"] as const) : "source";
		switch (kind) {
			case "cut":
			case "cancel":
				return { kind };
			case "stall":
				return { kind, durationMs };
			case "lease-away":
				return { kind, durationMs, how: this.of(["refuses", "unheard", "unanswered", "late"] as const) };
			case "partition":
				return { kind, durationMs, from: this.of(["a", "b"] as const) };
			case "freeze":
				return { kind, durationMs, host };
			case "crash":
				return { kind, host, silent: this.below(2) === 0, restarts: this.below(3) > 0 };
			case "disk":
				return { kind, durationMs, host, fault: this.of(["full", "failed", "stall"] as const) };
			case "disk-bytes":
				return { kind: "disk", durationMs, host, fault: "corrupt" };
			case "clock-jump":
				return { kind, host, byMs: this.of(CLOCK_JUMPS_MS) };
		}
	}
}
