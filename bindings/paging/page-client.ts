/**
 * The target's side of paging: the guest runs here while pages are missing.
 *
 *   guest touches a missing page ──▶ fault, on the urgent lane (once per page and link)
 *   batch ──▶ faulting.install ─ taken ──────▶ taken, on the urgent lane: the source may send more
 *                              └ installed ──▶ noted; the last one: complete
 *
 * Invariants: a page is noted as here when its bytes have been verified and installed, and only then; what a link had not
 * delivered when it was lost is missing still, and is asked for again over the next one. Which records may come when is
 * judged by `client-states.ts` alone.
 */

import { MoveError } from "../handover/move-error.ts";
import { toMoveError } from "../handover/phases.ts";
import type { Clock } from "../ports/clock.ts";
import type { FaultingGuest } from "../ports/faulting-guest.ts";
import type { PageBits } from "../ports/guest.ts";
import type { IncomingFrame, Link } from "../ports/link.ts";
import type { PageHashTable } from "../wire/digest.ts";
import { MAX_CORRUPT_PAGES, MAX_FAULT_PAGES } from "../wire/limits.ts";
import { type BatchRecord, decodeRecord, encodeRecord, type HashesRecord, type Record } from "../wire/records.ts";
import { pagesNamedBy } from "./batch-pages.ts";
import { type ClientState, installedAll, stepClient } from "./client-states.ts";
import { summarizeFaults } from "./fault-figures.ts";
import { countPages, hasPage, missingRecords } from "./missing-record.ts";

/** What a page client works with. */
export interface ClientServices {
	readonly guest: FaultingGuest;
	readonly clock: Clock;
	/** Hashes of what has arrived so far: the client goes on noting. */
	readonly hashes: PageHashTable;
	/** Longest silence of the source, in ms: then the link counts as lost. */
	readonly stallMs: number;
	/** Where changes go back as checkpoints: the source has this one. */
	readonly onCommitted?: (epoch: number) => void;
}

/** How paging ended over a link that held. */
export type ClientEnd =
	| { readonly outcome: "complete" }
	| { readonly outcome: "corrupt"; readonly pageIndices: readonly number[]; readonly pageCount: number };

/** See the head of this file. One per guest; {@link run} it once per link. */
export class PageClient {
	readonly #services: ClientServices;
	readonly #missing: PageBits;
	#missingPages: number;
	/** Pages in batches that are being installed. */
	readonly #arriving = new Set<number>();
	/** Pages that the guest waits for. */
	readonly #awaited = new Set<number>();
	#toAsk: number[] = [];
	#link: Link | undefined;
	#state: ClientState = { name: "paging" };
	#lastNewsMs = 0;
	#duplicates = 0;
	#fail: (error: unknown) => void = () => undefined;
	#finish: (end: ClientEnd) => void = () => undefined;
	readonly #different: number[] = [];

	/** @param missing - the client keeps and changes these bits. */
	constructor(services: ClientServices, missing: PageBits) {
		this.#services = services;
		this.#missing = missing;
		this.#missingPages = countPages(missing);
	}

	/** Pages not yet installed. */
	get missingPages(): number {
		return this.#missingPages;
	}

	/** Which pages are not yet installed. A copy. */
	get missing(): PageBits {
		return this.#missing.slice();
	}

	/** Pages that came again after they had been installed; they changed nothing. */
	get duplicates(): number {
		return this.#duplicates;
	}

	/** Tells the paused guest what is missing. */
	begin(): Promise<void> {
		return this.#services.guest.faulting.begin(this.#missing, (page) => this.#onFault(page));
	}

