/**
 * The source side of a move: everything that the techniques have in common. A technique only says how the pages travel
 * before the handover, and which are left for after it.
 *
 *   handshake ─▶ set-up ─▶ (technique: live ─▶ pause ─▶ final round) ─▶ state ─▶ verify ─▶ release ─▶ go ─▶ confirm
 *                                                                                      pages left (serving.ts) ─▶ paging
 *
 * Guarantee: up to `release` any failure, deadline or cancellation leaves the guest running here (`kept`). Once *go* may
 * have left, this side never resumes on its own: it learns that the target runs (`moved`), or it does not know
 * (`unconfirmed`) and {@link resolveMove} settles it. See docs/protocol.md for the other side.
 */
import { Conversation } from "../handover/conversation.ts";
import { MoveLedger, type SourceLedger } from "../handover/ledger.ts";
import { MoveError, type MovePhase } from "../handover/move-error.ts";
import { holdPaused, MOVE, type PauseHold, pauseHoldOf } from "../handover/pause-turn.ts";
import { DEFAULT_DEADLINES, type Deadlines, Phases, toMoveError, withDeadline } from "../handover/phases.ts";
import { missingRecords } from "../paging/missing-record.ts";
import { owingStage } from "../paging/owing.ts";
import { type CompressionPolicy, compressOnSlowLinks } from "../policies/compression.ts";
import type { RoundFacts, StopReason } from "../policies/convergence.ts";
import { fixedRate, type PacingPolicy } from "../policies/pacing.ts";
import type { PushOrder } from "../policies/push-order.ts";
import type { Clock } from "../ports/clock.ts";
import { isFaultingGuest } from "../ports/faulting-guest.ts";
import type { Guest, GuestLayout, PageBatch, PageBits } from "../ports/guest.ts";
import type { Lease, LeaseGrant } from "../ports/lease.ts";
import type { Link } from "../ports/link.ts";
import { isOrderedGuest, type OrderCursor } from "../ports/ordered-guest.ts";
import type { Random } from "../ports/random.ts";
import { Iteration } from "../rounds/iteration.ts";
import type { PageSink } from "../rounds/page-sink.ts";
import { toHex } from "../wire/digest.ts";
import { DEFAULT_WINDOW_BYTES, MAX_CHUNK_BYTES } from "../wire/limits.ts";
import { PROTOCOL_VERSIONS } from "../wire/link-records.ts";
import type { MoveMetrics, MoveProgress, TechniqueName, Verification } from "./metrics.ts";
import { ProgressReport } from "./progress-report.ts";
import type { MoveResult, PostCopyResult } from "./results.ts";
import { ServingSession } from "./serving.ts";
import { Stopwatch } from "./stopwatch.ts";
import { MoveThrottle } from "./throttle.ts";

export type { MoveResult } from "./results.ts";

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

/** What a technique adds to a move. */
export interface Technique {
	readonly name: TechniqueName;
	/** Rate policy of the live rounds; a bandwidth cap in the options goes before it. */
	readonly pacing?: PacingPolicy;
	/** How pages go that are left for after the handover; absent: none ever are, and the target need not be able to wait. */
	readonly push?: PushOrder;
	/** Moves the pages; on return the guest is paused and everything is sent, or named as left. @returns why the live rounds ended. */
	transfer(step: TransferSteps): Promise<StopReason | undefined>;
}

/** What a technique's transfer is made of. */
export interface TransferSteps {
	readonly iteration: Iteration;
	/** Live rounds left, for the progress estimate. */
	roundsLeft: number;
	readonly throttle: MoveThrottle;
	/** Runs live rounds as the phase `live`, within the total-time limit. */
	live(work: (signal: AbortSignal, timeIsUp: () => boolean) => Promise<StopReason>): Promise<StopReason>;
	/** Pauses the guest and runs the final round. */
	pauseAndFinish(): Promise<void>;
	/** Pauses the guest and leaves what is dirty for after the handover, but for the pages it cannot fault on. */
	pauseAndLeave(): Promise<void>;
}

/** Guests with a move under way: one at a time. */
const moving = new WeakSet<Guest>();

/**
 * Runs a move with a technique. Not called by users: see {@link preCopy} and {@link stopAndCopy}.
 * @throws TypeError when another move of this guest is under way; RangeError for options out of range.
 */
