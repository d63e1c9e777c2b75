/**
 * Two hosts, a network and a lease, and the faults of a schedule let loose on them.
 */
import { ManualLease } from "../../handover/manual-lease.ts";
import type { MovePhase } from "../../handover/move-error.ts";
import { openLink } from "../../links/open-link.ts";
import type { StreamLink } from "../../links/stream-link.ts";
import type { TargetState } from "../../migration/target-states.ts";
import type { Clock } from "../../ports/clock.ts";
import type { Guest } from "../../ports/guest.ts";
import type { Store } from "../../ports/store.ts";
import type { SavePhase } from "../../snapshot/save-error.ts";
import { MemoryStore } from "../memory-store.ts";
import { SeededRandom } from "../seeded-random.ts";
import { connectSimulated, type SimulatedConnection } from "../simulated-stream.ts";
import { type EventClock, VirtualClock } from "../virtual-clock.ts";
import { Findings } from "./findings.ts";
import { Host, type HostName, LeaseKeeper } from "./host.ts";
import type { ConnectionFaults, Fault, FaultSchedule, Moment, PlannedFault } from "./schedule.ts";

/** Small buffers: a small guest must not disappear in them. */
const BUFFER_BYTES = 16_384;
const NOW = { when: { atMs: 0 } } as const;
const FOR_EVER = { ...NOW, durationMs: Number.POSITIVE_INFINITY } as const;
/** After so long on a connection all faults cease, in ms. */
const CEASE_MS = 3000;

/** Ports broken on purpose, to see whether the referee finds it. */
export interface Tampering {
	/** The guest at the source, and each copy that a target sets up. */
	readonly guest?: (guest: Guest, host: Host, hosts: TwoHosts) => void;
	/** Stands between a host's disk and its contents; `lose` is called when the host crashes. */
	readonly disk?: (contents: Store, clock: EventClock) => Store & { readonly lose: () => void };
	/** What a caller does who is not told who owns the guest. */
	readonly onUnconfirmed?: (guest: Guest) => Promise<void>;
	/** Changes what was drawn, so that what is broken shows more often. */
	readonly schedule?: (schedule: FaultSchedule) => FaultSchedule;
}

/** See the head of this file. */
export class TwoHosts {
	readonly clock: VirtualClock;
	readonly schedule: FaultSchedule;
	readonly random: SeededRandom;
	readonly findings: Findings;
	readonly keeper: LeaseKeeper | undefined;
	readonly lease: ManualLease = new ManualLease();
	readonly tampering: Tampering;
	/** What the disks hold, for whoever wants to look without waiting. */
	readonly contents: Readonly<Record<HostName, Store>>;
	#cancel = new AbortController();
	#source: Host;
	#target: Host;
	#connection: SimulatedConnection | undefined;
	/** Connections with an end at each host: a frozen host holds all of them. */
	readonly #connections: SimulatedConnection[] = [];
	/** Faults of the connection under way that wait for a phase or a state. */
	#armed: PlannedFault[] = [];
	/** What ends faults that last until all cease. */
	#lasting: (() => void)[] = [];
	#attempt = 0;
	readonly #onCrash: Partial<Record<HostName, () => void>> = {};

	/** @param look - called after each event. */
	constructor(real: Pick<Clock, "sleep">, schedule: FaultSchedule, tampering: Tampering, look: () => void) {
		this.schedule = schedule;
		this.tampering = tampering;
		this.clock = new VirtualClock(real, { afterEvent: look });
		this.random = new SeededRandom(schedule.seed);
		this.findings = new Findings(() => this.clock.now());
		this.keeper = schedule.leased ? new LeaseKeeper(this.lease, this.clock) : undefined;
		const store = (host: HostName): Store => {
			const contents = new MemoryStore();
			const broken = tampering.disk?.(contents, this.clock);
			if (broken !== undefined) this.#onCrash[host] = broken.lose;
			return broken ?? contents;
		};
		this.contents = { source: store("source"), target: store("target") };
		this.#source = new Host("source", this.clock, this.contents.source, 1000);
		this.#target = new Host("target", this.clock, this.contents.target, 7_000_000);
	}

	get source(): Host {
		return this.#source;
	}

	get target(): Host {
		return this.#target;
	}

	/** The signal of the caller at the source, for the attempt that was armed last. */
	get signal(): AbortSignal {
		return this.#cancel.signal;
	}

