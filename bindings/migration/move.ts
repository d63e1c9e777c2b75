/**
 * The source side of a move: everything that stop-and-copy and pre-copy have in common. A technique only says how the
 * pages travel before the handover.
 *
 *   handshake ─▶ set-up ─▶ (technique: live ─▶ pause ─▶ final round) ─▶ state ─▶ verify ─▶ release ─▶ go ─▶ confirm
 *
 * Guarantee: up to `release` any failure, deadline or cancellation leaves the guest running here (`kept`). Once *go* may
 * have left, this side never resumes on its own: it learns that the target runs (`moved`), or it does not know
 * (`unconfirmed`) and {@link resolveMove} settles it. See docs/protocol.md for the other side.
 */
import { Conversation } from "../handover/conversation.ts";
import { MoveLedger, type SourceLedger } from "../handover/ledger.ts";
import { MoveError, type MovePhase } from "../handover/move-error.ts";
import { DEFAULT_DEADLINES, type Deadlines, Phases, toMoveError, withDeadline } from "../handover/phases.ts";
import { type CompressionPolicy, compressOnSlowLinks } from "../policies/compression.ts";
import {
	type ConvergenceFacts,
	expectedDowntimeMs,
	type RoundFacts,
	type StopReason,
} from "../policies/convergence.ts";
import { fixedRate, type PacingPolicy } from "../policies/pacing.ts";
import { ProgressEstimator } from "../policies/progress.ts";
import type { Clock } from "../ports/clock.ts";
import type { Guest, GuestLayout, PageBatch } from "../ports/guest.ts";
import type { Lease, LeaseGrant } from "../ports/lease.ts";
import type { Link } from "../ports/link.ts";
import type { Random } from "../ports/random.ts";
import { Iteration } from "../rounds/iteration.ts";
import type { PageSink } from "../rounds/page-sink.ts";
import { toHex } from "../wire/digest.ts";
import { DEFAULT_WINDOW_BYTES, MAX_CHUNK_BYTES } from "../wire/limits.ts";
import { PROTOCOL_VERSIONS } from "../wire/link-records.ts";
import type { MoveMetrics, MoveProgress, TechniqueName, Verification } from "./metrics.ts";
import { Stopwatch } from "./stopwatch.ts";

/** What a move works with. */
export interface MoveServices {
	readonly guest: Guest;
	/** An open link to a target that runs {@link receiveGuest}. The move owns it from here on and closes it. */
	readonly link: Link;
	readonly clock: Clock;
	readonly random: Random;
	/** Where this side records its moves; in memory if left out. */
	readonly ledger?: SourceLedger;
	/** The right to run, if one governs this guest: given up before *go*. */
	readonly lease?: { readonly lease: Lease; readonly grant: LeaseGrant };
}

/** What every technique takes. */
export interface MoveOptions {
	/** Identifies the move on both sides, for {@link resolveMove}: 1–64 characters of `a-z 0-9 -`. Random if left out. */
	readonly moveId?: string;
	/** Cancels at every phase up to `release`; the guest then runs on here. */
	readonly signal?: AbortSignal;
	readonly verification?: Verification;
	/** A cap in bytes per ms (117 MB/s = 117_000). The final round, when the guest is paused, is not held back. */
	readonly bandwidthBytesPerMs?: number;
	/** Limits the live part of the move: afterwards `cancel` it, or `switch-over` at the end of the round under way. */
	readonly totalTime?: { readonly limitMs: number; readonly onLimit: "cancel" | "switch-over" };
	readonly deadlines?: Partial<Deadlines>;
	readonly compression?: CompressionPolicy;
	readonly onProgress?: (progress: MoveProgress) => void;
}

/** How a move ended, and so whom the guest belongs to. */
export type MoveResult =
	/** The target runs the guest; this copy is discarded. */
	| { readonly outcome: "moved"; readonly moveId: string; readonly metrics: MoveMetrics }
	/** The guest is here, and runs unless the error says that it cannot. */
	| { readonly outcome: "kept"; readonly moveId: string; readonly error: MoveError; readonly metrics: MoveMetrics }
	/** *go* may have arrived: the guest is paused here until {@link resolveMove} or the caller decides. */
	| {
			readonly outcome: "unconfirmed";
			readonly moveId: string;
			readonly error: MoveError;
			readonly metrics: MoveMetrics;
	  };

