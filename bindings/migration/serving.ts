/**
 * The source of a post-copy move after the switch: the guest runs at the target, and what is missing there is here.
 *
 *   handed over ──serve──▶ complete ──▶ moved     the target has every page, and they are the source's
 *        │          │ └──────────────▶ corrupt   it has other pages: reported, cannot be undone
 *        │          └─ link lost ─▶ interrupted ──recover──▶ (serve)
 *        │                            │ └────abandon──▶ lost
 *        │                            └─revive─▶ revived     where the target's changes have come back as checkpoints
 *        └─ link lost around go ─▶ unconfirmed ──recover──▶ (serve), or kept if the target has declined
 *
 * Invariant: the copy here stays paused and whole until the target has accepted every page or the caller has given it up.
 * Checkpoints change only pages that the target has; what it still needs stays as it was.
 */
import { CheckpointFollower } from "../epochs/checkpoint-follower.ts";
import { Conversation } from "../handover/conversation.ts";
import type { SourceLedger } from "../handover/ledger.ts";
import { MoveError } from "../handover/move-error.ts";
import { endMoveHold } from "../handover/pause-turn.ts";
import { type Deadlines, toMoveError, withDeadline } from "../handover/phases.ts";
import { tryAll } from "../handover/try-all.ts";
import { countPages } from "../paging/missing-record.ts";
import { noteOwing } from "../paging/owing.ts";
import { PageServer, type ServingEnd, type ServingFacts } from "../paging/page-server.ts";
import type { ServingRoom } from "../paging/serving-room.ts";
import type { CompressionPolicy } from "../policies/compression.ts";
import type { PushOrder } from "../policies/push-order.ts";
import { isCalledGuest } from "../ports/called-guest.ts";
import type { Clock } from "../ports/clock.ts";
import type { Guest, PageBits } from "../ports/guest.ts";
import type { Lease } from "../ports/lease.ts";
import type { Link } from "../ports/link.ts";
import { isStandbyGuest } from "../ports/standby-guest.ts";
import type { Iteration } from "../rounds/iteration.ts";
import type { PagingReport } from "../wire/records.ts";
import type { MoveMetrics, PagingMetrics, TechniqueName, Verification } from "./metrics.ts";
import { decideMove } from "./resolve.ts";
import type { OwedPages, PostCopyResult } from "./results.ts";
import { type ReviveOptions, reviveGuest } from "./revive.ts";
import type { ServedPages, Stopwatch } from "./stopwatch.ts";

/** What a move hands on to the serving of its pages. */
export interface ServingContext {
	readonly moveId: string;
	readonly technique: TechniqueName;
	readonly guest: Guest;
	readonly clock: Clock;
	readonly ledger: SourceLedger;
	readonly lease: Lease | undefined;
	readonly iteration: Iteration;
	readonly watch: Stopwatch;
	readonly deadlines: Deadlines;
	readonly verification: Verification;
	readonly compression: CompressionPolicy | undefined;
	readonly push: PushOrder;
	/** See MoveOptions. */
	readonly bandwidthBytesPerMs: number | undefined;
	/** Pages the target lacks when it begins to run. */
	readonly owed: PageBits;
	readonly recent: Uint32Array;
	/** How {@link recent} is known. */
	readonly order: PagingMetrics["order"];
	/** Made before the switch. */
	readonly room: ServingRoom | undefined;
	/** Whether the target's changes come back as checkpoints. */
	readonly checkpointed: boolean;
	/** Says that something has happened. */
	readonly report: (phase: "paging" | "done") => void;
}

/** See the head of this file. */
export class ServingSession implements OwedPages {
	readonly #context: ServingContext;
	#server: PageServer | undefined;
	#active = false;
	/** Whether the target is known to run the guest. */
	#confirmed = false;
	#owed: PageBits;
	#bytesOnWire = 0;
	#recoveries = 0;
	#resentPages = 0;
	readonly #earlier = { networkFaults: 0, inFlightWaits: 0, pushedPages: 0, zeroPages: 0 };
	#report: PagingReport | undefined;
	readonly #follower: CheckpointFollower | undefined;
	/** The target may know that it has everything, and then this copy is of no use any more. */
	#accepted = false;

	constructor(context: ServingContext) {
		this.#context = context;
		this.#owed = context.owed;
		const { guest, checkpointed } = context;
		if (!checkpointed) return;
		if (!isStandbyGuest(guest)) throw new TypeError("guest: cannot take checkpoints back");
		this.#follower = new CheckpointFollower({ guest, mayChange: (page) => this.#server?.isUnsent(page) !== true });
	}

