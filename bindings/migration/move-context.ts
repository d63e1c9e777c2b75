/**
 * What the phases of a move share: who takes part, what it has been told, and how far it is. One per move; move.ts makes
 * it and runs the phases over it.
 */
import { Conversation } from "../handover/conversation.ts";
import { MoveLedger, type SourceLedger } from "../handover/ledger.ts";
import type { MovePhase } from "../handover/move-error.ts";
import type { PauseHold } from "../handover/pause-turn.ts";
import { DEFAULT_DEADLINES, type Deadlines, Phases } from "../handover/phases.ts";
import { StallWatch } from "../handover/stall-watch.ts";
import type { ServingRoom } from "../paging/serving-room.ts";
import type { RoundFacts } from "../policies/convergence.ts";
import { fixedRate } from "../policies/pacing.ts";
import type { PageBatch } from "../ports/guest.ts";
import type { OrderCursor } from "../ports/ordered-guest.ts";
import { Iteration } from "../rounds/iteration.ts";
import type { PageSink } from "../rounds/page-sink.ts";
import { toHex } from "../wire/digest.ts";
import type { MoveMetrics, Verification } from "./metrics.ts";
import type { MoveOptions, MoveServices, Technique } from "./move-options.ts";
import { ProgressReport } from "./progress-report.ts";
import type { ServingSession } from "./serving.ts";
import { Stopwatch } from "./stopwatch.ts";

/** Versions held for deltas unless the caller says otherwise: 64 MiB, as QEMU's XBZRLE cache. */
const DELTA_CACHE_PAGES = 16_384;
const MOST_DELTA_CACHE_PAGES = 2 ** 18;

function checkDeltaCache(pages: number): number {
	if (!Number.isInteger(pages) || pages < 0 || pages > MOST_DELTA_CACHE_PAGES)
		throw new RangeError(`deltaCachePages: an integer from 0 to ${MOST_DELTA_CACHE_PAGES}, got ${pages}`);
	return pages;
}

/** See the head of this file. */
export class MoveContext {
	readonly technique: Technique;
	readonly services: MoveServices;
	readonly options: MoveOptions;
	readonly moveId: string;
	readonly verification: Verification;
	readonly deadlines: Deadlines;
	readonly ledger: SourceLedger;
	readonly conversation: Conversation;
	readonly phases: Phases;
	/** Over each batch on its way to the target. */
	readonly stalls: StallWatch;
	readonly watch: Stopwatch;
	readonly iteration: Iteration;
	readonly #progress: ProgressReport;
	/** What the guest uses, noted from the handshake on, if pages may be left. */
	order: OrderCursor | undefined;
	/** What serving them will work in. */
	servingRoom: ServingRoom | undefined;
	/** Serves the pages that are left, if there are any. */
	serving: ServingSession | undefined;
	/** From here on the target may run. */
	goSent = false;
	/** From here on the grant that the move was given may end at any moment. */
	leaseGivenUp = false;
	/** Kept while nobody knows who runs the guest, and while the target needs its pages. */
	hold: PauseHold | undefined;
	pendingPages = 0;
	roundsLeft = 0;

	/** @throws RangeError for options out of range */
	constructor(technique: Technique, services: MoveServices, options: MoveOptions) {
		const { guest, link, clock, random } = services;
		this.technique = technique;
		this.services = services;
		this.options = options;
		this.moveId = options.moveId ?? toHex(random.fill(new Uint8Array(16)));
		if (!/^[a-z0-9-]{1,64}$/.test(this.moveId))
			throw new RangeError(`moveId: 1 to 64 of a-z, 0-9 and -, got '${this.moveId}'`);
		this.verification = options.verification ?? (guest.dirty.tracker === "scan" ? "full" : "transport");
		this.deadlines = { ...DEFAULT_DEADLINES, ...options.deadlines };
		this.ledger = services.ledger ?? new MoveLedger("source");
		const pacing =
			options.bandwidthBytesPerMs === undefined ? technique.pacing : fixedRate(options.bandwidthBytesPerMs);
		this.watch = new Stopwatch(clock);
		this.stalls = new StallWatch(clock);
		this.conversation = new Conversation(link);
		this.phases = new Phases(clock, options.signal, this.conversation.failed, (phase) => this.report(phase));
		this.iteration = new Iteration(
			{ guest, clock, sink: this.#sink() },
			{
				pacing,
				compression: options.compression,
				deltaCachePages: checkDeltaCache(options.deltaCachePages ?? DELTA_CACHE_PAGES),
				onWindow: (pending) => {
					this.pendingPages = pending;
					this.report(this.phases.current);
				},
				onRound: (round) => this.#noteRound(round),
			},
		);
		this.#progress = new ProgressReport(this.moveId, this.iteration);
	}

	/** What has been measured so far. @param bytesOnWire - by default up to now */
	metrics(bytesOnWire: number = this.conversation.bytesSent): MoveMetrics {
		const { guest } = this.services;
		return this.watch.metrics(this.technique.name, this.verification, guest, this.iteration, bytesOnWire);
	}

	#sink(): PageSink {
		const { stallMs } = this.deadlines;
		return {
			accept: (batch: PageBatch, signal) => this.stalls.wait(this.conversation.sendBatch(batch), stallMs, signal),
			settle: async (signal) => {
				while (!(await this.stalls.wait(this.conversation.settle(), stallMs, signal)));
			},
			grow: (pageCount, signal) =>
				this.stalls.wait(this.conversation.send({ type: "layout", pageCount }), stallMs, signal),
		};
	}

	#noteRound(round: RoundFacts): void {
		this.pendingPages = round.dirtiedPages;
		this.roundsLeft = Math.max(0, this.roundsLeft - 1);
		this.report(this.phases.current);
	}

	/** Tells the caller how far the move is. */
	report(phase: MovePhase | "done"): void {
		const { onProgress } = this.options;
		if (onProgress === undefined) return;
		const served = phase === "paging" || phase === "done" ? this.serving?.facts : undefined;
		const elapsedMs = this.watch.since("live");
		const { pendingPages, roundsLeft } = this;
		const facts = { phase, pendingPages, roundsLeft, elapsedMs };
		onProgress(this.#progress.next(served === undefined ? facts : { ...facts, served }));
	}
}