/** What a technique adds to a move. */
export interface Technique {
	readonly name: TechniqueName;
	/** Rate policy of the live rounds; a bandwidth cap in the options goes before it. */
	readonly pacing?: PacingPolicy;
	/** Moves the pages; on return the guest is paused and everything is sent. @returns why the live rounds ended. */
	transfer(step: TransferSteps): Promise<StopReason | undefined>;
}

/** What a technique's transfer is made of. */
export interface TransferSteps {
	readonly iteration: Iteration;
	/** Live rounds left, for the progress estimate. */
	roundsLeft: number;
	/** Runs live rounds as the phase `live`, within the total-time limit. */
	live(work: (signal: AbortSignal, timeIsUp: () => boolean) => Promise<StopReason>): Promise<StopReason>;
	/** Pauses the guest and runs the final round. */
	pauseAndFinish(): Promise<void>;
}

/** Guests with a move under way: one at a time. */
const moving = new WeakSet<Guest>();

/**
 * Runs a move with a technique. Not called by users: see {@link preCopy} and {@link stopAndCopy}.
 * @throws TypeError when another move of this guest is under way; RangeError for options out of range.
 */
export async function move(technique: Technique, services: MoveServices, options: MoveOptions): Promise<MoveResult> {
	if (moving.has(services.guest)) throw new TypeError("guest: another move of this guest is under way");
	const session = new MoveSession(technique, services, options);
	moving.add(services.guest);
	try {
		return await session.run();
	} finally {
		moving.delete(services.guest);
	}
}

class MoveSession {
	readonly #technique: Technique;
	readonly #services: MoveServices;
	readonly #options: MoveOptions;
	readonly #moveId: string;
	readonly #verification: Verification;
	readonly #deadlines: Deadlines;
	readonly #ledger: SourceLedger;
	readonly #conversation: Conversation;
	readonly #phases: Phases;
	readonly #watch: Stopwatch;
	readonly #iteration: Iteration;
	readonly #progress = new ProgressEstimator();
	#state: Uint8Array<ArrayBuffer> = new Uint8Array(0);
	#pending = 0;
	#roundsLeft = 0;
	#goSent = false;

