/**
 * The records of one move over one link, on the source's side.
 *
 * A background loop takes records from the link as they come; they wait in an inbox until a phase asks for them, or go to
 * who has taken over the rest of the conversation. A refusal, an abort, a malformed record or the
 * end of the link fails the whole conversation at once, whatever phase is under way.
 */
import type { PageBatch } from "../ports/guest.ts";
import type { IncomingFrame, Lane, Link } from "../ports/link.ts";
import { LinkError } from "../ports/link.ts";
import { decodeRecord, encodeRecord, type Record } from "../wire/records.ts";
import { MoveError } from "./move-error.ts";

/** An honest peer is at most a few records ahead of the phase that reads them. */
const MAX_INBOX_RECORDS = 16;

/** See the head of this file. */
export class Conversation {
	readonly #link: Link;
	readonly #failure = new AbortController();
	readonly #inbox: Record[] = [];
	#arrived: (() => void) | undefined;
	#taker: ((record: Record) => void) | undefined;

	/** Starts to listen at once. */
	constructor(link: Link) {
		this.#link = link;
		void this.#listen();
	}

	/** Aborts with a {@link MoveError} or {@link LinkError} as reason once the conversation cannot go on. */
	get failed(): AbortSignal {
		return this.#failure.signal;
	}

	/** See {@link Link.windowBytes}. */
	get windowBytes(): number {
		return this.#link.windowBytes;
	}

	/** Bytes given to the link so far. */
	get bytesSent(): number {
		return this.#link.traffic.bytesSent;
	}

	/** Sends a record. @throws {LinkError} */
	send(record: Record, lane: Lane = "bulk"): Promise<void> {
		return this.#link.send(encodeRecord(record), lane);
	}

	/** See {@link Link.settle}. */
	settle(): Promise<boolean> {
		return this.#link.settle();
	}

	/** Sends a page batch as the engine made it. @throws {LinkError} */
	sendBatch(batch: PageBatch, lane: Lane = "bulk"): Promise<void> {
		return this.send({ type: "batch", batch, modelledByteLength: batch.wireByteLength }, lane);
	}

	/**
	 * Hands every record to `take` from now on, first those that wait. What it throws fails the conversation.
	 */
	handOver(take: (record: Record) => void): void {
		try {
			for (const record of this.#inbox.splice(0)) take(record);
			this.#taker = take;
		} catch (error) {
			this.#failure.abort(error);
		}
	}

	/**
	 * The next record, which must be of this type.
	 * @throws {MoveError} `protocol` naming what came instead; whatever ended the conversation.
	 */
	async expect<Type extends Record["type"]>(type: Type, signal: AbortSignal): Promise<Extract<Record, { type: Type }>> {
		const record = await this.next(signal);
		if (isOfType(record, type)) return record;
		const error = new MoveError("protocol", `expected the record '${type}', the peer sent '${record.type}'`);
		this.#failure.abort(error);
		throw error;
	}

	/** Says why this side gives up, as far as the link still carries it, and drops the link. */
	async giveUp(error: MoveError): Promise<void> {
		this.#failure.abort(error);
		if (!this.#link.ended.aborted) {
			const word = this.#link.send(encodeRecord({ type: "abort", code: error.code, message: error.message }), "urgent");
			await word.then(
				() => this.#link.close(),
				() => undefined, // the link is gone: the peer finds out by itself
			);
		}
		this.#link.abort(error);
	}

	/** Drops the link at once. */
	drop(reason: unknown): void {
		this.#failure.abort(reason);
		this.#link.abort(reason);
	}

	/** Ends the conversation in order. */
	async close(): Promise<void> {
		this.#failure.abort(new LinkError("closed", "this side ended the conversation"));
		await this.#link.close();
	}

	/** The next record, whatever it is. @throws whatever ended the conversation. */
	async next(signal: AbortSignal): Promise<Record> {
		for (;;) {
			signal.throwIfAborted();
			const record = this.#inbox.shift();
			if (record !== undefined) return record;
			this.#failure.signal.throwIfAborted();
			await new Promise<void>((resolve, reject) => {
				this.#arrived = resolve;
				signal.addEventListener("abort", () => reject(signal.reason), { once: true });
			});
		}
	}

	async #listen(): Promise<void> {
		try {
			while (!this.#failure.signal.aborted) {
				const frame = await this.#link.receive();
				const record = decodeFrame(frame);
				if (record === undefined) continue;
				if (record.type === "refuse") throw new MoveError("refused", record.message);
				if (record.type === "reject")
					throw new MoveError("corrupt", `the target found: ${record.message}`, { pageIndex: record.pageIndex });
				if (record.type === "abort")
					throw new MoveError("peer", `the peer gave up (${record.code}): ${record.message}`);
				if (this.#taker !== undefined) this.#taker(record);
				else if (this.#inbox.push(record) > MAX_INBOX_RECORDS)
					throw new MoveError("protocol", "the peer sends records that nobody asked for");
				this.#arrived?.();
			}
		} catch (error) {
			this.#failure.abort(error);
			this.#arrived?.();
		}
	}
}

function isOfType<Type extends Record["type"]>(record: Record, type: Type): record is Extract<Record, { type: Type }> {
	return record.type === type;
}

/** Decodes and releases a frame; `undefined` for an optional record this version does not know. */
function decodeFrame(frame: IncomingFrame): Record | undefined {
	try {
		const record = decodeRecord(frame);
		// Parts of a checkpoint are kept until it is complete, longer than the link's buffer.
		if (record?.type === "state") return { ...record, bytes: record.bytes.slice() };
		if (record?.type !== "batch") return record;
		const { bytes, checksum } = record.batch;
		return { type: "batch", batch: { bytes: bytes.slice(), checksum } };
	} finally {
		frame.release();
	}
}