	/**
	 * Takes pages from a link until all are here and the source has compared them.
	 * @param greet - first says what is missing: the source of a recovered move does not know.
	 * @throws {MoveError} when the link fails; what arrived is kept.
	 */
	async run(link: Link, greet: boolean): Promise<ClientEnd> {
		const stop = new AbortController();
		this.#link = link;
		this.#state = { name: "paging" };
		this.#different.length = 0;
		this.#lastNewsMs = this.#services.clock.now();
		try {
			return await new Promise<ClientEnd>((resolve, reject) => {
				this.#finish = resolve;
				this.#fail = reject;
				this.#start(link, greet).catch(reject);
				this.#watch(link, stop.signal).catch(reject);
			});
		} catch (error) {
			link.abort(error);
			throw toMoveError(error, "paging", undefined);
		} finally {
			if (this.#link === link) this.#link = undefined;
			stop.abort();
		}
	}

	async #start(link: Link, greet: boolean): Promise<void> {
		if (greet) {
			// What is being installed has arrived: only what is neither here nor on its way is owed.
			const owed = this.#missing.slice();
			for (const page of this.#arriving) owed[page >>> 3]! &= ~(1 << (page & 7));
			for (const record of missingRecords(owed, this.#services.hashes.pageCount))
				await link.send(encodeRecord(record), "urgent"); // faults must not overtake it
		}
		this.#toAsk = [...this.#awaited].filter((page) => !this.#arriving.has(page));
		this.#ask();
		this.#completeIfAll();
		while (this.#link === link) await this.#receive(link);
	}

	#onFault(page: number): void {
		// A page that is being installed is no wait for the network.
		if (!hasPage(this.#missing, page)) return;
		this.#awaited.add(page);
		if (this.#arriving.has(page)) return;
		this.#toAsk.push(page);
		if (this.#toAsk.length === 1) void Promise.resolve().then(() => this.#ask());
	}

	/** Asks for the pages noted since the last time. */
	#ask(): void {
		const link = this.#link;
		const pages = this.#toAsk;
		this.#toAsk = [];
		if (link === undefined || pages.length === 0) return; // asked for over the next link
		for (let from = 0; from < pages.length; from += MAX_FAULT_PAGES)
			this.#send(link, {
				type: "fault",
				pageIndices: Uint32Array.from(pages.slice(from, from + MAX_FAULT_PAGES)),
			});
	}

	async #receive(link: Link): Promise<void> {
		const frame = await link.receive();
		let keep = false;
		try {
			const record = decodeRecord(frame);
			if (record === undefined) return;
			if (record.type === "abort")
				throw new MoveError("peer", `the source gave up (${record.code}): ${record.message}`);
			this.#lastNewsMs = this.#services.clock.now();
			const { hashes, onCommitted } = this.#services;
			const { state, action } = stepClient(this.#state, record, hashes.pageCount, onCommitted !== undefined);
			this.#state = state;
			if (action.do === "install") {
				keep = true;
				this.#install(link, action.record, frame);
			} else if (action.do === "commit") onCommitted?.(action.epoch);
			else if (action.do === "compare") this.#compare(link, action.record, action.last);
			else if (action.do === "end") this.#finish({ outcome: "complete" });
		} finally {
			if (!keep) frame.release();
		}
	}

	/** Installs while the next batches are read: the source's window bounds how many. */
	#install(link: Link, { batch }: BatchRecord, frame: IncomingFrame): void {
		const { faulting } = this.#services.guest;
		const pages = pagesNamedBy(batch.bytes);
		for (const page of pages) this.#arriving.add(page);
		let held = true;
		const taken = (): void => {
			if (!held) return;
			held = false;
			frame.release();
			if (pages[0] !== undefined) this.#send(link, { type: "taken", pageIndex: pages[0], pageCount: pages.length });
		};
		const installed = faulting.install(batch, taken).then(({ pageIndices, hashes, duplicates }) => {
			this.#duplicates += duplicates;
			this.#services.hashes.set(pageIndices, hashes);
			for (const page of pageIndices) {
				this.#missing[page >>> 3]! &= ~(1 << (page & 7));
				this.#awaited.delete(page);
			}
			this.#missingPages -= pageIndices.length;
		});
		const settle = (): void => {
			for (const page of pages) this.#arriving.delete(page);
			taken();
		};
		installed
			.then(settle, (error: unknown) => {
				settle();
				throw error;
			})
			.then(
				() => this.#completeIfAll(),
				(cause: unknown) => {
					// Another link than the one that brought the batch is not to blame for it.
					if (this.#link !== link) return;
					const words = cause instanceof Error ? cause.message : String(cause);
					this.#fail(new MoveError("corrupt", `a batch of pages was refused: ${words}`, { cause }));
				},
			);
	}

	#completeIfAll(): void {
		const link = this.#link;
		if (link === undefined || this.#missingPages > 0 || this.#arriving.size > 0 || this.#state.name !== "paging")
			return;
		const { guest, hashes } = this.#services;
		this.#state = installedAll(this.#state);
		this.#lastNewsMs = this.#services.clock.now();
		this.#send(
			link,
			{
				type: "complete",
				digest: hashes.digest(new Uint8Array(0)),
				pageCount: hashes.pageCount,
				report: summarizeFaults(guest.faulting.faultReport()),
			},
			// Behind every `taken`: the source then owes nothing and has nothing under way.
		);
	}

	#compare(link: Link, record: HashesRecord, last: boolean): void {
		this.#different.push(...this.#services.hashes.differences(record.firstPage, record.hashes));
		if (!last) return;
		const pageIndices = this.#different.slice(0, MAX_CORRUPT_PAGES);
		const pageCount = this.#different.length;
		this.#send(link, { type: "corrupt", pageIndices, pageCount });
		this.#finish({ outcome: "corrupt", pageIndices, pageCount });
	}

	/** A source that says nothing any more has stopped, whatever its connection says. */
	async #watch(link: Link, signal: AbortSignal): Promise<void> {
		const { clock, stallMs } = this.#services;
		while (!signal.aborted) {
			this.#send(link, { type: "alive" });
			await clock.sleep(stallMs / 4, signal).catch(() => undefined); // the paging over this link has ended
			const silentMs = clock.now() - this.#lastNewsMs;
			if (!signal.aborted && silentMs >= stallMs)
				throw new MoveError("deadline", `the source has said nothing for ${silentMs} ms`);
		}
	}

	/** On the urgent lane, where order holds among all that the target says. */
	#send(link: Link, record: Record): void {
		link.send(encodeRecord(record), "urgent").catch(() => undefined); // the end of the link is seen by who receives
	}
}
