/**
 * The target of a post-copy move after *go*: the guest runs here, and what it lacks comes over the link.
 *
 *   running ──▶ complete      every page is here, and the source says that they are its own
 *     │ │ └───▶ corrupt       some are not: reported, cannot be undone; the guest runs with them
 *     │ └─ link lost ──▶ interrupted ──recover──▶ (running)   the guest waits only where it touches a missing page
 *     │                       └────abandon──▶ lost            the source will never come back: the caller decides
 *     └─ lease lost ─▶ fenced                                 with checkpoints: somebody else may run the guest
 */
import type { CheckpointFigures } from "../epochs/checkpoint-loop.ts";
import { MoveError } from "../handover/move-error.ts";
import { holdPaused } from "../handover/pause-turn.ts";
import { toMoveError, withDeadline } from "../handover/phases.ts";
import { countPages } from "../paging/missing-record.ts";
import type { PageClient } from "../paging/page-client.ts";
import { zeroBatches } from "../paging/zero-fill.ts";
import type { Clock } from "../ports/clock.ts";
import type { FaultingGuest, FaultReport } from "../ports/faulting-guest.ts";
import type { PageBits } from "../ports/guest.ts";
import type { LeaseGrant } from "../ports/lease.ts";
import type { Link } from "../ports/link.ts";
import { decodeRecord } from "../wire/records.ts";
import type { Protection } from "./protection.ts";

/** How paging ended, or why it cannot go on. */
export type PagingEnd =
	/** Every page is here and verified; the guest runs as if it had always been here. */
	| { readonly outcome: "complete" }
	/** Every page is here, and some are not the source's. */
	| { readonly outcome: "corrupt"; readonly pageIndices: readonly number[]; readonly corruptPages: number }
	/** The link is gone: the guest runs on and waits where it touches what is missing. */
	| {
			readonly outcome: "interrupted";
			readonly error: MoveError;
			readonly missing: PageBits;
			readonly missingPages: number;
	  }
	/**
	 * The lease has ended, so that the source may have revived the guest: it is paused here for good, and what it said since
	 * the last checkpoint that the source has is dropped.
	 */
	| { readonly outcome: "fenced"; readonly missing: PageBits; readonly missingPages: number }
	/** The caller has given the source up: these pages are lost. */
	| { readonly outcome: "lost"; readonly missing: PageBits; readonly missingPages: number };

/** What {@link ReceivedPages} works with. */
interface ReceivedPagesServices {
	readonly moveId: string;
	readonly guest: FaultingGuest;
	readonly clock: Clock;
	readonly client: PageClient;
	/** Where a recovery finds this reception. */
	readonly receptions: Map<string, ReceivedPages> | undefined;
	/** Where the guest's changes go back to the source. */
	readonly protection: Protection | undefined;
}

/** How long a last word may take, in ms. */
const FAREWELL_MS = 10_000;
/** A guest that has lost its lease is waited for as long as its call takes: a day, in ms. */
const FOREVER_MS = 86_400_000;

/** The target's hold on a guest whose pages are still coming. Part of what `receiveGuest` returns. */
export class ReceivedPages {
	readonly #services: ReceivedPagesServices;
	#ended: Promise<PagingEnd>;
	#link: Link | undefined;
	#over = false;
	#fenced = false;

	/** Starts to take pages from the move's own link. */
	constructor(services: ReceivedPagesServices, link: Link) {
		this.#services = services;
		services.receptions?.set(services.moveId, this);
		this.#ended = this.#run(link, false);
	}

	/** The move that the guest came by. */
	get moveId(): string {
		return this.#services.moveId;
	}

	/** Pages that are not here yet. */
	get missingPages(): number {
		return this.#services.client.missingPages;
	}

	/** Which pages are not here yet. A copy. */
	get missing(): PageBits {
		return this.#services.client.missing;
	}

	/** Pages that came again after they had been installed; they changed nothing. */
	get duplicatePages(): number {
		return this.#services.client.duplicates;
	}

	/** What checkpoints have cost so far; undefined where none go back to the source. */
	get checkpoints(): CheckpointFigures | undefined {
		return this.#services.protection?.figures;
	}

	/** The lease as it was renewed last, where checkpoints go back: while they do it is renewed here. */
	get grant(): LeaseGrant | undefined {
		return this.#services.protection?.grant;
	}

	/** What the guest has felt so far. */
	get faultReport(): FaultReport {
		return this.#services.guest.faulting.faultReport();
	}

	/** How paging over the present link ends. Never rejects. */
	get ended(): Promise<PagingEnd> {
		return this.#ended;
	}

