/**
 * A keeper: takes snapshots of guests that run elsewhere into its store, over a link.
 *
 * Guarantee: a snapshot is acknowledged only when it is durable and visible in the store; every page's contents are verified
 * before they are written, and pages, state and size are compared with the source's digest before anything is visible. When
 * the link is lost after that, the snapshot is there all the same. Anything else that goes wrong leaves nothing behind.
 *
 * What comes is hostile: the order of records is judged by `keeper-states.ts` alone, sizes by the wire's and the store's
 * limits, and one link has one snapshot under way.
 *
 * Source: spec section 2 (VNsnap's daemon). The other side is `save-to.ts`; docs/protocol.md, section 3.3.
 */
import { BatchDecoder, BatchError } from "../engine/batch.ts";
import { createEngine, type Engine } from "../engine/engine.ts";
import { MoveError } from "../handover/move-error.ts";
import { toMoveError, withDeadline } from "../handover/phases.ts";
import type { Clock } from "../ports/clock.ts";
import { type IncomingFrame, type Link, LinkError } from "../ports/link.ts";
import { MAX_STATE_BYTES } from "../wire/limits.ts";
import { PROTOCOL_VERSIONS } from "../wire/link-records.ts";
import { decodeRecord, encodeRecord, type OfferRecord, type Record } from "../wire/records.ts";
import { SnapshotError } from "./image-error.ts";
import { begunKeeper, type KeeperAction, type KeeperState, stepKeeper } from "./keeper-states.ts";
import type { SaveError } from "./save-error.ts";
import { toSaveError } from "./save-error.ts";
import type { SnapshotStore } from "./store.ts";
import type { SnapshotInfo } from "./store-info.ts";
import type { SnapshotWriter } from "./store-writer.ts";

/** What a keeper works with. */
export interface KeeperServices {
	/** An incoming link. The keeper owns it from here on and closes it. */
	readonly link: Link;
	readonly store: SnapshotStore;
	readonly clock: Clock;
}

/** How a keeper behaves. */
export interface KeeperOptions {
	readonly signal?: AbortSignal;
	/** Longest silence of a source, in ms: 30 s if left out. */
	readonly idleMs?: number;
	/** Why a snapshot is not taken (too large, unknown guest, no room for its label); `undefined`: it is. */
	readonly refuse?: (offer: OfferRecord) => string | undefined;
	readonly onSnapshot?: (snapshot: SnapshotInfo) => void;
}

/** What came over one link. */
export interface KeeperResult {
	/** Snapshots that are in the store now, in the order in which they came. */
	readonly snapshots: readonly SnapshotInfo[];
	/** Why it ended, unless the source closed the link between two snapshots. What it was in the middle of is not there. */
	readonly error: SaveError | undefined;
}

const IDLE_MS = 30_000;
const FAREWELL_MS = 1000;

/**
 * Serves one incoming link until its source closes it.
 *
 * @returns what was kept; failures are in the result, never thrown.
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
 * const store = new SnapshotStore(new MemoryStore(), { clock, random: new SeededRandom(1) });
 * const [source, link] = openLinkPair();
 * void saveTo({ guest: new MemoryGuest({ pageCount: 64 }), link: source, clock });
 * const { snapshots } = await keepSnapshots({ link, store, clock });
 * if (snapshots.length !== 1) throw new Error("nothing was kept");
 * ```
 */
export function keepSnapshots(services: KeeperServices, options: KeeperOptions = {}): Promise<KeeperResult> {
	return new Keeper(services, options).run();
}

class Keeper {
	readonly #services: KeeperServices;
	readonly #options: KeeperOptions;
	readonly #engine: Engine = createEngine();
	readonly #decoder: BatchDecoder;
	readonly #snapshots: SnapshotInfo[] = [];
	#state: KeeperState = { name: "waiting" };
	#writer: SnapshotWriter | undefined;
	#offer: OfferRecord | undefined;
	#bytes: Uint8Array<ArrayBuffer> = new Uint8Array(0);
	/** A snapshot is in the store, and the source has not been told. */
	#isUnsaid = false;

	constructor(services: KeeperServices, options: KeeperOptions) {
		this.#services = services;
		this.#options = options;
		this.#decoder = new BatchDecoder(this.#engine);
	}

	async run(): Promise<KeeperResult> {
		try {
			for (;;) await this.#take();
		} catch (error) {
			return await this.#end(error);
		} finally {
			this.#engine.dispose();
		}
	}

	async #take(): Promise<void> {
		const { link, clock } = this.#services;
		const { idleMs: deadlineMs = IDLE_MS, signal: cancel } = this.#options;
		const frame = await withDeadline(clock, { deadlineMs, cancel }, () => link.receive());
		try {
			const record = readRecord(frame);
			if (record === undefined) return;
			const { state, action } = stepKeeper(this.#state, record);
			this.#state = state;
			await this.#act(action);
			cancel?.throwIfAborted();
		} finally {
			frame.release();
		}
	}

