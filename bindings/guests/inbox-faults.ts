// Missing pages of a guest in a worker, seen from the host: batches go into memory that the worker reads while it stands still, and
// what it says comes as messages.
import { BatchError } from "../engine/batch.ts";
import {
	type FaultControl,
	type FaultReport,
	type InstalledPages,
	MAX_FAULT_SAMPLES,
} from "../ports/faulting-guest.ts";
import { type EncodedBatch, GuestError, type PageBits } from "../ports/guest.ts";
import { type ErrorRecord, restoreError } from "./error-record.ts";
import { type FaultMemory, INBOX_BATCH_BYTES, type InboxRecord, InboxWriter } from "./fault-inbox.ts";
import type { FaultMessage } from "./fault-work.ts";
import { bitsByteLength, countBits } from "./page-bits.ts";

/** A batch that is in the inbox, or waits for room there. */
interface Pending {
	readonly batch: EncodedBatch;
	readonly taken: () => void;
	readonly resolve: (pages: InstalledPages) => void;
	readonly reject: (error: unknown) => void;
}

/** The worker of such a guest. */
export interface FaultedWorker {
	/** Set once it is of no more use. */
	readonly ended: Error | undefined;
	/** These pages are missing from now on; what comes is in this memory. */
	beginFaults(shared: FaultMemory, missing: PageBits): Promise<void>;
	/** @throws {GuestError} `state` if pages are missing */
	endFaults(): Promise<void>;
	/** Something has come. */
	nudge(): void;
}

/** What has been counted before {@link FaultControl.begin}, or without it. */
const NO_FAULTS: FaultReport = { faults: 0, minorFaults: 0, blockedMs: 0, latenciesMs: [] };

/** See the head of this file. */
export class InboxFaults implements FaultControl {
	/** See FaultControl: where the worker keeps the order of what it is told. */
	readonly inOrder: boolean;
	readonly #worker: FaultedWorker;
	readonly #pageCount: () => number;
	readonly #now: () => number;
	readonly #pinned: () => PageBits;
	#inbox: InboxWriter | undefined;
	/** For a guest of the present size. */
	#prepared: InboxWriter | undefined;
	#onFault: (pageIndex: number) => void = () => undefined;
	/** By record number. */
	readonly #posted: Map<number, { readonly record: InboxRecord; readonly pending: Pending }> = new Map();
	readonly #refusals: Map<number, Error> = new Map();
	#waiting: Pending[] = [];
	/** Since when the guest has waited for a page, and how many waits had ended before. */
	#standing: { readonly sinceMs: number; readonly ended: number } | undefined;
	#ended: FaultReport | undefined;

	/**
	 * @param pageCount of the guest now. @param now the time in ms
	 * @param kind - `pinned`: pages that cannot be waited for, none if left out; `inOrder`: see FaultControl
	 */
	constructor(
		worker: FaultedWorker,
		pageCount: () => number,
		now: () => number,
		{ pinned, inOrder = false }: { readonly pinned?: () => PageBits; readonly inOrder?: boolean } = {},
	) {
		this.inOrder = inOrder;
		this.#pinned = pinned ?? (() => new Uint8Array(bitsByteLength(pageCount())));
		this.#worker = worker;
		this.#pageCount = pageCount;
		this.#now = now;
	}