	get moveId(): string {
		return this.#context.moveId;
	}

	get remainingPages(): number {
		return this.#server?.facts.remainingPages ?? countPages(this.#owed);
	}

	/** Pages sent so far, and what the link takes. */
	get facts(): { readonly sentPages: number; readonly remainingPages: number; readonly bytesPerMs: number } {
		const { networkFaults, pushedPages } = this.#totals();
		const { remainingPages } = this;
		return { sentPages: networkFaults + pushedPages, remainingPages, bytesPerMs: this.#server?.facts.bytesPerMs ?? 0 };
	}

	/** *go* may have left: from here on only {@link recover} or the caller settles whose the guest is. */
	async unconfirmed(error: MoveError, bytesOnWire: number): Promise<PostCopyResult> {
		this.#bytesOnWire = bytesOnWire;
		noteOwing(this.#context.guest, "unconfirmed");
		await this.#context.iteration.detach();
		return { outcome: "unconfirmed", moveId: this.moveId, error, metrics: this.#metrics(), paging: this };
	}

	/** Puts the pages in order, while the target has work of its own. */
	prepare(conversation: Conversation): void {
		const { guest, clock, iteration, deadlines, push, recent, verification, compression, room } = this.#context;
		this.#server = new PageServer(
			{ guest, clock, conversation, hashes: iteration.hashes, room },
			{
				...{ owed: this.#owed, recent, push, verification, compression, stallMs: deadlines.stallMs },
				bandwidthBytesPerMs: this.#context.bandwidthBytesPerMs,
				onChange: () => this.#context.report("paging"),
				onAccept: () => {
					this.#accepted = true;
				},
				...(this.#follower === undefined ? {} : { follower: this.#follower }),
			},
		);
	}

	/** The target runs: serves it over the link that was prepared for. */
	async serve(conversation: Conversation): Promise<PostCopyResult> {
		const { guest, clock, ledger, iteration } = this.#context;
		const server = this.#server!;
		this.#confirmed = true;
		this.#active = true;
		noteOwing(guest, "running");
		try {
			if (isCalledGuest(guest)) guest.turnCallsAway();
			// `released` already says: never resume. With checkpoints it may come back.
			if (this.#follower === undefined) await ledger.step(this.moveId, "released", "moved").catch(() => false);
			this.#follower?.follow({
				acknowledge: (epoch) => conversation.send({ type: "committed", epoch }, "urgent"),
				fail: (error) => conversation.drop(error),
			});
			await iteration.detach().catch(() => undefined); // the tracker of a guest that does not run any more
			this.#context.report("paging");
			const end = await withDeadline(clock, { peer: conversation.failed }, (signal) => server.run(signal));
			this.#report = end.report;
			return end.corruptCount === 0 ? await this.#complete(conversation) : await this.#corrupt(conversation, end);
		} catch (error) {
			return await this.#interrupted(toMoveError(error, "paging", undefined), conversation);
		} finally {
			await this.#follower?.unfollow();
			this.#active = false;
		}
	}

	async recover(link: Link): Promise<PostCopyResult> {
		if (this.#active) throw new TypeError("recover: the pages are being served");
		const { clock, deadlines } = this.#context;
		this.#active = true;
		const conversation = new Conversation(link);
		try {
			const limits = { deadlineMs: deadlines.handshakeMs, peer: conversation.failed };
			const missing = await withDeadline(clock, limits, async (signal) => {
				const epoch = this.#follower?.lastEpoch;
				await conversation.send({ type: "recover", moveId: this.moveId, ...(epoch === undefined ? {} : { epoch }) });
				return this.#readMissing(conversation, signal);
			});
			if (missing === "declined") return await this.#takeBack(conversation);
			this.#goOn(missing);
			this.prepare(conversation);
		} catch (error) {
			return await this.#interrupted(toMoveError(error, "paging", undefined), conversation);
		} finally {
			this.#active = false;
		}
		return this.serve(conversation);
	}

	async abandon(): Promise<PostCopyResult> {
		if (this.#active) throw new TypeError("abandon: the pages are being served");
		noteOwing(this.#context.guest, undefined);
		endMoveHold(this.#context.guest);
		await this.#context.iteration.close();
		const message =
			"the target was given up: what the guest did there is lost; its state at the switch is here, paused";
		const error = new MoveError("peer", message, { phase: "paging" });
		return { outcome: "lost", moveId: this.moveId, error, metrics: this.#metrics() };
	}

	async revive(options: ReviveOptions = {}): Promise<PostCopyResult> {
		if (this.#active) throw new TypeError("revive: the pages are being served");
		const { guest, clock, ledger, lease, iteration, deadlines } = this.#context;
		const { releaseMs: answerMs } = deadlines;
		const follower = this.#follower;
		if (follower === undefined || !isStandbyGuest(guest))
			throw new TypeError("revive: no checkpoints have come back from the target; abandon says that it is lost");
		const { moveId } = this;
		this.#active = true;
		try {
			if (this.#accepted)
				throw new MoveError("peer", "the target may know that it has every page, and run without this copy", {
					phase: "paging",
				});
			await follower.unfollow();
			const grant = await reviveGuest({ guest, clock, ledger, lease, answerMs, moveId }, options);
			const { lastEpoch: epoch } = follower;
			const error = new MoveError("peer", `the target is gone: the guest runs here, from checkpoint ${epoch}`, {
				phase: "paging",
			});
			const metrics = this.#metrics();
			await iteration.close();
			return { outcome: "revived", moveId, epoch, grant, error, metrics };
		} catch (error) {
			const outcome = this.#confirmed ? "interrupted" : "unconfirmed";
			const reason = toMoveError(error, "paging", options.signal);
			return { outcome, moveId, error: reason, metrics: this.#metrics(), paging: this };
		} finally {
			this.#active = false;
		}
	}

	/** What has not arrived at the target, as it says. */
	async #readMissing(conversation: Conversation, signal: AbortSignal): Promise<PageBits | "declined"> {
		const { pageCount } = this.#context.iteration.hashes;
		const bits = new Uint8Array(Math.ceil(pageCount / 8));
		for (let covered = 0; covered < pageCount; ) {
			const record = await conversation.next(signal);
			if (record.type === "answer") {
				if (record.status === "declined" && !this.#confirmed) return "declined";
				throw new MoveError(
					"peer",
					`the target cannot go on with the move '${this.moveId}' (${record.status}): its copy is gone`,
				);
			}
			if (record.type !== "missing" || record.firstPage !== covered || covered + record.pageCount > pageCount)
				throw new MoveError("protocol", `expected what is missing from page ${covered} on, got '${record.type}'`);
			bits.set(record.bits, covered / 8);
			covered += record.pageCount;
		}
		return bits;
	}

	/** Owes what the target lacks: what was under way when the link was lost goes once more. */
	#goOn(missing: PageBits): void {
		for (const [i, byte] of missing.entries())
			if ((byte & ~(this.#context.owed[i] ?? 0)) !== 0)
				throw new MoveError("protocol", "the target misses pages that it had at the switch");
		this.#keepCounts();
		const unsent = this.#server?.facts.remainingPages ?? countPages(this.#owed);
		this.#resentPages += Math.max(0, countPages(missing) - unsent);
		this.#owed = missing;
		this.#recoveries++;
		this.#server = undefined;
	}

	/** The target never ran the guest and never will: it runs on here. */
	async #takeBack(conversation: Conversation): Promise<PostCopyResult> {
		const { guest, ledger, lease, iteration } = this.#context;
		const message = "the target has declined: it never ran the guest and never will";
		const error = new MoveError("peer", message, { phase: "confirm" });
		await this.#close(conversation);
		const services = { guest, clock: this.#context.clock, ledger, ...(lease === undefined ? {} : { lease }) };
		const resolution = await decideMove(services, this.moveId, "kept", this.#context.deadlines.releaseMs);
		if (resolution.outcome !== "kept")
			return this.unconfirmed(resolution.outcome === "unconfirmed" ? resolution.error : error, this.#bytesOnWire);
		const metrics = this.#metrics();
		await iteration.close();
		const { grant } = resolution;
		return { outcome: "kept", moveId: this.moveId, error, metrics, ...(grant === undefined ? {} : { grant }) };
	}

	async #complete(conversation: Conversation): Promise<PostCopyResult> {
		const { guest, watch, iteration, ledger, report } = this.#context;
		if (this.#follower !== undefined) await ledger.step(this.moveId, "released", "moved").catch(() => false); // never resumed
		watch.mark("released");
		this.#bytesOnWire += conversation.bytesSent;
		const metrics = this.#metrics();
		noteOwing(guest, undefined);
		endMoveHold(guest);
		// The target has everything: whatever fails from here on, the guest has moved.
		const trouble = await tryAll(
			() => iteration.close().catch(() => undefined), // the tracker of a guest that is given up
			() => guest.discard(),
			() => this.#close(conversation),
			() => report("done"),
		);
		return { outcome: "moved", moveId: this.moveId, metrics, ...(trouble === undefined ? {} : { trouble }) };
	}

	async #corrupt(conversation: Conversation, end: ServingEnd): Promise<PostCopyResult> {
		const { guest, iteration } = this.#context;
		this.#bytesOnWire += conversation.bytesSent;
		const { corruptPages, corruptCount } = end;
		const error = new MoveError(
			"corrupt",
			`${corruptCount} pages at the target are not the source's, page ${corruptPages[0]} is the first: the guest runs there with them; its state at the switch is here, paused`,
			{ phase: "paging", pageIndex: corruptPages[0] },
		);
		const metrics = this.#metrics();
		noteOwing(guest, undefined);
		endMoveHold(guest);
		await iteration.close().catch(() => undefined); // the tracker of a copy that stays paused
		await this.#close(conversation);
		const { moveId } = this;
		return { outcome: "corrupt", moveId, error, metrics, pageIndices: corruptPages, corruptPages: corruptCount };
	}

	async #interrupted(error: MoveError, conversation: Conversation): Promise<PostCopyResult> {
		this.#bytesOnWire += conversation.bytesSent;
		await withDeadline(this.#context.clock, { deadlineMs: 1000 }, () => conversation.giveUp(error)).catch(
			() => undefined, // the link is gone: the target finds out by itself
		);
		conversation.drop(error);
		const { moveId } = this;
		const outcome = this.#confirmed ? "interrupted" : "unconfirmed";
		return { outcome, moveId, error, metrics: this.#metrics(), paging: this };
	}

	async #close(conversation: Conversation): Promise<void> {
		const limits = { deadlineMs: this.#context.deadlines.stallMs };
		await withDeadline(this.#context.clock, limits, () => conversation.close()).catch(
			() => undefined, // everything has been said; whether the end arrives changes nothing
		);
	}

	/** Adds what the server of the last link did to what earlier ones did. */
	#keepCounts(): void {
		Object.assign(this.#earlier, this.#totals());
	}

	#totals(): Pick<ServingFacts, "networkFaults" | "inFlightWaits" | "pushedPages" | "zeroPages"> {
		const { networkFaults, inFlightWaits, pushedPages, zeroPages } = this.#earlier;
		const now = this.#server?.facts;
		return {
			networkFaults: networkFaults + (now?.networkFaults ?? 0),
			inFlightWaits: inFlightWaits + (now?.inFlightWaits ?? 0),
			pushedPages: pushedPages + (now?.pushedPages ?? 0),
			zeroPages: zeroPages + (now?.zeroPages ?? 0),
		};
	}

	#metrics(): MoveMetrics {
		const { watch, technique, verification, guest, iteration } = this.#context;
		return watch.metrics(technique, verification, guest, iteration, this.#bytesOnWire, this.#served());
	}

	#served(): ServedPages {
		const { networkFaults, inFlightWaits, pushedPages, zeroPages } = this.#totals();
		const report = this.#report;
		const touched = report?.touchedPages;
		const owedPages = countPages(this.#context.owed);
		return {
			pages: networkFaults + pushedPages,
			zeroPages,
			minorFaults: touched === undefined ? (report?.minorFaults ?? 0) : Math.max(0, touched - (report?.faults ?? 0)),
			paging: {
				owedPages,
				order: this.#context.order,
				knownPages: this.#context.recent.length,
				networkFaults,
				inFlightWaits,
				pushedPages,
				resentPages: this.#resentPages,
				recoveries: this.#recoveries,
				blockedMs: report?.blockedMs ?? 0,
				faultLatency: {
					p50Ms: report?.p50Ms ?? 0,
					p90Ms: report?.p90Ms ?? 0,
					maximumMs: report?.maximumMs ?? 0,
					histogram: report?.histogram ?? [],
				},
				...(this.#follower === undefined ? {} : { checkpoints: this.#follower.figures }),
				...(touched === undefined ? {} : { pushedInVain: Math.max(0, owedPages - touched) }),
				timeline: this.#server?.timeline ?? [],
			},
		};
	}
}
