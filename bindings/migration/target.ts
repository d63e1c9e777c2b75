/**
 * The target side of a move: builds a guest, installs what arrives, verifies it, and runs it when told to.
 *
 * Guarantee: the guest runs here only after memory, state and layout have matched the source's digest, the ledger has
 * taken the word `running` in place of `ready`, and the lease (if there is one) is held. Anything else discards what
 * arrived, and `declined` then voids a late *go*. The order of records is judged by `target-states.ts` alone.
 */
import { acquireLease, LEASE_ANSWER_MS, type LeaseAsking, releaseLease } from "../handover/lease-questions.ts";
import { MoveLedger, type TargetLedger } from "../handover/ledger.ts";
import { MoveError } from "../handover/move-error.ts";
import { toMoveError, withDeadline } from "../handover/phases.ts";
import { StallWatch } from "../handover/stall-watch.ts";
import { PageClient } from "../paging/page-client.ts";
import { isFaultingGuest } from "../ports/faulting-guest.ts";
import { isGatedGuest } from "../ports/gated-guest.ts";
import type { Guest, GuestFactory, GuestLayout } from "../ports/guest.ts";
import type { Lease, LeaseGrant } from "../ports/lease.ts";
import type { IncomingFrame, Link } from "../ports/link.ts";
import { PROTOCOL_VERSIONS } from "../wire/link-records.ts";
import { type CheckpointInterval, decodeRecord, encodeRecord, type Record } from "../wire/records.ts";
import { ArrivingPages } from "./arriving-pages.ts";
import { ArrivingResources } from "./arriving-resources.ts";
import { ReceivedPages } from "./paging-reception.ts";
import { HELD_OUTPUT_BYTES, Protection } from "./protection.ts";
import { answerFromLedger, judge } from "./target-answers.ts";
import type { ReceiveOptions, ReceiveResult, ReceiveServices } from "./target-options.ts";
import { preparedTarget, stepTarget, type TargetAction, type TargetState, verifiedTarget } from "./target-states.ts";

export type { AnswerStatus, ReceiveOptions, ReceiveResult, ReceiveServices } from "./target-options.ts";

type RecordOf<Type extends Record["type"]> = Extract<Record, { type: Type }>;

const IDLE_MS = 30_000;
const READY_MS = 30_000;
const STALL_MS = 10_000;
/** How long a last word may take before the link is dropped, in ms. */
const FAREWELL_MS = 1000;

/**
 * Serves one incoming link: a move, or a query about one.
 *
 * @returns how it ended; failures are in the result, never thrown.
 *
 * @example
 * ```ts ignore
 * const result = await receiveGuest({ link, factories: [factory], clock, ledger });
 * if (result.outcome === "running") serve(result.guest);
 * ```
 */
export async function receiveGuest(services: ReceiveServices, options: ReceiveOptions = {}): Promise<ReceiveResult> {
	return new Reception(services, options).run();
}

class Reception {
	readonly #link: Link;
	readonly #services: ReceiveServices;
	readonly #options: ReceiveOptions;
	readonly #ledger: TargetLedger;
	readonly #silence: StallWatch;
	#state: TargetState = { name: "greeting" };
	#moveId: string | undefined;
	#factory: GuestFactory | undefined;
	#layout: GuestLayout | undefined;
	#guest: Guest | undefined;
	#resources: ArrivingResources | undefined;
	#arriving: ArrivingPages | undefined;
	#faulting = false;
	/** How often the guest's changes go back to the source, if they do. */
	#checkpoints: CheckpointInterval | undefined;
	#protection: Protection | undefined;
	#client: PageClient | undefined;
	#setupMs = 0;
	#grant: LeaseGrant | undefined;

	constructor(services: ReceiveServices, options: ReceiveOptions) {
		this.#link = services.link;
		this.#services = services;
		this.#options = options;
		this.#ledger = services.ledger ?? new MoveLedger("target");
		this.#silence = new StallWatch(services.clock);
	}