	/** Bytes that host and worker share now. */
	get heldBytes(): number {
		return (this.#inbox ?? this.#prepared)?.heldBytes ?? 0;
	}

	async pinned(): Promise<PageBits> {
		return this.#pinned();
	}

	async begin(missing: PageBits, onFault: (pageIndex: number) => void): Promise<void> {
		const pageCount = this.#pageCount();
		if (missing.byteLength !== bitsByteLength(pageCount))
			throw new RangeError(
				`missing: ${bitsByteLength(pageCount)} bytes for ${pageCount} pages, got ${missing.byteLength}`,
			);
		if (this.#prepared?.memory.pageCount !== pageCount) this.#prepared = new InboxWriter(pageCount, countBits(missing));
		const inbox = this.#prepared;
		this.#prepared = undefined;
		await this.#worker.beginFaults(inbox.memory, missing.slice());
		this.#inbox = inbox;
		this.#onFault = onFault;
	}

	/** Allocates and touches what {@link begin} will need. */
	prepare(): void {
		this.#prepared = new InboxWriter(this.#pageCount(), this.#pageCount());
		this.#prepared.prefault();
	}

	install(batch: EncodedBatch, taken: () => void): Promise<InstalledPages> {
		return new Promise((resolve, reject) => {
			if (this.#worker.ended !== undefined) throw this.#worker.ended;
			if (this.#inbox === undefined) throw new GuestError("state", "nothing is missing: call begin first");
			if (batch.bytes.byteLength > INBOX_BATCH_BYTES) throw new BatchError("bad-length");
			const pending = { batch, taken, resolve, reject };
			if (this.#waiting.length > 0 || !this.#post(this.#inbox, pending)) this.#waiting.push(pending);
		});
	}

	#post(inbox: InboxWriter, pending: Pending): boolean {
		const { batch, taken } = pending;
		const record = inbox.post(batch.bytes, batch.checksum);
		if (record === undefined) return false;
		this.#posted.set(record.number, { record, pending });
		// Between calls the worker reads messages; within one it looks into the inbox by itself.
		if (inbox.nudge()) this.#worker.nudge();
		taken();
		return true;
	}

	async end(): Promise<void> {
		this.#prepared = undefined;
		await this.#worker.endFaults();
		this.#settle();
		this.#ended = this.faultReport();
		this.#inbox = undefined;
	}

	faultReport(): FaultReport {
		if (this.#inbox === undefined) return this.#ended ?? NO_FAULTS;
		const report = this.#inbox.report();
		const standing = this.#standing;
		const waits =
			standing !== undefined && standing.ended < MAX_FAULT_SAMPLES && this.#inbox.waitsEnded === standing.ended;
		return waits ? { ...report, blockedMs: report.blockedMs + this.#now() - standing.sinceMs } : report;
	}

	/** The worker's word. */
	hear(message: FaultMessage): void {
		if (message.kind === "fault") this.#faulted(message.pageIndex);
		else if (message.kind === "taken") this.#taken();
		else this.#refused(message.number, message.error);
	}

	/** The guest waits for a page. */
	#faulted(pageIndex: number): void {
		this.#standing = { sinceMs: this.#now(), ended: this.#inbox?.waitsEnded ?? 0 };
		this.#onFault(pageIndex);
	}

	/** A batch was refused. */
	#refused(number: number, error: ErrorRecord): void {
		this.#refusals.set(number, restoreError(error));
		this.#settle();
	}

	/** Batches were taken. */
	#taken(): void {
		this.#inbox?.newsRead();
		this.#settle();
	}

	#settle(): void {
		const inbox = this.#inbox;
		if (inbox === undefined) return;
		for (const [number, { record, pending }] of this.#posted) {
			const state = inbox.stateOf(record);
			const reason = this.#refusals.get(number);
			// The reason of a refusal comes as a message of its own.
			if (state === "posted" || (state === "refused" && reason === undefined)) continue;
			this.#posted.delete(number);
			this.#refusals.delete(number);
			const result = inbox.giveBack(record);
			if (state === "taken") pending.resolve(result);
			else pending.reject(reason);
		}
		while (this.#waiting[0] !== undefined && this.#post(inbox, this.#waiting[0])) this.#waiting.shift();
	}

	/** The worker has ended, or is about to: who waits for pages there is let go, who waits here learns why. */
	fail(error: Error): void {
		this.#inbox?.end();
		for (const { pending } of this.#posted.values()) pending.reject(error);
		for (const pending of this.#waiting) pending.reject(error);
		this.#posted.clear();
		this.#waiting = [];
	}
}