	/** Lets the next faults of the schedule loose; when there are none left, everything goes well from here on. */
	arm(): ConnectionFaults | undefined {
		const faults = this.schedule.faults[this.#attempt++];
		if (faults === undefined) this.ceaseFaults();
		this.findings.note(faults === undefined ? "no faults any more" : `faults of attempt ${this.#attempt}`);
		this.#cancel = new AbortController();
		this.#armed = [];
		for (const planned of faults?.planned ?? []) this.#plan(planned);
		// Nothing lasts: a host that hangs is noticed some time, a disk is emptied.
		this.clock.schedule(CEASE_MS, () => this.ceaseFaults());
		return faults;
	}

	/** What of the schedule has not been let loose never will be. */
	skipFaults(): void {
		this.#attempt = this.schedule.faults.length;
	}

	/** Opens the next connection: with the schedule's faults while it has some. @returns the source's end and the target's. */
	connect(): readonly [StreamLink, StreamLink] {
		const { rateBytesPerMs, latencyMs, faults } = this.schedule;
		const bytes = faults[this.#attempt]?.bytes ?? [];
		const connection = connectSimulated(this.clock, {
			rateBytesPerMs,
			latencyMs,
			bufferBytes: BUFFER_BYTES,
			faults: bytes,
		});
		this.#connection = connection;
		this.#connections.push(connection);
		for (const [end, host] of [
			["a", this.source],
			["b", this.#target],
		] as const)
			if (host.status !== "up") connection.inject({ kind: "freeze", end, ...FOR_EVER });
		this.arm();
		return [openLink(connection.a), openLink(connection.b)];
	}

	/** One side has entered a phase or a state. */
	entered(name: MovePhase | SavePhase | TargetState["name"] | "pages" | "done"): void {
		for (const planned of this.#armed.filter(({ when }) => isAt(when, name))) {
			this.#armed.splice(this.#armed.indexOf(planned), 1);
			const afterMs = "atMs" in planned.when ? 0 : planned.when.afterMs;
			// At once means in the same turn: between this step of the code and its next.
			if (afterMs === 0) this.#inject(planned.what);
			else this.#injectIn(afterMs, planned.what);
		}
	}

	/** Everything that stood still goes on; what crashed stays so. Nothing goes wrong any more. */
	ceaseFaults(): void {
		this.#armed = [];
		for (const end of this.#lasting.splice(0)) end();
	}

	/** A host starts where the target was, with its disk and nothing else. */
	restartTarget(): void {
		if (this.#target.status !== "crashed") return;
		this.#target = new Host("target", this.clock, this.contents.target, 50);
		this.findings.note("the target's host has started again");
	}

	/** The same for the source. */
	restartSource(): void {
		if (this.#source.status !== "crashed") return;
		this.#source = new Host("source", this.clock, this.contents.source, 20);
		this.findings.note("the source's host has started again");
	}

	/** Whether the target's host comes back after its crash. */
	get targetRestarts(): boolean {
		return this.schedule.faults.every(({ planned }) =>
			planned.every(({ what }) => what.kind !== "crash" || what.host !== "target" || what.restarts),
		);
	}

	#plan(planned: PlannedFault): void {
		if ("atMs" in planned.when) this.#injectIn(planned.when.atMs, planned.what);
		else this.#armed.push(planned);
	}

	#injectIn(durationMs: number, fault: Fault): void {
		const scheduled = this.clock.schedule(durationMs, () => this.#inject(fault));
		this.#lasting.push(() => scheduled.cancel());
	}

	#inject(fault: Fault): void {
		this.findings.note(`fault: ${JSON.stringify(fault)}`);
		switch (fault.kind) {
			case "cut":
				this.#connection?.inject({ kind: "cut", ...NOW });
				return;
			case "stall": {
				const durationMs = fault.durationMs ?? Number.POSITIVE_INFINITY;
				this.#connection?.inject({ kind: "stall", ...NOW, durationMs });
				return;
			}
			case "partition": {
				const durationMs = fault.durationMs ?? Number.POSITIVE_INFINITY;
				this.#connection?.inject({ kind: "partition", from: fault.from, ...NOW, durationMs });
				return;
			}
			case "lease-away":
				this.#takeLeaseAway(fault);
				return;
			case "cancel":
				if (this.source.status === "up") this.#cancel.abort();
				return;
			default:
				this.#harm(fault.host === "source" ? this.source : this.#target, fault);
		}
	}

	/** What happens to one host. */
	#harm(host: Host, fault: Extract<Fault, { host: HostName }>): void {
		switch (fault.kind) {
			case "freeze":
				this.#freeze(host, fault.durationMs);
				return;
			case "crash":
				this.#crash(host, fault.silent);
				return;
			case "disk":
				host.disk.fault = fault.fault;
				this.#until(fault.durationMs, () => {
					host.disk.fault = undefined;
				});
				return;
			case "clock-jump":
				if (host.status !== "crashed") host.clock.jump(fault.byMs);
		}
	}

	#takeLeaseAway({ how, durationMs }: Extract<Fault, { kind: "lease-away" }>): void {
		const { keeper } = this;
		if (keeper === undefined) return;
		keeper.silence = how;
		this.#until(durationMs, () => {
			keeper.silence = undefined;
		});
	}

	#freeze(host: Host, durationMs: number | null): void {
		if (host.status !== "up") return;
		host.freeze();
		const end = host === this.source ? "a" : "b";
		for (const connection of this.#connections) connection.inject({ kind: "freeze", end, ...FOR_EVER });
		this.#until(durationMs, () => {
			if (host.status !== "frozen") return;
			host.thaw();
			for (const connection of this.#connections) connection.thaw(end);
		});
	}

	#crash(host: Host, silent: boolean): void {
		if (host.status === "crashed") return;
		host.crash();
		this.#onCrash[host.name]?.();
		const end = host === this.source ? "a" : "b";
		for (const connection of this.#connections) {
			connection.inject({ kind: "freeze", end, ...FOR_EVER });
			if (!silent) connection.inject({ kind: "cut", ...NOW });
		}
	}

	/** Ends a fault after a time, and at the latest when all cease. */
	#until(durationMs: number | null, end: () => void): void {
		this.#lasting.push(end);
		if (durationMs !== null) this.clock.schedule(durationMs, end);
	}
}

function isAt(when: Moment, name: string): boolean {
	return ("phase" in when && when.phase === name) || ("state" in when && when.state === name);
}
