/**
 * Live Migration Save (VNsnap's way for one machine): the rounds of pre-copy to a keeper on another host, which writes what
 * comes into its store. The guest stays here and runs on. And the cheaper way that Live Save proposes instead: a snapshot
 * that is finished here is sent to a keeper only when somebody asks for it.
 *
 *   offer ─▶ welcome ─▶ resource* ─▶ prepared ─▶ (live rounds, pause, final round) ─▶ state, digest ─▶ kept
 *
 * Guarantee: `kept` comes only when the snapshot is durable at the keeper. When the link is lost before the digest has left,
 * there is none; after that this side cannot know, and says so (`unconfirmed`). In either case the guest runs on.
 *
 * Source: spec section 2 (Chuang and Huang, sections 2.5 and 3.1). The keeper's side is `keeper.ts`, the records are in
 * docs/protocol.md, section 3.3.
 */
import { Conversation } from "../handover/conversation.ts";
import { MoveError } from "../handover/move-error.ts";
import { withDeadline } from "../handover/phases.ts";
import type { DirtyFrequencyReading } from "../policies/adaptive-iterations.ts";
import { type ConvergencePolicy, downtimeConvergence, firstOf, xenConvergence } from "../policies/convergence.ts";
import type { PacingPolicy } from "../policies/pacing.ts";
import type { Clock } from "../ports/clock.ts";
import type { Guest, PageBatch } from "../ports/guest.ts";
import type { Link } from "../ports/link.ts";
import { MAX_CHUNK_BYTES } from "../wire/limits.ts";
import { PROTOCOL_VERSIONS } from "../wire/link-records.ts";
import type { Verification } from "../wire/records.ts";
import { generationOf } from "./generation.ts";
import { improvedPlan, livePlan } from "./live-save.ts";
import { onePerGuest, pausedPlan } from "./save.ts";
import { SaveError, toSaveError } from "./save-error.ts";
import type { SaveTechnique } from "./save-metrics.ts";
import {
	DEFAULT_SAVE_DEADLINES,
	runSave,
	type SaveDestination,
	type Saved,
	type SaveEnd,
	type SaveOptions,
	type SavePlan,
	type SaveSink,
	type SaveStart,
} from "./saving.ts";
import type { SnapshotReader } from "./store-reader.ts";

/** What a save to a keeper works with. */
export interface SaveToServices {
	readonly guest: Guest;
	/** An open link to a side that runs {@link keepSnapshots}. The save owns it from here on and closes it. */
	readonly link: Link;
	readonly clock: Clock;
}

/** How to save to a keeper. */
export interface SaveToOptions extends SaveOptions {
	/** `live-save` if left out. */
	readonly technique?: SaveTechnique;
	/** Of live techniques but the improved one: as for pre-copy moves (300 ms of expected downtime, Xen's limits) if left out. */
	readonly convergence?: ConvergencePolicy;
	readonly pacing?: PacingPolicy;
	/** Of the improved technique: see `improvedLiveSave`. */
	readonly reading?: DirtyFrequencyReading;
	/** Of `save`: leaves the guest paused once the snapshot is durable. */
	readonly stayPaused?: boolean;
}

/** A snapshot that is in a keeper's store. */
export interface KeptSnapshot {
	/** Its id there. */
	readonly id: string;
	readonly digest: string;
	readonly pageCount: number;
}

/**
 * Saves a guest to a keeper.
 *
 * @throws {SaveError}; the guest runs on. TypeError when another save of this guest is under way.
 *
 * @example
 * ```ts
 * import { MemoryGuest } from "../guests/memory/memory-guest.ts";
 * import { MemoryStore } from "../lab/memory-store.ts";
 * import { SeededRandom } from "../lab/seeded-random.ts";
 * import { openLinkPair } from "../links/open-link.ts";
 * import { systemClock as clock } from "../platform/system-clock.ts";
 * import { keepSnapshots } from "./keeper.ts";
 * import { saveTo } from "./save-to.ts";
 * import { SnapshotStore } from "./store.ts";
 * const random = new SeededRandom(1);
 * const [link, incoming] = openLinkPair();
 * const keeper = keepSnapshots({ link: incoming, store: new SnapshotStore(new MemoryStore(), { clock, random }), clock });
 * const { snapshot } = await saveTo({ guest: new MemoryGuest({ pageCount: 64 }), link, clock });
 * console.log(snapshot.id); // in the keeper's store
 * await keeper;
 * ```
 */
