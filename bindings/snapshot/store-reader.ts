/**
 * Reads one snapshot: what it is, its state, any of its pages, all of its pages in the order in which they are stored.
 *
 * Stored payloads go into batches as they are: nothing is compressed again, and a stored batch of which every page is wanted
 * is handed out itself. Every frame is checked before a byte of it is; every page's hash comes from the manifest, so that
 * `guest.pages.apply` refuses any other content.
 *
 * A pack that a prune has replaced meanwhile is found again through the snapshot's head; a snapshot that was deleted while
 * it is read is `missing`.
 */
import { hash128 } from "../engine/hash.ts";
import { type EncodedBatch, type GuestLayout, MAX_BATCH_PAGES, PAGE_BYTES, type PageBits } from "../ports/guest.ts";
import type { PageHashTable } from "../wire/digest.ts";
import { objectName } from "./image.ts";
import { SnapshotError } from "./image-error.ts";
import type { PageTable } from "./image-table.ts";
import { assembleBatch, type BatchPart, KINDS } from "./pack-batch.ts";
import type { PackIndex } from "./pack-index.ts";
import { type BatchFrame, type BatchSpan, spansOf } from "./pack-reader.ts";
import type { Catalog, Resolved } from "./store-catalog.ts";
import { infoOf, type SnapshotInfo } from "./store-info.ts";

/** See {@link SnapshotReader.batches}. */
export interface ReadOptions {
	readonly signal?: AbortSignal;
}

/** A page and the entry of a pack that has its content. */
interface UsedEntry {
	readonly page: number;
	readonly entry: number;
}

/** See the head of this file. */
export class SnapshotReader {
	readonly info: SnapshotInfo;
	readonly #catalog: Catalog;
	readonly #zeroHash: Uint8Array<ArrayBuffer>;
	#resolved: Resolved;

	/** Made by {@link SnapshotStore.open}. */
	constructor(catalog: Catalog, resolved: Resolved) {
		this.#catalog = catalog;
		this.#resolved = resolved;
		this.#zeroHash = hash128(catalog.engine, new Uint8Array(PAGE_BYTES));
		this.info = infoOf(resolved.manifest.description);
	}

	get layout(): GuestLayout {
		return this.info.layout;
	}

	/** Everything of the guest but its pages. A copy. */
	state(): Uint8Array<ArrayBuffer> {
		return this.#resolved.manifest.state.slice();
	}

	/** Hashes of all pages, zero ones included. To be read only. */
	hashes(): PageHashTable {
		return this.#table.hashes;
	}

	/** One bit for each page that is not zero. */
	storedPages(): PageBits {
		return this.#table.storedBits();
	}

	/** Code that the guest needs. @throws RangeError for a hash that the layout does not name; {@link SnapshotError}. */
	resource(hash: string): Promise<Uint8Array<ArrayBuffer>> {
		const stored = this.#resolved.manifest.description.resources.find((resource) => resource.hash === hash);
		if (stored === undefined) throw new RangeError(`hash: the snapshot has no code with the SHA-256 ${hash}`);
		return this.#catalog.resource(stored);
	}

	/**
	 * These pages as one batch for `guest.pages.apply`. Zero pages are in it as such.
	 * @param pageIndices - strictly ascending, at most {@link MAX_BATCH_PAGES}.
	 * @throws RangeError for a page that does not exist; {@link SnapshotError} naming object and record.
	 */
	async pages(pageIndices: Uint32Array, options: ReadOptions = {}): Promise<EncodedBatch> {
		checkPages(pageIndices, this.info.pageCount);
		return this.#again(async () => {
			const parts: BatchPart[] = [];
			for (const pageIndex of pageIndices) {
				options.signal?.throwIfAborted();
				parts.push(await this.#part(pageIndex));
			}
			return assembleBatch(this.#catalog.engine, parts);
		});
	}

