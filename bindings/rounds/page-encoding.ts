/**
 * How the pages of an iteration become batches: compressed or not, as the link's rate wants it, and from the second round
 * on, of guests that can, as deltas against what was sent last.
 *
 * The first round sends every page once: nothing of it is held, because most pages are never sent again. What is sent a
 * second time is; QEMU begins with its XBZRLE cache at the same point.
 */
import { type CompressionPolicy, encodeOptionsOf } from "../policies/compression.ts";
import type { LinkRate } from "../policies/link-rate.ts";
import type { PagesCopy } from "../ports/copying-guest.ts";
import { isDeltaGuest, type PageSender } from "../ports/delta-guest.ts";
import { type EncodeOptions, type Guest, GuestError, type PageBatch, type PageKinds } from "../ports/guest.ts";

/** How to encode. */
export interface PageEncodingOptions {
	/** Overrules the choice that the engine makes from the link's rate. */
	readonly compression?: CompressionPolicy | undefined;
	/** Pages of which the version sent last is held, for deltas; 0 or left out: none. */
	readonly deltaCachePages?: number | undefined;
}

/** The round for which pages are encoded. */
export interface EncodingRound {
	/** From 1. */
	readonly index: number;
	/** The guest is paused, and nothing comes after. */
	readonly last: boolean;
	/** A cap on the link, if there is one. */
	readonly capBytesPerMs: number | undefined;
}

/** See the head of this file. */
export class PageEncoding {
	readonly #guest: Guest;
	readonly #options: PageEncodingOptions;
	readonly #rate: LinkRate;
	#sender: PageSender | undefined;
	#deltaObstacle: string | undefined;
	/** Batches were encoded that did not reach the sink. */
	#isStale = false;
	#copy: PagesCopy | undefined;
	#isClosed = false;
	#memoryBytes = 0;
	#kinds: PageKinds | undefined = { zero: 0, unchanged: 0, delta: 0, lz4: 0, raw: 0 };

	constructor(guest: Guest, options: PageEncodingOptions, rate: LinkRate) {
		this.#guest = guest;
		this.#options = options;
		this.#rate = rate;
	}

	/** The most that the versions sent have cost, in bytes. */
	get memoryBytes(): number {
		return this.#memoryBytes;
	}

	/** How the pages that were noted went; undefined if the guest does not say. */
	get kinds(): PageKinds | undefined {
		return this.#kinds;
	}

	/** Why no versions are held although the guest could; undefined otherwise. */
	get deltaObstacle(): string | undefined {
		return this.#deltaObstacle;
	}

	/** Gets ready for a round. */
	async begin(round: EncodingRound): Promise<void> {
		const { deltaCachePages = 0 } = this.#options;
		const isTime = round.index > 1 && !round.last && deltaCachePages > 0;
		if (isTime && this.#sender === undefined && this.#deltaObstacle === undefined)
			await this.#openSender(deltaCachePages);
		if (this.#isStale) await this.#sender?.forget();
		this.#isStale = false;
	}

	/** Where there is no memory for versions, pages go whole: that is no reason to end a move. */
	async #openSender(sentPages: number): Promise<void> {
		if (!isDeltaGuest(this.#guest)) return;
		try {
			this.#sender = await this.#guest.deltas.open(sentPages);
			this.#memoryBytes = Math.max(this.#memoryBytes, this.#sender.memoryBytes);
		} catch (error) {
			if (!(error instanceof GuestError) || error.code !== "too-large") throw error;
			this.#deltaObstacle = error.message;
		}
	}

	/** From now on pages are encoded as they were copied; {@link close} releases the copy. */
	from(copy: PagesCopy): void {
		if (this.#isClosed) copy.release(); // who asked for it had been given up meanwhile
		this.#copy = copy;
	}

	/** Encodes some pages. */
	encode(pageIndices: Uint32Array, round: EncodingRound): Promise<PageBatch> {
		const options = this.#encodeOptions(round.capBytesPerMs);
		if (this.#copy !== undefined) return this.#copy.encode(pageIndices, options);
		if (this.#sender === undefined) return this.#guest.pages.encode(pageIndices, options);
		return this.#sender.encode(pageIndices, { ...options, generation: round.index, remember: !round.last });
	}

	/** A batch goes out. */
	note({ kinds }: PageBatch): void {
		const sum = this.#kinds;
		if (kinds === undefined) this.#kinds = undefined;
		else if (sum !== undefined)
			this.#kinds = {
				zero: sum.zero + kinds.zero,
				unchanged: sum.unchanged + kinds.unchanged,
				delta: sum.delta + kinds.delta,
				lz4: sum.lz4 + kinds.lz4,
				raw: sum.raw + kinds.raw,
			};
	}

	/** A round has failed: what was encoded last may never arrive. */
	failed(): void {
		this.#isStale = true;
	}

	/** Frees what is held. Nothing may be encoded for the same receiver afterwards but by {@link Guest.pages}. */
	async close(): Promise<void> {
		this.#isClosed = true;
		this.#copy?.release();
		const sender = this.#sender;
		this.#sender = undefined;
		await sender?.close();
	}

	#encodeOptions(capBytesPerMs: number | undefined): EncodeOptions {
		const measured = this.#rate.bytesPerMs;
		const bytesPerMs = Math.min(measured ?? Number.POSITIVE_INFINITY, capBytesPerMs ?? Number.POSITIVE_INFINITY);
		return encodeOptionsOf(this.#options.compression, bytesPerMs);
	}
}