export async function saveTo(services: SaveToServices, options: SaveToOptions = {}): Promise<Saved<KeptSnapshot>> {
	const { guest, link, clock } = services;
	let hasBegun = false;
	const destination = keeperDestination(guest, link, clock, options.label);
	const watched: typeof destination = {
		begin(start, signal) {
			hasBegun = true;
			return destination.begin(start, signal);
		},
	};
	try {
		return await onePerGuest(guest, () => runSave(planOf(options), { guest, clock, destination: watched }, options));
	} finally {
		// Whatever failed before the first word: the link is closed in order, and the keeper hears of no snapshot.
		if (!hasBegun) await new KeeperTalk(link, clock, FAREWELL_MS).close();
	}
}

/** How long a last word may take, in ms: the keeper finds out by its own deadline. */
const FAREWELL_MS = 1000;

/** How a snapshot is sent. */
export interface SendSnapshotOptions {
	readonly signal?: AbortSignal;
	/** Longest wait for one record to leave and for the keeper's answers, in ms; 60 s if left out. */
	readonly stallMs?: number;
	readonly onProgress?: (progress: {
		readonly sentPages: number;
		readonly pages: number;
		readonly fraction: number;
	}) => void;
}

/**
 * Sends a finished snapshot to a keeper, as it lies in the store: nothing is compressed again. The link is closed afterwards.
 *
 * @throws {SaveError}: the snapshot is here as before.
 *
 * @example
 * ```ts
 * import { MemoryGuest } from "../guests/memory/memory-guest.ts";
 * import { MemoryStore } from "../lab/memory-store.ts";
 * import { SeededRandom } from "../lab/seeded-random.ts";
 * import { openLinkPair } from "../links/open-link.ts";
 * import { systemClock as clock } from "../platform/system-clock.ts";
 * import { keepSnapshots } from "./keeper.ts";
 * import { save } from "./save.ts";
 * import { sendSnapshot } from "./save-to.ts";
 * import { SnapshotStore } from "./store.ts";
 * const random = new SeededRandom(1);
 * const [link, incoming] = openLinkPair();
 * const keeper = keepSnapshots({ link: incoming, store: new SnapshotStore(new MemoryStore(), { clock, random }), clock });
 * const store = new SnapshotStore(new MemoryStore(), { clock, random });
 * const { snapshot: here } = await save({ guest: new MemoryGuest({ pageCount: 64 }), store, clock });
 * const there = await sendSnapshot({ snapshot: await store.open(here.id), link, clock });
 * console.log(here.digest === there.digest);
 * await keeper;
 * ```
 */
export async function sendSnapshot(
	services: { readonly snapshot: SnapshotReader; readonly link: Link; readonly clock: Clock },
	options: SendSnapshotOptions = {},
): Promise<KeptSnapshot> {
	const { snapshot, link, clock } = services;
	const { signal: cancel, stallMs = DEFAULT_SAVE_DEADLINES.commitMs } = options;
	const talk = new KeeperTalk(link, clock, stallMs);
	const within = <T>(work: (signal: AbortSignal) => Promise<T>): Promise<T> =>
		withDeadline(clock, { cancel, deadlineMs: stallMs }, work);
	try {
		await within((signal) => talk.offer(offerOf(snapshot), (hash) => snapshot.resource(hash), signal));
		await sendPages(snapshot, talk, options, within);
		const { digest, pageCount, facts } = snapshot.info;
		const kept = await within(() => talk.finish({ state: snapshot.state(), digest, pageCount, facts }));
		await talk.close();
		options.onProgress?.({ sentPages: snapshot.info.storedPages, pages: snapshot.info.storedPages, fraction: 1 });
		return kept;
	} catch (cause) {
		const error = toSaveError(cause, undefined, cancel);
		await talk.giveUp(error);
		throw talk.isAsked && error.code !== "unconfirmed" && !talk.isAnswered ? unconfirmed(error) : error;
	}
}