	/**
	 * Goes on over another link, whose first record says so. A link that is still in use is dropped for it.
	 * @returns how it went on; a failure leaves everything as it was, for another try.
	 */
	async recover(link: Link): Promise<PagingEnd> {
		let epoch: number | undefined;
		try {
			const limits = { deadlineMs: FAREWELL_MS };
			const frame = await withDeadline(this.#services.clock, limits, () => link.receive());
			try {
				const record = decodeRecord(frame);
				if (record?.type !== "recover" || record.moveId !== this.moveId)
					throw new MoveError("protocol", `expected the recovery of the move '${this.moveId}'`);
				epoch = record.epoch;
			} finally {
				frame.release();
			}
		} catch (error) {
			link.abort(error);
			return this.#interrupted(toMoveError(error, "paging", undefined));
		}
		return this.takeOver(link, epoch);
	}

	/**
	 * {@link recover} over a link whose first record has been read: `receiveGuest` routes recoveries here.
	 * @param epoch - the last checkpoint that the source has.
	 */
	takeOver(link: Link, epoch = 0): Promise<PagingEnd> {
		const before = this.#ended;
		this.#link?.abort(new MoveError("link-lost", "another link has taken over"));
		this.#ended = before.then((end) => {
			if (end.outcome === "interrupted") return this.#run(link, true, epoch);
			link.abort(undefined);
			return end;
		});
		return this.#ended;
	}

	/**
	 * The caller's word that the source will never come back.
	 * @param lost - what becomes of the pages that are lost: `discard` gives the guest up, and whatever waits fails; `zeros`
	 *   lets it run on with zeros in their place.
	 * @returns `fenced` for `zeros` where the lease has ended: somebody else may run the guest, and only `discard` is left.
	 */
	async abandon(lost: "discard" | "zeros"): Promise<PagingEnd> {
		const { client, guest, protection } = this.#services;
		const missing = client.missing;
		const end: PagingEnd = { outcome: "lost", missing, missingPages: countPages(missing) };
		this.#settle();
		this.#link?.abort(new MoveError("cancelled", "the caller has given the source up"));
		await this.#ended;
		if (lost === "zeros" && (this.#fenced || protection?.holds === false)) {
			void this.#stopForGood();
			return fencedEnd(client);
		}
		this.#ended = Promise.resolve(end);
		if (lost === "discard") {
			await protection?.fence();
			await guest.discard();
		} else {
			// From the look at the lease to here nothing has been waited for: what is held may leave.
			await protection?.end();
			for (const batch of zeroBatches(missing)) await guest.faulting.install(batch, () => undefined);
			await guest.faulting.end();
		}
		return end;
	}

	/**
	 * The lease is lost: somebody else may run the guest. It stops here, and says nothing any more.
	 * @internal
	 */
	async fence(): Promise<void> {
		if (this.#over) return;
		await this.#stopForGood();
	}

	async #stopForGood(): Promise<void> {
		if (this.#fenced) return;
		const { protection, guest, clock, client } = this.#services;
		this.#fenced = true;
		this.#settle();
		protection?.silence();
		this.#link?.abort(new MoveError("lease", "the lease has ended: the source may run the guest"));
		this.#ended = this.#ended.then(() => fencedEnd(client));
		await this.#ended;
		await protection?.fence();
		// In the middle of a call it stops at the next boundary; what it says until then is held for ever.
		const options = { operation: "a lost lease", clock, deadlineMs: FOREVER_MS };
		await holdPaused(guest, options).catch(() => undefined); // a guest that cannot pause has failed: it runs no more either
	}

	async #run(link: Link, greet: boolean, epoch = 0): Promise<PagingEnd> {
		if (this.#over) {
			link.abort(undefined);
			return this.#interrupted(new MoveError("protocol", "this move's pages are settled"));
		}
		this.#link = link;
		const { protection, client } = this.#services;
		const stop = new AbortController();
		let failure: unknown;
		let protecting: Promise<void> = Promise.resolve();
		try {
			if (epoch > 0) protection?.committed(epoch);
			protecting = (protection?.run(link, stop.signal) ?? protecting).catch((error: unknown) => {
				if (stop.signal.aborted) return; // it was told to stop
				failure = error;
				link.abort(error);
			});
			const end = await client.run(link, greet).finally(async () => {
				stop.abort();
				await protecting;
			});
			if (protection?.holds === false) throw new MoveError("lease", "the lease has ended");
			this.#settle();
			await protection?.end();
			await this.#services.guest.faulting.end();
			const closing = withDeadline(this.#services.clock, { deadlineMs: FAREWELL_MS }, () => link.close());
			await closing.catch(() => link.abort(undefined)); // everything has been said
			if (end.outcome === "complete") return end;
			return { outcome: "corrupt", pageIndices: end.pageIndices, corruptPages: end.pageCount };
		} catch (error) {
			if (this.#fenced) return fencedEnd(client);
			return this.#interrupted(toMoveError(failure ?? error, "paging", undefined));
		} finally {
			this.#link = undefined;
		}
	}

	#interrupted(error: MoveError): PagingEnd {
		const { missing, missingPages } = this.#services.client;
		return { outcome: "interrupted", error, missing, missingPages };
	}

	/** No link can go on with this any more. */
	#settle(): void {
		this.#over = true;
		this.#services.receptions?.delete(this.moveId);
	}
}

function fencedEnd({ missing, missingPages }: PageClient): PagingEnd {
	return { outcome: "fenced", missing, missingPages };
}