export function move(
	technique: Technique & { readonly push?: never },
	services: MoveServices,
	options: MoveOptions,
): Promise<MoveResult>;
export function move(technique: Technique, services: MoveServices, options: MoveOptions): Promise<PostCopyResult>;
export async function move(
	technique: Technique,
	services: MoveServices,
	options: MoveOptions,
): Promise<PostCopyResult> {
	if (moving.has(services.guest)) throw new TypeError("guest: another move of this guest is under way");
	if (owingStage(services.guest) !== undefined)
		throw new TypeError("guest: the target of an earlier move needs its pages: recover or abandon that move");
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
	readonly #progress: ProgressReport;
	#order: OrderCursor | undefined;
	#serving: ServingSession | undefined;
	#state: Uint8Array<ArrayBuffer> = new Uint8Array(0);
	#pending = 0;
	#roundsLeft = 0;
	#goSent = false;
	/** Kept while nobody knows who runs the guest, and while the target needs its pages. */
	#hold: PauseHold | undefined;

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
		this.#progress = new ProgressReport(this.#moveId, this.#iteration);
	}

	async run(): Promise<PostCopyResult> {
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
		} finally {
			await this.#order?.close();
		}
		if (this.#serving !== undefined) return this.#serving.serve(this.#conversation);
		await this.#ledger.step(this.#moveId, "released", "moved").catch(() => false); // `released` already says: never resume
		const metrics = await this.#letGo();
		this.#report("done");
		return { outcome: "moved", moveId: this.#moveId, metrics };
	}

	/** Handshake, missing code, the target's set-up, and the ledger's first word. */
	async #begin(): Promise<void> {
		const { guest } = this.#services;
		const faulting = this.#technique.push !== undefined;
		if (faulting && !isFaultingGuest(guest))
			throw new MoveError("refused", `a ${guest.kind} guest cannot run while pages are missing: use pre-copy`);
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
				...(faulting ? { faulting } : {}),
				layout,
			});
			return this.#conversation.expect("welcome", signal);
		});
		this.#watch.setupMs = await this.#phases.run("set-up", this.#deadlines.setUpMs, async (signal) => {
			// What the guest uses while the target is set up is what it will want first.
			if (faulting && isOrderedGuest(guest)) this.#order = await guest.order.open();
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
			throttle: new MoveThrottle(this.#services.guest, this.#watch),
			live: (work) => this.#live(work),
			pauseAndFinish: () => this.#pauseAndFinish(),
			pauseAndLeave: () => this.#pauseAndLeave(),
		};
	}

	async #live(work: (signal: AbortSignal, timeIsUp: () => boolean) => Promise<StopReason>): Promise<StopReason> {
		const { totalTime } = this.#options;
		const cancelAfterMs = totalTime?.onLimit === "cancel" ? totalTime.limitMs : undefined;
		try {
			return await this.#phases.run("live", cancelAfterMs, async (signal) => {
				// Live rounds that go on after a while have all of this.
				if (this.#watch.since("live") === 0) {
					const openedMs = this.#services.clock.now();
					await this.#iteration.open();
					this.#watch.setupMs += this.#services.clock.now() - openedMs;
					this.#watch.mark("live");
				}
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
		await this.#pause();
		await this.#phases.run("final-round", undefined, (signal) => this.#iteration.final(signal));
		this.#watch.mark("rounds-done");
	}

	async #pauseAndLeave(): Promise<void> {
		const { guest } = this.#services;
		await this.#pause();
		await this.#phases.run("final-round", this.#deadlines.stateMs, async (signal) => {
			const owed = await this.#iteration.left(signal);
			const pinned = isFaultingGuest(guest) ? await guest.faulting.pinned() : new Uint8Array(0);
			await this.#iteration.finalOf(
				owed.map((byte, i) => byte & (pinned[i] ?? 0)),
				signal,
			);
			for (const [i, byte] of pinned.entries()) owed[i]! &= ~byte;
			if (owed.every((byte) => byte === 0)) return;
			for (const record of missingRecords(owed, this.#iteration.hashes.pageCount))
				await this.#conversation.send(record);
			this.#serving = this.#makeServing(owed, (await this.#order?.recentFirst()) ?? new Uint32Array(0));
		});
		this.#watch.mark("rounds-done");
	}

	#makeServing(owed: PageBits, recent: Uint32Array): ServingSession {
		const { guest, clock, lease } = this.#services;
		return new ServingSession({
			...{ guest, clock, ledger: this.#ledger, lease: lease?.lease, owed, recent },
			...{ moveId: this.#moveId, technique: this.#technique.name, verification: this.#verification },
			...{ iteration: this.#iteration, watch: this.#watch, deadlines: this.#deadlines },
			compression: this.#options.compression ?? compressOnSlowLinks,
			push: this.#technique.push!,
			report: (phase) => this.#report(phase),
		});
	}

	async #pause(): Promise<void> {
		const { guest, clock } = this.#services;
		if (this.#watch.since("live") === 0) this.#watch.mark("live");
		await this.#phases.run("pause", undefined, async (signal) => {
			const { pauseMs: deadlineMs } = this.#deadlines;
			this.#hold = await holdPaused(guest, { operation: MOVE, clock, deadlineMs, signal });
			// Called off in the last moment: this phase's failure has been dealt with already.
			if (signal.aborted) await this.#hold.resume();
		});
		this.#watch.mark("paused");
	}

	async #sendState(): Promise<void> {
		const { guest } = this.#services;
		await this.#phases.run("state", this.#deadlines.stateMs, async (signal) => {
			this.#state = await guest.state.capture();
			// At least one record, so that the target can tell an empty state from a missing one.
			for (const [offset, bytes] of chunks(this.#state, MAX_CHUNK_BYTES))
				await this.#conversation.send({ type: "state", offset, total: this.#state.byteLength, bytes });
			// Pages that are left are compared at the end, when the frozen memory costs the guest nothing.
			if (this.#verification === "full" && this.#serving === undefined) await this.#verifySource(signal);
			const digest = this.#iteration.hashes.digest(this.#state);
			const { pageCount } = this.#iteration.hashes;
			await this.#conversation.send({ type: "digest", digest, pageCount, stateByteLength: this.#state.byteLength });
			this.#serving?.prepare(this.#conversation);
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
		this.#hold?.giveUp();
		await withDeadline(clock, { deadlineMs: this.#deadlines.stallMs }, () => this.#conversation.close()).catch(
			() => undefined,
		);
		return metrics;
	}

	async #fail(error: MoveError): Promise<PostCopyResult> {
		const { guest, clock } = this.#services;
		const bytesOnWire = this.#conversation.bytesSent;
		const metrics = this.#watch.metrics(this.#technique.name, this.#verification, guest, this.#iteration, bytesOnWire);
		const moveId = this.#moveId;
		if (this.#goSent) {
			// The target may run. Nothing here may, until resolveMove or the caller has decided.
			if (this.#serving === undefined) await this.#iteration.close().catch(() => undefined); // the tracker of a copy that stays paused
			await withDeadline(clock, { deadlineMs: this.#deadlines.stallMs }, () => this.#conversation.close()).catch(
				() => undefined,
			);
			this.#services.link.abort(error);
			if (this.#serving !== undefined) return this.#serving.unconfirmed(error, bytesOnWire);
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
			// Another operation may hold the guest paused, which this move has not done yet.
			if (this.#hold !== undefined) await this.#hold.resume();
			else if (pauseHoldOf(guest) === undefined) await guest.resume();
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
		const served = phase === "paging" || phase === "done" ? this.#serving?.facts : undefined;
		const elapsedMs = this.#watch.since("live");
		const facts = { phase, pendingPages: this.#pending, roundsLeft: this.#roundsLeft, elapsedMs };
		onProgress(this.#progress.next(served === undefined ? facts : { ...facts, served }));
	}
}

/** Pieces of at most `chunkBytes` with their offsets; one empty piece for no bytes. */
function* chunks(bytes: Uint8Array<ArrayBuffer>, chunkBytes: number): Generator<[number, Uint8Array<ArrayBuffer>]> {
	for (let offset = 0; offset === 0 || offset < bytes.byteLength; offset += chunkBytes)
		yield [offset, bytes.subarray(offset, offset + chunkBytes)];
}