	async run(): Promise<ReceiveResult> {
		try {
			const first = await this.#take((record) => Promise.resolve(record));
			if (first?.type === "query") return await this.#answer(first.moveId);
			if (first?.type === "recover") return await this.#recover(first);
			if (first?.type === "hello" && first.intent === "check") return await this.#answerCheck(first);
			await this.#greet(first);
			while (this.#state.name !== "running") await this.#take((record, frame) => this.#onRecord(record, frame));
		} catch (error) {
			return await this.#discard(toMoveError(error, undefined, this.#options.signal));
		} finally {
			this.#silence.end();
		}
		// The guest runs. Whether the source hears of it decides nothing here.
		if (this.#client !== undefined) return this.#goOn(this.#client);
		await this.#send({ type: "running" }).catch(() => undefined); // the source will ask
		const closing = withDeadline(this.#services.clock, { deadlineMs: IDLE_MS }, () => this.#link.close());
		await closing.catch(() => this.#link.abort(undefined));
		return {
			outcome: "running",
			moveId: this.#moveId!,
			guest: this.#guest!,
			grant: this.#grant,
			setupMs: this.#setupMs,
		};
	}

	/** The guest runs while pages are missing. */
	#goOn(client: PageClient): ReceiveResult {
		// Ahead of the faults, on their lane.
		const said = this.#link.send(encodeRecord({ type: "running" }), "urgent");
		said.catch(() => undefined); // the source will ask
		const guest = this.#guest!;
		if (!isFaultingGuest(guest)) throw new TypeError("guest: set up to wait for pages, and cannot");
		const { clock, receptions } = this.#services;
		const moveId = this.#moveId!;
		const paging = new ReceivedPages(
			{ moveId, guest, clock, client, receptions, protection: this.#protection },
			this.#link,
		);
		const { lease } = this.#services;
		if (lease !== undefined && this.#grant !== undefined)
			this.#protection?.keepLease(lease, this.#grant, () => void paging.fence());
		return { outcome: "running", moveId, guest, grant: this.#grant, setupMs: this.#setupMs, paging };
	}

	/** A link that comes for the pages of an earlier move. */
	async #recover({ moveId, epoch }: RecordOf<"recover">): Promise<ReceiveResult> {
		const paging = this.#services.receptions?.get(moveId);
		if (paging === undefined) return this.#answer(moveId);
		void paging.takeOver(this.#link, epoch);
		return { outcome: "recovering", moveId, paging };
	}

	/** Takes one record and hands it on; its frame is released afterwards unless `use` keeps it (see arriving-pages.ts). */
	async #take<T>(use: (record: Record, frame: IncomingFrame) => Promise<T>): Promise<T | undefined> {
		const waitMs =
			this.#state.name === "ready" ? (this.#options.readyMs ?? READY_MS) : (this.#options.idleMs ?? IDLE_MS);
		const frame = await this.#silence.wait(this.#link.receive(), waitMs, this.#options.signal);
		let keep = false;
		try {
			const record = decodeRecord(frame);
			if (record === undefined) return undefined;
			if (record.type === "abort")
				throw new MoveError("peer", `the source gave up (${record.code}): ${record.message}`);
			keep = record.type === "batch";
			return await use(record, frame);
		} finally {
			if (!keep) frame.release();
		}
	}

	async #answer(moveId: string): Promise<ReceiveResult> {
		const status = await answerFromLedger(this.#ledger, moveId);
		await this.#sayAndClose({ type: "answer", moveId, status });
		return { outcome: "answered", moveId, status };
	}

	/** The last word to somebody who only asked, and who may have left: then they will ask again. */
	async #sayAndClose(word: Record): Promise<void> {
		const said = withDeadline(this.#services.clock, { deadlineMs: FAREWELL_MS }, async () => {
			await this.#send(word);
			await this.#link.close();
		});
		await said.catch(() => this.#link.abort(undefined));
	}

	/** Says whether this side would take the guest, and does nothing else. */
	async #answerCheck(hello: RecordOf<"hello">): Promise<ReceiveResult> {
		const { moveId } = hello;
		const { obstacle, factory } = judge(this.#services.factories, hello);
		const word: Record =
			factory === undefined
				? { type: "refuse", code: "refused", message: obstacle }
				: this.#welcome(factory.missing(hello.layout));
		await this.#sayAndClose(word);
		return { outcome: "answered", moveId, status: factory === undefined ? "refused" : "welcome" };
	}

	#welcome(missing: readonly string[]): Record {
		return { type: "welcome", protocol: PROTOCOL_VERSIONS.max, windowBytes: this.#link.windowBytes, missing };
	}

	async #greet(hello: Record | undefined): Promise<void> {
		if (hello?.type !== "hello" || hello.intent !== "move")
			throw new MoveError(
				"protocol",
				`a target that is 'greeting' cannot take the record '${hello?.type ?? "unknown"}'`,
			);
		const { layout, moveId } = hello;
		this.#moveId = moveId;
		this.#layout = layout;
		this.#resources = new ArrivingResources(layout);
		this.#faulting = hello.faulting === true;
		this.#checkpoints = hello.checkpoints;
		const { factory, obstacle } = judge(this.#services.factories, hello);
		if (factory === undefined) throw new MoveError("refused", obstacle);
		this.#factory = factory;
		if (!(await this.#ledger.step(moveId, undefined, "receiving"))) {
			this.#moveId = undefined; // not ours to decline
			throw new MoveError("refused", `the move '${moveId}' is already known here`);
		}
		const missing = this.#factory.missing(layout);
		this.#enter(
			missing.length === 0 ? { name: "setting-up" } : { name: "collecting", layout, missing: new Set(missing) },
		);
		await this.#send(this.#welcome(missing));
		if (missing.length === 0) await this.#setUp();
	}

	async #onRecord(record: Record, frame: IncomingFrame): Promise<void> {
		const { state, action } = stepTarget(this.#state, record);
		this.#enter(state);
		await this.#act(action, frame);
	}

	async #act(action: TargetAction, frame: IncomingFrame): Promise<void> {
		switch (action.do) {
			case "nothing":
				return;
			case "collect":
				return this.#collect(action.record, action.complete);
			case "apply":
				return this.#arriving!.apply(action.record, frame);
			case "grow":
				return this.#arriving!.grow(action.pageCount);
			case "keep-missing":
				return this.#arriving!.keepMissing(action.record);
			case "keep-state":
				return this.#arriving!.keepState(action.record);
			case "verify":
				return this.#verify(action.record);
			case "activate":
				return this.#activate();
		}
	}

	async #collect(record: RecordOf<"resource">, complete: boolean): Promise<void> {
		await this.#resources!.collect(record, complete);
		if (complete && this.#state.name === "setting-up") await this.#setUp();
	}

	async #setUp(): Promise<void> {
		const { clock } = this.#services;
		const stop = { cancel: this.#options.signal, peer: this.#link.ended };
		// A set-up that finishes after the source has gone is discarded there and then.
		const prepared = await withDeadline(clock, stop, async (signal) => {
			const options = { faulting: this.#faulting, checkpointed: this.#checkpoints !== undefined };
			const target = await this.#factory!.setUp(this.#layout!, this.#resources!.byHash, signal, options);
			if (signal.aborted) await target.guest.discard();
			return target;
		});
		this.#guest = prepared.guest;
		if (this.#faulting && !isFaultingGuest(prepared.guest))
			throw new MoveError("refused", `this target's ${prepared.guest.kind} guests cannot run while pages are missing`);
		if (this.#checkpoints !== undefined && !isGatedGuest(prepared.guest))
			throw new MoveError("refused", `this target's ${prepared.guest.kind} guests cannot hold their output`);
		this.#setupMs = prepared.setupMs;
		this.#resources = undefined;
		this.#arriving = new ArrivingPages(prepared.guest, this.#layout!.pageCount);
		this.#enter(preparedTarget(this.#state, this.#layout!.pageCount, this.#faulting));
		await this.#send({ type: "prepared", setupMs: prepared.setupMs });
	}

	async #verify(record: Extract<Record, { type: "digest" }>): Promise<void> {
		await this.#install(record);
		if (!(await this.#ledger.step(this.#moveId!, "receiving", "ready")))
			throw new MoveError("peer", "the move was declined when it was asked about");
		this.#enter(verifiedTarget(this.#state));
		await this.#send({ type: "ready" });
	}

	/** Compares what came, then gives the guest its state, and what it has to wait for. On return it is as it will run. */
	async #install(record: Extract<Record, { type: "digest" }>): Promise<void> {
		const guest = this.#guest!;
		const arriving = this.#arriving!;
		if (!this.#faulting || !isFaultingGuest(guest) || guest.faulting.inOrder !== true) {
			await arriving.check(record);
			await guest.state.restore(arriving.state);
			await this.#prepareFaults();
			return;
		}
		// A worker's answers are not waited for one by one: on a busy machine each costs a wake-up on both sides. Before `ready` all of
		// them are here; whatever fails first discards the guest, as ever.
		const told = Promise.all([guest.state.restore(arriving.state), this.#prepareFaults()]);
		told.catch(() => undefined); // a failed comparison goes first
		await arriving.check(record);
		await told;
	}

	/** Tells a guest that was set up for it what it has to wait for, or that it need not wait at all. */
	async #prepareFaults(): Promise<void> {
		const guest = this.#guest!;
		if (!this.#faulting || !isFaultingGuest(guest)) return;
		const { missing, hashes } = this.#arriving!;
		if (missing === undefined) return guest.faulting.end();
		const { stallMs = STALL_MS, heldOutputBytes = HELD_OUTPUT_BYTES } = this.#options;
		const { clock } = this.#services;
		if (this.#checkpoints !== undefined && isGatedGuest(guest))
			this.#protection = new Protection(guest, clock, this.#checkpoints, heldOutputBytes);
		const protection = this.#protection;
		const checkpoints = protection === undefined ? {} : { onCommitted: (epoch: number) => protection.committed(epoch) };
		this.#client = new PageClient({ guest, clock, hashes, stallMs, ...checkpoints }, missing);
		await this.#client.begin();
		await protection?.begin();
	}

	async #activate(): Promise<void> {
		const { lease } = this.#services;
		if (lease !== undefined) {
			this.#grant = await acquireLease(this.#asking(lease));
			if (this.#grant === undefined) throw new MoveError("lease", "somebody else holds the lease");
		}
		if (!(await this.#ledger.step(this.#moveId!, "ready", "running")))
			throw new MoveError("peer", "the move was declined before go arrived");
		try {
			await this.#guest!.resume();
		} catch (cause) {
			await this.#guest!.discard();
			await this.#ledger.step(this.#moveId!, "running", "declined");
			throw new MoveError("guest", `the verified guest could not be started: ${String(cause)}`, { cause });
		}
	}

	/** Leaves nothing behind, and says why as far as the link still carries it. */
	async #discard(error: MoveError): Promise<ReceiveResult> {
		const { clock, lease } = this.#services;
		if (this.#moveId !== undefined) {
			const from = this.#state.name === "ready" || this.#state.name === "running" ? "ready" : "receiving";
			await this.#ledger.step(this.#moveId, from, "declined").catch(() => false); // a dead store: `ready` never becomes `running`
		}
		if (lease !== undefined && this.#grant !== undefined) await releaseLease(this.#asking(lease), this.#grant);
		await this.#guest?.discard().catch(() => undefined); // a crashed guest is gone already
		const farewell = withDeadline(clock, { deadlineMs: FAREWELL_MS }, async () => {
			await this.#send(lastWord(error));
			await this.#link.close();
		});
		await farewell.catch(() => undefined); // the source is gone, or will find out by its own deadline
		this.#link.abort(error);
		return { outcome: "discarded", moveId: this.#moveId, error };
	}

	#asking(lease: Lease): LeaseAsking {
		const answerMs = Math.min(this.#options.readyMs ?? READY_MS, LEASE_ANSWER_MS);
		return { lease, clock: this.#services.clock, answerMs };
	}

	#send(record: Record): Promise<void> {
		return this.#link.send(encodeRecord(record));
	}

	#enter(state: TargetState): void {
		if (state.name !== this.#state.name) this.#options.onState?.(state.name);
		this.#state = state;
	}
}

/** How the source hears of it. */
function lastWord(error: MoveError): Record {
	const { code, message, pageIndex } = error;
	if (code === "refused") return { type: "refuse", code, message };
	if (code !== "corrupt") return { type: "abort", code, message };
	return { type: "reject", code, message, ...(pageIndex === undefined ? {} : { pageIndex }) };
}
