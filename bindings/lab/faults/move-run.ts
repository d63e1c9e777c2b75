/**
 * A move under a fault schedule, from its start until somebody owns the guest: what a careful caller would do, step by step.
 *
 *   move ─▶ moved | kept ────────────────────────────────────────────────▶ one runner
 *        ─▶ unconfirmed ─▶ ask over the next connection, again and again ─▶ moved | kept
 *        ─▶ interrupted ─▶ recover over the next connection … ───────────▶ moved | corrupt
 *        the target's copy is gone ─▶ the caller says so: abandon, or decide `kept` ─▶ one runner, as it was at its pause
 *        the source is gone        ─▶ the target runs what it has, or nothing of the guest is left
 */
import { MoveLedger, type SourceWord, type TargetWord } from "../../handover/ledger.ts";
import { hybrid } from "../../migration/hybrid.ts";
import type { MoveServices } from "../../migration/move-options.ts";
import type { ReceivedPages } from "../../migration/paging-reception.ts";
import { postCopy } from "../../migration/post-copy.ts";
import { preCopy } from "../../migration/pre-copy.ts";
import { decideMove, resolveMove } from "../../migration/resolve.ts";
import type { OwedPages, PostCopyResult } from "../../migration/results.ts";
import { stopAndCopy } from "../../migration/stop-and-copy.ts";
import { type ReceiveResult, receiveGuest } from "../../migration/target.ts";
import { downtimeConvergence, firstOf } from "../../policies/convergence.ts";
import { activePush, demandPaging, type PushOrder, prepaging } from "../../policies/push-order.ts";
import type { Clock } from "../../ports/clock.ts";
import type { LeaseGrant } from "../../ports/lease.ts";
import { SyntheticFactory } from "../synthetic-factory.ts";
import { SyntheticGuest } from "../synthetic-guest.ts";
import type { Workload } from "../workload.ts";
import type { FaultRun } from "./findings.ts";
import { type Host, ORPHAN_MS } from "./host.ts";
import { Referee } from "./referee.ts";
import { type FaultSchedule, MAXIMUM_PAGES, type MoveTechniqueName, PAGES } from "./schedule.ts";
import { type Tampering, TwoHosts } from "./two-hosts.ts";
import { faultWorkload } from "./workloads.ts";

const MOVE_ID = "m1";
/** Short, so that a run is a few hundred ms of virtual time: no promise may depend on a deadline's length. */
const DEADLINES = {
	...{ handshakeMs: 400, setUpMs: 400, pauseMs: 400, stateMs: 400 },
	...{ verifyMs: 400, releaseMs: 400, confirmMs: 400, stallMs: 300 },
};
const RECEIVE = { idleMs: 600, readyMs: 500, stallMs: 300 };
const ANSWER_MS = 400;
/** Pages that are zero at the start. */
const ZERO_PAGES = 6;
/** A caller stops asking after so many connections; the last ones have no faults. */
const MAX_TRIES = 8;
/** A cap below the link's rate: buffers would swallow so small a guest at once, and no second round would have anything to send. */
const CAP_BYTES_PER_MS = 4000;
const ORDERS: readonly PushOrder[] = [
	activePush(),
	prepaging(),
	prepaging({ pivots: 2, order: "turns" }),
	demandPaging(30),
];

/** See the head of this file. Never rejects for what the schedule does. */
export async function runMoveSchedule(
	real: Pick<Clock, "sleep">,
	schedule: FaultSchedule,
	tampering: Tampering = {},
): Promise<FaultRun> {
	return new MoveRun(real, schedule, tampering).run();
}

class MoveRun {
	readonly #hosts: TwoHosts;
	readonly #referee: Referee;
	readonly #workload: Workload;
	readonly #guest: SyntheticGuest;
	readonly #path: string[] = [];
	readonly #sourceLedger: MoveLedger<SourceWord>;
	#targetLedger: MoveLedger<TargetWord>;
	#receptions = new Map<string, ReceivedPages>();
	readonly #received: { readonly host: Host; readonly result: Promise<ReceiveResult> }[] = [];
	#rounds = 0;
	#last = "";
	/** Whether a host with the target's copy has crashed: whatever comes after it, that copy is gone. */
	#targetWasLost = false;