async function sendPages(
	snapshot: SnapshotReader,
	talk: KeeperTalk,
	{ signal, onProgress }: SendSnapshotOptions,
	within: (work: () => Promise<void>) => Promise<void>,
): Promise<void> {
	const pages = snapshot.info.storedPages;
	let sentPages = 0;
	for await (const batch of snapshot.batches(signal === undefined ? {} : { signal })) {
		await within(() => talk.conversation.send({ type: "batch", batch }));
		sentPages += new DataView(batch.bytes.buffer, batch.bytes.byteOffset).getUint32(0, true);
		onProgress?.({ sentPages, pages, fraction: Math.min(0.99, sentPages / pages) });
	}
}

function planOf({
	technique = "live-save",
	convergence,
	pacing,
	reading,
	stayPaused = false,
}: SaveToOptions): SavePlan {
	const paced = pacing === undefined ? {} : { pacing };
	switch (technique) {
		case "save":
			return pausedPlan({ stayPaused });
		case "improved-live-save":
			return improvedPlan({ ...paced, ...(reading === undefined ? {} : { reading }) });
		case "live-save":
			return livePlan({ ...paced, convergence: convergence ?? firstOf(downtimeConvergence(), xenConvergence()) });
	}
}

/** What a keeper is offered. */
interface Offer {
	readonly layout: SaveStart["layout"];
	readonly technique: string;
	readonly verification: Verification;
	readonly facts: SaveStart["facts"];
	readonly label?: string | undefined;
	readonly generation?: string | undefined;
}

function offerOf({ info, layout }: SnapshotReader): Offer {
	const verification = info.facts.verification === "full" ? "full" : "transport";
	return { layout, technique: "send", verification, facts: info.facts, label: info.label, generation: info.generation };
}

/** A keeper as the destination of a save. */
function keeperDestination(
	guest: Guest,
	link: Link,
	clock: Clock,
	label: string | undefined,
): SaveDestination<KeptSnapshot> {
	return {
		async begin(start: SaveStart, signal: AbortSignal): Promise<SaveSink<KeptSnapshot>> {
			const talk = new KeeperTalk(link, clock, DEFAULT_SAVE_DEADLINES.commitMs);
			let hasBegun = false;
			// A send that is stuck does not hear of it: the link must not outlive the save.
			signal.addEventListener("abort", () => hasBegun || void talk.giveUp(signal.reason), { once: true });
			try {
				const offer = { ...start, label, generation: generationOf(guest) };
				await talk.offer(offer, (hash) => guest.state.resource(hash), signal);
				hasBegun = true;
			} catch (error) {
				await talk.giveUp(error);
				throw error;
			}
			return {
				accept: (batch: PageBatch) => talk.send(() => talk.conversation.sendBatch(batch)),
				grow: (pageCount: number) => talk.send(() => talk.conversation.send({ type: "layout", pageCount })),
				async commit(end: SaveEnd) {
					const kept = await talk.finish(end);
					await talk.close();
					return kept;
				},
				abort: (reason: unknown) => talk.giveUp(reason),
			};
		},
	};
}

/** This side's words to a keeper. */
class KeeperTalk {
	readonly conversation: Conversation;
	readonly #link: Link;
	readonly #clock: Clock;
	readonly #farewellMs: number;
	/** Whether the digest may have left: from here on the keeper may have the snapshot. */
	isAsked = false;
	/** Whether the keeper has said what became of it. */
	isAnswered = false;