	async #act(action: KeeperAction): Promise<void> {
		switch (action.do) {
			case "nothing":
				return;
			case "begin":
				return this.#begin(action.record);
			case "collect":
				return this.#collect(action.record, action.complete);
			case "take": {
				// A page's hash says nothing of its place, the checksum says that the table is as it was sent: both are compared.
				const { bytes, checksum } = action.record.batch;
				const pageCount = this.#writer!.pageCount;
				this.#decoder.decode(bytes, { pageCount, checksum });
				return this.#writer!.accept(action.record.batch);
			}
			case "grow":
				return this.#writer!.grow(action.pageCount);
			case "keep-state":
				return this.#keepPiece(action.record, MAX_STATE_BYTES);
			case "commit":
				return this.#commit(action.record.digest);
		}
	}

	async #begin(offer: OfferRecord): Promise<void> {
		const { store } = this.#services;
		const refusal = this.#options.refuse?.(offer);
		if (refusal !== undefined) throw new MoveError("refused", refusal);
		const { layout, label, generation } = offer;
		this.#offer = offer;
		this.#writer = await store.begin({
			layout,
			...(label === undefined ? {} : { label }),
			...(generation === undefined ? {} : { generation }),
		});
		const missing = this.#writer.missingResources;
		this.#state = begunKeeper(layout.pageCount, missing);
		const protocol = PROTOCOL_VERSIONS.max;
		await this.#send({ type: "welcome", protocol, windowBytes: this.#services.link.windowBytes, missing });
		if (missing.length === 0) await this.#send({ type: "prepared", setupMs: 0 });
	}

	async #collect(record: Extract<Record, { type: "resource" }>, complete: boolean): Promise<void> {
		const { hash, total } = record;
		const announced = this.#offer!.layout.resources.find((resource) => resource.hash === hash)?.byteLength;
		if (total !== announced)
			throw new MoveError("protocol", `code ${hash} has ${total} bytes, announced were ${announced}`);
		this.#keepPiece(record, total);
		if (!complete) return;
		try {
			await this.#writer!.addResource(hash, this.#bytes);
		} catch (cause) {
			if (!(cause instanceof RangeError)) throw cause;
			throw new MoveError("corrupt", `code ${hash} is not what its hash says`, { cause });
		}
		if (this.#state.name === "receiving") await this.#send({ type: "prepared", setupMs: 0 });
	}

	#keepPiece(record: Extract<Record, { type: "resource" | "state" }>, limit: number): void {
		if (record.total > limit) throw new MoveError("protocol", `${record.total} bytes, at most ${limit} are taken`);
		if (record.offset === 0) this.#bytes = new Uint8Array(record.total);
		this.#bytes.set(record.bytes, record.offset);
	}

	async #commit(digest: string): Promise<void> {
		const { facts } = this.#offer!;
		const snapshot = await this.#writer!.commit({ state: this.#bytes, digest, facts });
		this.#writer = undefined;
		this.#snapshots.push(snapshot);
		this.#state = { name: "waiting" };
		// Said before anything else can go wrong, and whoever stops the keeper meanwhile: the source must not believe otherwise.
		this.#isUnsaid = true;
		await this.#send({ type: "kept", snapshotId: snapshot.id }, "whoever cancels");
		this.#isUnsaid = false;
		this.#options.onSnapshot?.(snapshot);
	}

	/** Removes what was begun, and says why as far as the link still carries it, and as far as that is certain. */
	async #end(cause: unknown): Promise<KeeperResult> {
		const { link, clock } = this.#services;
		const isCommitting = this.#state.name === "committing";
		// What is left is garbage that a prune removes; but a commit that has failed and cannot be given up may still be there.
		const isGivenUp = await (this.#writer?.abort() ?? Promise.resolve()).then(
			() => true,
			() => false,
		);
		const isCertain = !this.#isUnsaid && (isGivenUp || !isCommitting);
		if (this.#state.name === "waiting" && cause instanceof LinkError && cause.code === "closed")
			return { snapshots: this.#snapshots, error: undefined };
		const farewell = withDeadline(clock, { deadlineMs: FAREWELL_MS }, async () => {
			if (!isCertain) return; // the source hears nothing, and takes it as unconfirmed
			await link.send(encodeRecord(lastWord(cause, this.#options.signal)));
			await link.close();
		});
		await farewell.catch(() => undefined); // the source is gone, or finds out by its own deadline
		const error = toSaveError(cause, undefined, this.#options.signal);
		link.abort(error);
		return { snapshots: this.#snapshots, error };
	}

	#send(record: Record, despite?: "whoever cancels"): Promise<void> {
		const { link, clock } = this.#services;
		const cancel = despite === undefined ? this.#options.signal : undefined;
		const limits = { deadlineMs: this.#options.idleMs ?? IDLE_MS, cancel };
		return withDeadline(clock, limits, () => link.send(encodeRecord(record)));
	}
}

function readRecord(frame: IncomingFrame): Record | undefined {
	const record = decodeRecord(frame);
	if (record?.type === "abort") throw new MoveError("peer", `the source gave up (${record.code}): ${record.message}`);
	return record;
}

function lastWord(cause: unknown, cancel: AbortSignal | undefined): Record {
	if (cause instanceof SnapshotError && cause.code !== "digest")
		return { type: "abort", code: cause.code, message: cause.message };
	const isWrong = cause instanceof BatchError || cause instanceof SnapshotError;
	const { code, message } = toMoveError(cause, undefined, cancel);
	if (code === "refused") return { type: "refuse", code, message };
	if (!isWrong && code !== "corrupt") return { type: "abort", code, message };
	const pageIndex = isWrong ? cause.pageIndex : undefined;
	return { type: "reject", code: "corrupt", message, ...(pageIndex === undefined ? {} : { pageIndex }) };
}