	constructor(real: Pick<Clock, "sleep">, schedule: FaultSchedule, tampering: Tampering) {
		const hosts = new TwoHosts(real, schedule, tampering, () => this.#referee.look());
		this.#hosts = hosts;
		const versions = new Uint32Array(PAGES).fill(1, 0, PAGES - ZERO_PAGES);
		this.#referee = new Referee(hosts.findings, hosts.keeper, versions);
		this.#workload = faultWorkload(schedule.workload, PAGES, hosts.random);
		this.#guest = new SyntheticGuest({
			...{ clock: hosts.source.clock, pageCount: PAGES, maximumPageCount: MAXIMUM_PAGES },
			pinned: Uint8Array.from({ length: Math.ceil(MAXIMUM_PAGES / 8) }, (_, i) => (i === 1 ? 0b1001 : 0)),
		});
		this.#guest.versions.set(versions);
		this.#guest.work(this.#workload);
		this.#watch(this.#guest, hosts.source);
		if (schedule.workload === "growing") this.#growLater();
		this.#sourceLedger = new MoveLedger("source", hosts.schedule.durable ? hosts.source.disk : undefined);
		this.#targetLedger = new MoveLedger("target", hosts.schedule.durable ? hosts.target.disk : undefined);
	}

	async run(): Promise<FaultRun> {
		const { findings, clock } = this.#hosts;
		try {
			await clock.run(() => this.#main());
		} catch (error) {
			findings.failed(error);
		}
		const { violations, trace } = findings;
		return { path: this.#path.join(" "), violations, trace, rounds: this.#rounds };
	}

	async #main(): Promise<void> {
		const { source, clock } = this.#hosts;
		const grant = await this.#hosts.keeper?.for(source).acquire();
		await clock.sleep(1);
		const result = await Promise.race([this.#move(grant), source.crashed]);
		if (result === "crashed") await this.#withoutSource();
		else {
			this.#rounds = result.metrics.rounds.length;
			await this.#settle(result);
		}
		this.#hosts.ceaseFaults();
		await clock.sleep(800); // whatever still waits for a deadline has passed it
		this.#referee.look();
		this.#judgeEnd();
	}

	/** Exactly one copy runs, with all its memory, unless the only whole copies were on hosts that crashed. */
	#judgeEnd(): void {
		const { findings, source } = this.#hosts;
		const { runners } = this.#referee;
		const lost = this.#path.includes("gone");
		if (runners.length === 1) this.#referee.compareWhole(runners[0]!);
		else if (runners.length === 0 && !lost)
			findings.violation(
				`nobody runs the guest after '${this.#path.join(" ")}', and the source's host is ${source.status}`,
			);
	}

	#move(grant: LeaseGrant | undefined): Promise<PostCopyResult> {
		const { source, random, keeper, schedule, findings } = this.#hosts;
		const guest = this.#guest;
		const [link, far] = this.#hosts.connect();
		this.#listen(far);
		const lease = keeper?.for(source);
		const services: MoveServices = {
			...{ guest, link, random, clock: source.clock, ledger: this.#sourceLedger },
			...(lease === undefined || grant === undefined ? {} : { lease: { lease, grant } }),
		};
		const options = {
			...{ moveId: MOVE_ID, signal: this.#hosts.signal, verification: schedule.verification, deadlines: DEADLINES },
			onProgress: ({ phase, fraction }: { phase: Parameters<TwoHosts["entered"]>[0]; fraction: number }) => {
				findings.progress(fraction);
				this.#enter(phase, "source in");
			},
		};
		return start(schedule.technique as MoveTechniqueName, services, options, schedule.variant); // allowed (cast): a schedule of moves
	}

	#enter(phase: Parameters<TwoHosts["entered"]>[0], whose: string): void {
		const line = `${whose} ${phase}`;
		if (line === this.#last) return;
		this.#last = line;
		this.#hosts.findings.note(line);
		this.#hosts.entered(phase);
	}

	/** Serves a connection at the target, unless its host is gone. */
	#listen(link: Parameters<typeof receiveGuest>[0]["link"]): void {
		const { target: host, keeper } = this.#hosts;
		if (host.status === "crashed") return;
		const factory = new SyntheticFactory(host.clock, {
			...{ maximumPageCount: MAXIMUM_PAGES, workload: this.#workload },
			onSetUp: (guest) => this.#watch(guest, host),
		});
		const lease = keeper?.for(host);
		const result = receiveGuest(
			{
				...{ link, factories: [factory], clock: host.clock, ledger: this.#targetLedger },
				receptions: this.#receptions,
				...(lease === undefined ? {} : { lease }),
			},
			{ ...RECEIVE, onState: (name) => this.#enter(name, "target is") },
		);
		this.#received.push({ host, result });
	}

	/** Until somebody owns the guest. */
	async #settle(first: PostCopyResult): Promise<void> {
		let result = first;
		for (let tries = 0; ; tries++) {
			this.#path.push(result.outcome);
			this.#hosts.findings.note(
				`result: ${result.outcome}${"error" in result ? ` (${result.error.code}: ${result.error.message})` : ""}`,
			);
			if (result.outcome === "kept") return this.#kept();
			if (result.outcome === "moved") return this.#moved();
			if (result.outcome === "lost") return this.#goBack();
			if (result.outcome !== "unconfirmed" && result.outcome !== "interrupted") {
				this.#hosts.findings.violation(`${result.outcome} after paging: ${result.error.message}`);
				return;
			}
			if (result.outcome === "unconfirmed") await this.#hosts.tampering.onUnconfirmed?.(this.#guest);
			const next = await Promise.race([this.#next(result, tries), this.#hosts.source.crashed]);
			if (next === "crashed") return this.#withoutSource();
			if (next === "settled") return;
			result = next;
		}
	}

	/** One more try to learn or to finish. */
	async #next(
		result: Extract<PostCopyResult, { outcome: "unconfirmed" | "interrupted" }>,
		tries: number,
	): Promise<PostCopyResult | "settled"> {
		const { clock, target, targetRestarts } = this.#hosts;
		if (this.#hosts.random.nextU32() % 2 === 0) await clock.sleep(this.#hosts.random.nextU32() % 100);
		if (result.error.code === "lease") await clock.sleep(ORPHAN_MS); // somebody may hold it and not know
		if (target.status === "crashed" && targetRestarts) this.#restartTarget();
		if (target.status === "crashed" || (this.#targetWasLost && tries > 2)) return this.#decide(result.paging);
		if (tries >= MAX_TRIES) {
			this.#hosts.findings.violation(`still ${result.outcome} after ${tries} connections, the last without faults`);
			return "settled";
		}
		const [link, far] = this.#hosts.connect();
		this.#listen(far);
		this.#hosts.findings.restartProgress();
		if (result.paging !== undefined) return result.paging.recover(link);
		return this.#ask(link, result);
	}

	async #ask(
		link: Parameters<typeof resolveMove>[1],
		result: Extract<PostCopyResult, { outcome: "unconfirmed" | "interrupted" }>,
	): Promise<PostCopyResult | "settled"> {
		const resolution = await resolveMove(this.#resolving(), link, MOVE_ID, ANSWER_MS);
		if (resolution.outcome === "unconfirmed") return { ...result, outcome: "unconfirmed", error: resolution.error };
		this.#path.push(resolution.outcome);
		this.#hosts.findings.note(`asked: ${resolution.outcome}`);
		await (resolution.outcome === "moved" ? this.#moved() : this.#kept());
		return "settled";
	}

	#resolving() {
		const { source, keeper } = this.#hosts;
		const guest = this.#guest;
		const lease = keeper?.for(source);
		const services = { guest, clock: source.clock, ledger: this.#sourceLedger };
		return lease === undefined ? services : { ...services, lease };
	}

	/** The target's copy is gone for good, and the caller knows. */
	async #decide(paging: OwedPages | undefined): Promise<PostCopyResult | "settled"> {
		this.#hosts.ceaseFaults();
		this.#hosts.lease.revoke();
		this.#hosts.findings.note("the caller decides: the target is gone");
		if (paging !== undefined) return paging.abandon();
		this.#referee.allowRollback();
		const { outcome } = await decideMove(this.#resolving(), MOVE_ID, "kept");
		this.#path.push(`decided ${outcome}`);
		if (outcome !== "kept") this.#hosts.findings.violation(`the caller decided 'kept', the outcome is ${outcome}`);
		return "settled";
	}

	/** The copy at the source runs on, unless its lease was away. */
	async #kept(): Promise<void> {
		const { source, keeper } = this.#hosts;
		const guest = this.#guest;
		if (guest.running || source.status === "crashed") return this.#noteSourceGone();
		this.#hosts.ceaseFaults();
		this.#hosts.findings.note("the caller lets the guest run on, which the move could not");
		this.#hosts.lease.revoke(); // it was given up or not, nobody else has it: the target has not run
		await keeper?.for(source).acquire();
		await guest.resume();
	}

	async #goBack(): Promise<void> {
		const { source, keeper } = this.#hosts;
		if (source.status === "crashed") return this.#noteSourceGone();
		this.#referee.allowRollback();
		this.#hosts.lease.revoke();
		await keeper?.for(source).acquire();
		await this.#guest.resume();
	}

	/** The target has the guest: it runs there unless that host has crashed since. */
	async #moved(): Promise<void> {
		if (this.#hosts.target.status === "crashed" || this.#received.some(({ host }) => host.status === "crashed"))
			this.#path.push("gone");
	}

	#noteSourceGone(): void {
		if (this.#hosts.source.status === "crashed") this.#path.push("gone");
	}

	/** The source's host is gone: what the target has is all there is. */
	async #withoutSource(): Promise<void> {
		this.#path.push("source crashed");
		const { clock, findings } = this.#hosts;
		this.#hosts.ceaseFaults();
		await clock.sleep(2000);
		for (const { host, result } of this.#received) {
			const reception = await Promise.race([result, host.crashed]);
			if (reception === "crashed" || reception.outcome !== "running") continue;
			const end = await Promise.race([reception.paging?.ended, host.crashed]);
			if (end === undefined || end === "crashed" || end.outcome === "complete") continue;
			if (this.#hosts.random.nextU32() % 2 === 0) {
				findings.note("the caller gives the source's pages up, and the guest");
				await reception.paging!.abandon("discard");
				this.#path.push("gone");
			} else {
				findings.note("the caller gives the source's pages up");
				this.#referee.allowLostPages();
				await reception.paging!.abandon("zeros");
			}
		}
		if (this.#referee.runners.length === 0) this.#path.push("gone");
	}

	/** Lets the referee, and what is broken on purpose, see a copy. */
	#watch(guest: SyntheticGuest, host: Host): void {
		// What is broken on purpose lies below the referee: it sees what a broken port does.
		this.#hosts.tampering.guest?.(guest, host, this.#hosts);
		this.#referee.watch(guest, host);
	}

	#growLater(): void {
		const { clock, schedule, source } = this.#hosts;
		clock.schedule(10 + (schedule.seed % 40), () => {
			if (this.#guest.running && source.status === "up") this.#referee.grow(this.#guest, PAGES + 5);
		});
	}

	#restartTarget(): void {
		this.#targetWasLost = true;
		this.#hosts.restartTarget();
		this.#receptions = new Map();
		this.#targetLedger = new MoveLedger("target", this.#hosts.schedule.durable ? this.#hosts.target.disk : undefined);
	}
}

function start(
	technique: MoveTechniqueName,
	services: MoveServices,
	options: object,
	variant: number,
): Promise<PostCopyResult> {
	const push = ORDERS[variant % ORDERS.length]!;
	// Xen's own end of few pages is all of so small a guest: it would never run a second round.
	const rounds = {
		bandwidthBytesPerMs: CAP_BYTES_PER_MS,
		convergence: firstOf(downtimeConvergence(2), ({ rounds: done }) => (done.length >= 5 ? "iterations" : undefined)),
	};
	switch (technique) {
		case "stop-and-copy":
			return stopAndCopy(services, options);
		case "pre-copy":
			return preCopy(services, { ...options, ...rounds, whenNotConverging: "switch-over" });
		case "pre-copy-switch":
			return preCopy(services, {
				...{ ...options, ...rounds, push, whenNotConverging: "post-copy" as const },
				convergence: ({ rounds: done }) => (done.length >= 2 ? "iterations" : undefined),
			});
		case "post-copy":
			return postCopy(services, { ...options, push, leaveOutZeroPages: variant >= 2 });
		case "hybrid":
			return hybrid(services, { ...options, bandwidthBytesPerMs: CAP_BYTES_PER_MS, push });
	}
}