	constructor(link: Link, clock: Clock, farewellMs: number) {
		this.#link = link;
		this.#clock = clock;
		this.#farewellMs = farewellMs;
		this.conversation = new Conversation(link);
	}

	/** Offers a snapshot, and sends the code that the keeper lacks. Resolves when it is ready for pages. */
	async offer(
		{ label, generation, ...offer }: Offer,
		resource: (hash: string) => Promise<Uint8Array<ArrayBuffer> | undefined>,
		signal: AbortSignal,
	): Promise<void> {
		const { conversation } = this;
		await conversation.send({
			type: "offer",
			protocol: PROTOCOL_VERSIONS,
			windowBytes: conversation.windowBytes,
			...offer,
			...(label === undefined ? {} : { label }),
			...(generation === undefined ? {} : { generation }),
		});
		const { missing } = await conversation.expect("welcome", signal);
		for (const hash of missing) {
			const known = offer.layout.resources.some((fact) => fact.hash === hash);
			const bytes = known ? await resource(hash) : undefined;
			if (bytes === undefined)
				throw new SaveError("protocol", `the keeper asks for code that this guest does not have: ${hash}`);
			for (const [offset, piece] of pieces(bytes))
				await conversation.send({ type: "resource", hash, offset, total: bytes.byteLength, bytes: piece });
		}
		await conversation.expect("prepared", signal);
	}

	/** Sends something, unless the keeper has given up already. */
	async send(work: () => Promise<void>): Promise<void> {
		this.conversation.failed.throwIfAborted();
		await work();
	}

	/** State and digest; resolves when the keeper has the snapshot durably. @throws {SaveError} `unconfirmed` */
	async finish({ state, digest, pageCount }: SaveEnd): Promise<KeptSnapshot> {
		const { conversation } = this;
		for (const [offset, bytes] of pieces(state))
			await this.send(() => conversation.send({ type: "state", offset, total: state.byteLength, bytes }));
		conversation.failed.throwIfAborted();
		this.isAsked = true;
		try {
			await conversation.send({ type: "digest", digest, pageCount, stateByteLength: state.byteLength });
			const { snapshotId } = await conversation.expect("kept", new AbortController().signal);
			this.isAnswered = true;
			return { id: snapshotId, digest, pageCount };
		} catch (error) {
			// What the keeper has said itself is certain. Only it knows what became of anything else.
			this.isAnswered = error instanceof MoveError && (error.code === "peer" || error.code === "corrupt");
			if (this.isAnswered) throw error;
			throw unconfirmed(error);
		}
	}

	async close(): Promise<void> {
		const closing = withDeadline(this.#clock, { deadlineMs: this.#farewellMs }, () => this.conversation.close());
		await closing.catch(() => this.#link.abort(undefined));
	}

	/** Says so, as far as the link still carries it. */
	async giveUp(reason: unknown): Promise<void> {
		const message = reason instanceof Error ? reason.message : "the snapshot was given up";
		const word = reason instanceof MoveError ? reason : new MoveError("cancelled", message, { cause: reason });
		await withDeadline(this.#clock, { deadlineMs: FAREWELL_MS }, () => this.conversation.giveUp(word)).catch(
			() => undefined,
		); // the keeper finds out by its own deadline
		this.#link.abort(word);
	}
}

function unconfirmed(cause: unknown): SaveError {
	const words = cause instanceof Error ? cause.message : String(cause);
	const message = `${words}: the keeper may have the snapshot, list its store; the guest runs on`;
	return new SaveError("unconfirmed", message, { phase: "commit", cause });
}

/** Pieces of what has to be cut, with their offsets; one empty piece for no bytes. */
function* pieces(bytes: Uint8Array<ArrayBuffer>): Generator<[number, Uint8Array<ArrayBuffer>]> {
	for (let offset = 0; offset === 0 || offset < bytes.byteLength; offset += MAX_CHUNK_BYTES)
		yield [offset, bytes.subarray(offset, offset + MAX_CHUNK_BYTES)];
}