	/**
	 * All pages that are not zero, each once, in the order in which they lie in the store: the quickest way to all of them.
	 * Pages of a batch ascend, batches do not.
	 * @throws {SnapshotError} naming object and record; what was handed out before is right, and not all.
	 */
	async *batches({ signal }: ReadOptions = {}): AsyncGenerator<EncodedBatch> {
		const seen = this.#resolved;
		for (const [slot, used] of seen.table.usedEntries()) {
			let done = 0;
			// After a prune the rest of the pack is read page by page from where it is now.
			try {
				for await (const batch of this.#packBatches(slot, used, signal)) {
					yield batch.batch;
					done += batch.pages;
				}
			} catch (error) {
				if (!(await this.#hasMoved(error, seen))) throw error;
				const rest = used.slice(done).map(({ page }) => page);
				for (let from = 0; from < rest.length; from += MAX_BATCH_PAGES)
					yield await this.pages(Uint32Array.from(rest.slice(from, from + MAX_BATCH_PAGES)).sort());
			}
		}
	}

	get #table(): PageTable {
		return this.#resolved.table;
	}

	async #part(pageIndex: number): Promise<BatchPart> {
		const location = this.#table.locate(pageIndex);
		if (location === undefined)
			return { pageIndex, hash: this.#zeroHash, kind: KINDS.zero, payload: new Uint8Array(0) };
		const { packs } = this.#catalog;
		const index = await packs.index(location.slot);
		const frame = await packs.frame(location.slot, location.entry);
		return this.#partOf(pageIndex, location.entry, index, frame);
	}

	#partOf(pageIndex: number, entry: number, index: PackIndex, { bytes }: BatchFrame): BatchPart {
		const from = index.payloadOffset(entry);
		const end = from + index.byteLength(entry);
		if (end > bytes.byteLength)
			throw new SnapshotError("corrupt", "its pack's index leads out of a batch", { pageIndex });
		const hash = this.#table.hashes.rangeBytes(pageIndex, 1);
		return { pageIndex, hash, kind: index.kind(entry), payload: bytes.subarray(from, end) };
	}

	/** Batches of one pack. `used` is sorted by entry as a side effect: batches take it in this order. */
	async *#packBatches(
		slot: number,
		used: UsedEntry[],
		signal: AbortSignal | undefined,
	): AsyncGenerator<{ readonly batch: EncodedBatch; readonly pages: number }> {
		used.sort((a, b) => a.entry - b.entry || a.page - b.page);
		const index = await this.#catalog.packs.index(slot);
		const wanted = new Map<BatchSpan, readonly UsedEntry[]>();
		let from = 0;
		for (const span of spansOf(index)) {
			let end = from;
			while (end < used.length && used[end]!.entry < span.first + span.count) end++;
			if (end > from) wanted.set(span, used.slice(from, end));
			from = end;
		}
		for await (const { span, frame } of this.#catalog.packs.frames(slot, [...wanted.keys()], { signal })) {
			const entries = wanted.get(span) ?? [];
			if (this.#isWhole(span, entries, index)) {
				yield { batch: { bytes: frame.bytes, checksum: frame.checksum }, pages: entries.length };
				continue;
			}
			for (let at = 0; at < entries.length; at += MAX_BATCH_PAGES) {
				const some = entries.slice(at, at + MAX_BATCH_PAGES);
				const parts = [...some]
					.sort((a, b) => a.page - b.page)
					.map(({ page, entry }) => this.#partOf(page, entry, index, frame));
				yield { batch: assembleBatch(this.#catalog.engine, parts), pages: some.length };
			}
		}
	}

	/** Whether every page of a stored batch is this snapshot's page of the same number. */
	#isWhole(span: BatchSpan, entries: readonly UsedEntry[], index: PackIndex): boolean {
		return (
			entries.length === span.count &&
			entries.every(({ page, entry }, i) => entry === span.first + i && index.pageIndex(entry) === page)
		);
	}

	/** Once more, if a prune has moved the snapshot's contents meanwhile. */
	async #again<Value>(work: () => Promise<Value>): Promise<Value> {
		for (;;) {
			const seen = this.#resolved;
			try {
				return await work();
			} catch (error) {
				if (!(await this.#hasMoved(error, seen))) throw error;
			}
		}
	}

	/** Whether an object is missing because the snapshot has another manifest now than the one seen; it is read then. */
	async #hasMoved(error: unknown, seen: Resolved): Promise<boolean> {
		if (!(error instanceof SnapshotError) || error.code !== "missing") return false;
		if (this.#resolved !== seen) return true;
		const now = await this.#catalog.resolveId(this.info.id);
		if (objectName(now.manifest.reference.identity) === objectName(seen.manifest.reference.identity)) return false;
		this.#resolved = now;
		return true;
	}
}

function checkPages(pageIndices: Uint32Array, pageCount: number): void {
	if (!(pageIndices instanceof Uint32Array)) throw new TypeError("pageIndices must be a Uint32Array");
	if (pageIndices.length > MAX_BATCH_PAGES)
		throw new RangeError(`pageIndices: at most ${MAX_BATCH_PAGES}, got ${pageIndices.length}`);
	for (let i = 0; i < pageIndices.length; i++) {
		const page = pageIndices[i]!;
		if (page >= pageCount) throw new RangeError(`pageIndices: page ${page} of ${pageCount}`);
		if (i > 0 && page <= pageIndices[i - 1]!) throw new RangeError(`pageIndices: page ${page} does not ascend`);
	}
}