	constructor(technique: Technique, services: MoveServices, options: MoveOptions) {
		const { guest, link, clock, random } = services;
		this.#technique = technique;
		this.#services = services;
		this.#options = options;
		this.#moveId = options.moveId ?? toHex(random.fill(new Uint8Array(16)));
		if (!/^[a-z0-9-]{1,64}$/.test(this.#moveId))
			throw new RangeError(`moveId: 1 to 64 of a-z, 0-9 and -, got '${this.#moveId}'`);
		this.#verification = options.verification ?? (guest.dirty.tracker === "scan" ? "full" : "transport");
		this.#deadlines = { ...DEFAULT_DEADLINES, ...options.deadlines };
		this.#ledger = services.ledger ?? new MoveLedger("source");
		const pacing =
			options.bandwidthBytesPerMs === undefined ? technique.pacing : fixedRate(options.bandwidthBytesPerMs);
		this.#watch = new Stopwatch(clock);
		this.#conversation = new Conversation(link);
		this.#phases = new Phases(clock, options.signal, this.#conversation.failed, (phase) => this.#report(phase));
		this.#iteration = new Iteration(
			{ guest, clock, sink: this.#sink() },
			{
				pacing,
				compression: options.compression ?? compressOnSlowLinks,
				onWindow: (pending) => {
					this.#pending = pending;
					this.#report(this.#phases.current);
				},
				onRound: (round) => this.#noteRound(round),
			},
		);
	}

	async run(): Promise<MoveResult> {
		const { guest } = this.#services;
		guest.takeInterruptions(); // what came before does not count
		this.#watch.mark("started");
		try {
			await this.#begin();
			this.#watch.stopReason = await this.#technique.transfer(this.#transferSteps());
			await this.#sendState();
			await this.#commit();
		} catch (error) {
			return await this.#fail(toMoveError(error, this.#phases.current, this.#options.signal));
		}
		await this.#ledger.step(this.#moveId, "released", "moved").catch(() => false); // `released` already says: never resume
		const metrics = await this.#letGo();
		this.#report("done");
		return { outcome: "moved", moveId: this.#moveId, metrics };
	}

	/** Handshake, missing code, the target's set-up, and the ledger's first word. */
	async #begin(): Promise<void> {
		const { guest } = this.#services;
		const layout = guest.state.layout();
		const welcome = await this.#phases.run("handshake", this.#deadlines.handshakeMs, async (signal) => {
			if (!(await this.#ledger.step(this.#moveId, undefined, "moving")))
				throw new MoveError("store", `the move id '${this.#moveId}' has been used before`);
			await this.#conversation.send({
				type: "hello",
				protocol: PROTOCOL_VERSIONS,
				windowBytes: DEFAULT_WINDOW_BYTES,
				intent: "move",
				moveId: this.#moveId,
				technique: this.#technique.name,
				verification: this.#verification,
				layout,
			});
			return this.#conversation.expect("welcome", signal);
		});
		this.#watch.setupMs = await this.#phases.run("set-up", this.#deadlines.setUpMs, async (signal) => {
			for (const hash of welcome.missing) await this.#sendResource(layout, hash);
			return (await this.#conversation.expect("prepared", signal)).setupMs;
		});
		this.#pending = guest.pages.pageCount;
		this.#watch.mark("prepared");
	}

	async #sendResource(layout: GuestLayout, hash: string): Promise<void> {
		const known = layout.resources.some((resource) => resource.hash === hash);
		const bytes = known ? await this.#services.guest.state.resource(hash) : undefined;
		if (bytes === undefined)
			throw new MoveError("protocol", `the target asks for a resource that this guest does not have: ${hash}`);
		for (const [offset, chunk] of chunks(bytes, MAX_CHUNK_BYTES))
			await this.#conversation.send({ type: "resource", hash, offset, total: bytes.byteLength, bytes: chunk });
	}

	#transferSteps(): TransferSteps {
		const session = this;
		return {
			iteration: this.#iteration,
			get roundsLeft() {
				return session.#roundsLeft;
			},
			set roundsLeft(rounds) {
				session.#roundsLeft = rounds;
			},
			live: (work) => this.#live(work),
			pauseAndFinish: () => this.#pauseAndFinish(),
		};
	}

	async #live(work: (signal: AbortSignal, timeIsUp: () => boolean) => Promise<StopReason>): Promise<StopReason> {
		const { totalTime } = this.#options;
		const cancelAfterMs = totalTime?.onLimit === "cancel" ? totalTime.limitMs : undefined;
		try {
			return await this.#phases.run("live", cancelAfterMs, async (signal) => {
				const openedMs = this.#services.clock.now();
				await this.#iteration.open();
				this.#watch.setupMs += this.#services.clock.now() - openedMs;
				this.#watch.mark("live");
				return work(
					signal,
					() => totalTime?.onLimit === "switch-over" && this.#watch.since("live") >= totalTime.limitMs,
				);
			});
		} catch (error) {
			if (
				error instanceof MoveError &&
				error.code === "deadline" &&
				error.phase === "live" &&
				cancelAfterMs !== undefined
			)
				throw new MoveError("total-time", `the move was not done within its limit of ${cancelAfterMs} ms`, {
					phase: "live",
					cause: error,
				});
			throw error;
		}
	}

	async #pauseAndFinish(): Promise<void> {
		const { guest } = this.#services;
		if (this.#watch.since("live") === 0) this.#watch.mark("live");
		await this.#phases.run("pause", undefined, (signal) =>
			guest.pause({ deadlineMs: this.#deadlines.pauseMs, signal }),
		);
		this.#watch.mark("paused");
		await this.#phases.run("final-round", undefined, (signal) => this.#iteration.final(signal));
		this.#watch.mark("rounds-done");
	}

	async #sendState(): Promise<void> {
		const { guest } = this.#services;
		await this.#phases.run("state", this.#deadlines.stateMs, async (signal) => {
			this.#state = await guest.state.capture();
			// At least one record, so that the target can tell an empty state from a missing one.
			for (const [offset, bytes] of chunks(this.#state, MAX_CHUNK_BYTES))
				await this.#conversation.send({ type: "state", offset, total: this.#state.byteLength, bytes });
			if (this.#verification === "full") await this.#verifySource(signal);
			const digest = this.#iteration.hashes.digest(this.#state);
			const { pageCount } = this.#iteration.hashes;
			await this.#conversation.send({ type: "digest", digest, pageCount, stateByteLength: this.#state.byteLength });
		});
		this.#watch.mark("state-sent");
	}

	/** Hashes the paused memory again: a page that changed behind the tracker's back is found here, before *go*. */
	async #verifySource(signal: AbortSignal): Promise<void> {
		const { pages } = this.#services.guest;
		const { hashes } = this.#iteration;
		const now = await pages.hashes(0, pages.pageCount);
		signal.throwIfAborted();
		const pageIndex = pages.pageCount === hashes.pageCount ? hashes.firstDifference(0, now) : hashes.pageCount;
		if (pageIndex !== undefined)
			throw new MoveError(
				"corrupt",
				`page ${pageIndex} of the paused guest is not what was sent: the dirty tracker missed a change`,
				{ pageIndex },
			);
	}

	async #commit(): Promise<void> {
		const { lease } = this.#services;
		await this.#phases.run("verify", this.#deadlines.verifyMs, (signal) => this.#conversation.expect("ready", signal));
		this.#watch.mark("verified");
		await this.#phases.run("release", this.#deadlines.releaseMs, async (signal) => {
			if (!(await this.#ledger.step(this.#moveId, "moving", "released")))
				throw new MoveError("store", "the ledger has lost this move");
			signal.throwIfAborted();
			await lease?.lease.release(lease.grant);
		});
		await this.#phases.run("go", this.#deadlines.stallMs, async () => {
			// A link that is known to be dead has carried no *go*: one turn lets such news arrive.
			await this.#services.clock.sleep(0);
			this.#conversation.failed.throwIfAborted();
			this.#goSent = true;
			await this.#conversation.send({ type: "go" });
		});
		await this.#phases.run("confirm", this.#deadlines.confirmMs, (signal) =>
			this.#conversation.expect("running", signal),
		);
		this.#watch.mark("running");
	}

	/** After `running`: the copy here is given up and everything released. */
	async #letGo(): Promise<MoveMetrics> {
		const { guest, clock } = this.#services;
		const bytesOnWire = this.#conversation.bytesSent;
		await this.#iteration.close().catch(() => undefined); // the tracker of a guest that is given up
		this.#watch.mark("released");
		const metrics = this.#watch.metrics(this.#technique.name, this.#verification, guest, this.#iteration, bytesOnWire);
		await guest.discard();
		await withDeadline(clock, { deadlineMs: this.#deadlines.stallMs }, () => this.#conversation.close()).catch(
			() => undefined,
		);
		return metrics;
	}

	async #fail(error: MoveError): Promise<MoveResult> {
		const { guest, clock } = this.#services;
		const bytesOnWire = this.#conversation.bytesSent;
		const metrics = this.#watch.metrics(this.#technique.name, this.#verification, guest, this.#iteration, bytesOnWire);
		const moveId = this.#moveId;
		if (this.#goSent) {
			// The target may run. Nothing here may, until resolveMove or the caller has decided.
			await this.#iteration.close().catch(() => undefined); // the tracker of a copy that stays paused
			await withDeadline(clock, { deadlineMs: this.#deadlines.stallMs }, () => this.#conversation.close()).catch(
				() => undefined,
			);
			this.#services.link.abort(error);
			return { outcome: "unconfirmed", moveId, error, metrics };
		}
		await withDeadline(clock, { deadlineMs: 1000 }, () => this.#conversation.giveUp(error)).catch(
			() => undefined, // the peer that is not told finds out by its own deadline
		);
		this.#services.link.abort(error);
		const failure = await this.#runOn(error);
		return { outcome: "kept", moveId, error: failure, metrics };
	}

	/** Before *go*: undoes what was done and lets the guest run on here. @returns the error, sharpened if it cannot run. */
	async #runOn(error: MoveError): Promise<MoveError> {
		const { guest, lease } = this.#services;
		await this.#iteration.close().catch(() => undefined); // a dead guest cannot detach; its own error is already here
		try {
			if ((await this.#ledger.read(this.#moveId)) === "released")
				await this.#ledger.step(this.#moveId, "released", "kept");
			else await this.#ledger.step(this.#moveId, "moving", "kept");
			if (lease !== undefined && (await lease.lease.renew(lease.grant)) === undefined)
				return new MoveError("lease", `${error.message}; the guest stays paused: its lease no longer holds`, {
					phase: error.phase,
					cause: error,
				});
			await guest.resume();
			return error;
		} catch (cause) {
			return new MoveError(error.code, `${error.message}; the guest could not be resumed: ${String(cause)}`, {
				phase: error.phase,
				cause,
			});
		}
	}

	#sink(): PageSink {
		const { clock } = this.#services;
		const within = (signal: AbortSignal, send: () => Promise<void>) =>
			withDeadline(clock, { deadlineMs: this.#deadlines.stallMs, cancel: signal }, send);
		return {
			accept: (batch: PageBatch, signal) => within(signal, () => this.#conversation.sendBatch(batch)),
			grow: (pageCount, signal) => within(signal, () => this.#conversation.send({ type: "layout", pageCount })),
		};
	}

	#noteRound(round: RoundFacts): void {
		this.#pending = round.dirtiedPages;
		this.#roundsLeft = Math.max(0, this.#roundsLeft - 1);
		this.#report(this.#phases.current);
	}

	#report(phase: MovePhase | "done"): void {
		const { onProgress } = this.#options;
		if (onProgress === undefined) return;
		const elapsedMs = this.#watch.since("live");
		const facts = this.#factsSoFar(elapsedMs);
		const last = facts.rounds[facts.rounds.length - 1];
		const dirtyPagesPerMs = last === undefined || last.durationMs <= 0 ? 0 : last.dirtiedPages / last.durationMs;
		const { fraction, etaMs } =
			phase === "done"
				? this.#progress.finish()
				: this.#progress.estimate({ ...facts, elapsedMs, dirtyPagesPerMs, roundsLeft: this.#roundsLeft });
		onProgress({
			moveId: this.#moveId,
			phase,
			fraction,
			etaMs,
			round: facts.rounds.length + (phase === "live" ? 1 : 0),
			pendingPages: this.#pending,
			sentPages: this.#iteration.sentPages,
			bandwidthBytesPerMs: facts.bandwidthBytesPerMs,
			expectedDowntimeMs: expectedDowntimeMs(facts),
		});
	}

	/** Before the first round has ended no round's rate is known: what went out since the start will do for progress. */
	#factsSoFar(elapsedMs: number): ConvergenceFacts {
		const facts = this.#iteration.facts(this.#pending);
		if (facts.bandwidthBytesPerMs > 0 || elapsedMs <= 0) return facts;
		return { ...facts, bandwidthBytesPerMs: (this.#iteration.sentPages * facts.bytesPerPage) / elapsedMs };
	}
}

/** Pieces of at most `chunkBytes` with their offsets; one empty piece for no bytes. */
function* chunks(bytes: Uint8Array<ArrayBuffer>, chunkBytes: number): Generator<[number, Uint8Array<ArrayBuffer>]> {
	for (let offset = 0; offset === 0 || offset < bytes.byteLength; offset += chunkBytes)
		yield [offset, bytes.subarray(offset, offset + chunkBytes)];
}
