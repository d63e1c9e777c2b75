/**
 * What arrives at a target up to the digest: batches of pages, the size, the pages that are left, and the state.
 *
 * Batches are applied in the order of their arrival while the next ones are read; the link's window bounds how many. The
 * first one that is refused fails everything that comes after it.
 */
import { createEngine } from "../engine/engine.ts";
import { MoveError } from "../handover/move-error.ts";
import type { Guest, PageBits } from "../ports/guest.ts";
import type { IncomingFrame } from "../ports/link.ts";
import { PageHashTable } from "../wire/digest.ts";
import { MAX_STATE_BYTES } from "../wire/limits.ts";
import type { Record } from "../wire/records.ts";

type RecordOf<Type extends Record["type"]> = Extract<Record, { type: Type }>;

/** See the head of this file. */
export class ArrivingPages {
	/** Hashes of what was installed. */
	readonly hashes: PageHashTable;
	readonly #guest: Guest;
	readonly #applies = new Set<Promise<void>>();
	#failure: unknown;
	#missing: Uint8Array<ArrayBuffer> | undefined;
	#state: Uint8Array<ArrayBuffer> = new Uint8Array(0);

	constructor(guest: Guest, pageCount: number) {
		this.#guest = guest;
		this.hashes = new PageHashTable(createEngine(), pageCount);
	}

	/** The pages that are left for after the handover, one bit each; undefined if there are none. */
	get missing(): PageBits | undefined {
		return this.#missing?.some((byte) => byte !== 0) === true ? this.#missing : undefined;
	}

	/** The guest's state, as far as it has arrived. */
	get state(): Uint8Array<ArrayBuffer> {
		return this.#state;
	}

	/** Begins to apply a batch, and releases its frame afterwards. Rejects if an earlier one was refused. */
	apply(record: RecordOf<"batch">, frame: IncomingFrame): Promise<void> {
		if (this.#failure !== undefined) {
			frame.release();
			return Promise.reject(this.#failure);
		}
		let returned: ArrayBuffer | undefined;
		const applied = this.#guest.pages
			.apply(record.batch, (buffer) => {
				returned = buffer;
			})
			.then(({ pageIndices, hashes }) => this.hashes.set(pageIndices, hashes))
			.catch((error: unknown) => {
				this.#failure ??= error;
			})
			.finally(() => {
				this.#applies.delete(applied);
				frame.release(returned);
			});
		this.#applies.add(applied);
		return Promise.resolve();
	}

	/** Everything that has come is installed. @throws why the first batch that was refused was */
	async settle(): Promise<void> {
		await Promise.all(this.#applies);
		if (this.#failure !== undefined) throw this.#failure;
	}

	/** The guest has grown at the source. */
	async grow(pageCount: number): Promise<void> {
		await this.settle();
		await this.#guest.pages.grow(pageCount);
		this.hashes.grow(pageCount);
	}

	/** Keeps a part of the pages that are left. */
	keepMissing({ bits, firstPage }: RecordOf<"missing">): void {
		this.#missing ??= new Uint8Array(Math.ceil(this.hashes.pageCount / 8));
		this.#missing.set(bits, firstPage / 8);
	}

	/** Keeps a piece of the state. @throws MoveError `protocol` beyond the limit */
	keepState({ total, offset, bytes }: RecordOf<"state">): void {
		if (total > MAX_STATE_BYTES) throw new MoveError("protocol", `state of ${total} bytes, at most ${MAX_STATE_BYTES}`);
		if (offset === 0) this.#state = new Uint8Array(total);
		this.#state.set(bytes, offset);
	}

	/** Waits for what is being installed, and compares. @throws MoveError `corrupt` */
	async check(record: RecordOf<"digest">): Promise<void> {
		await this.settle();
		const digest = this.hashes.digest(this.#state);
		if (digest !== record.digest)
			throw new MoveError("corrupt", `the digest of what arrived is ${digest}, the source's is ${record.digest}`);
	}
}
