/**
 * Reads everything that a snapshot is made of and compares it with everything that is known of it:
 *
 *   manifests of the chain   every frame, trailer, signature; the table that they come to, against the snapshot's digest
 *   resources                every frame, the SHA-256 that the layout names
 *   packs in use             every frame of the pack, the trailer's digest over their headers; every content against its
 *                            hash, in the engine; the index against the batches
 *   pages                    the hash in the table against that of the entry which the table names
 *
 * So one changed bit anywhere in any of these objects is found, whether this snapshot uses it or not.
 */
import { BatchDecoder, BatchError } from "../engine/batch.ts";
import { createEngine, type Engine } from "../engine/engine.ts";
import { hash128 } from "../engine/hash.ts";
import { MAX_BATCH_PAGES } from "../ports/guest.ts";
import { toHex } from "../wire/digest.ts";
import { FRAME_HEADER_BYTES } from "../wire/frame.ts";
import { checkImageRecord, IMAGE_FRAME_BYTES, objectName, readFrame } from "./image.ts";
import { SnapshotError } from "./image-error.ts";
import type { PageTable } from "./image-table.ts";
import { BatchTable } from "./pack-batch.ts";
import { isSame, type PackIndex } from "./pack-index.ts";
import { type BatchFrame, type BatchSpan, spansOf } from "./pack-reader.ts";
import type { Catalog } from "./store-catalog.ts";

/** How far a verification is. */
export interface VerifyProgress {
	/** Bytes of packs that have been read, of those that will be. */
	readonly bytes: number;
	readonly totalBytes: number;
}

/** See {@link verifySnapshot}. */
export interface VerifyOptions {
	readonly signal?: AbortSignal;
	readonly onProgress?: (progress: VerifyProgress) => void;
}

/** What was verified. */
export interface Verified {
	/** Pages of the guest, zero ones included. */
	readonly pages: number;
	readonly storedPages: number;
	/** Bytes of all objects that were read. */
	readonly bytes: number;
	readonly packs: number;
}

/** See the head of this file. @throws {SnapshotError} naming the object, and the record or page that is wrong. */
export async function verifySnapshot(catalog: Catalog, id: string, options: VerifyOptions = {}): Promise<Verified> {
	const { manifest, table, chain } = await catalog.resolveId(id, { fresh: true });
	let bytes = chain.reduce((sum, { reference }) => sum + reference.byteLength, 0);
	for (const resource of manifest.description.resources) {
		options.signal?.throwIfAborted();
		await catalog.resource(resource);
		bytes += resource.byteLength;
	}
	const packs = new PackVerifier(catalog);
	const used = table.usedEntries();
	const totalBytes = [...used.keys()].reduce((sum, slot) => sum + catalog.registry.get(slot).byteLength, 0);
	let done = 0;
	for (const [slot, entries] of used) {
		const before = done;
		const index = await packs.verify(slot, options.signal, (read) => {
			options.onProgress?.({ bytes: before + read, totalBytes });
		});
		done += catalog.registry.get(slot).byteLength;
		checkPages(table, entries, index, objectName(catalog.registry.get(slot).identity));
		options.onProgress?.({ bytes: done, totalBytes });
	}
	const storedPages = table.countStored();
	if (storedPages !== manifest.description.storedPages)
		throw new SnapshotError("corrupt", `has ${storedPages} stored pages, not as many as it says`, {
			object: objectName(manifest.reference.identity),
		});
	return { pages: table.pageCount, storedPages, bytes: bytes + done, packs: used.size };
}

function checkPages(
	table: PageTable,
	used: readonly { readonly page: number; readonly entry: number }[],
	index: PackIndex,
	object: string,
): void {
	for (const { page, entry } of used)
		if (entry >= index.entries || !isSame(index.hash(entry), table.hashes.rangeBytes(page, 1)))
			throw new SnapshotError("corrupt", `entry ${entry} has another content than the page table says`, {
				object,
				pageIndex: page,
			});
}

/** Verifies whole packs. */
class PackVerifier {
	readonly #catalog: Catalog;
	readonly #engine: Engine = createEngine();
	#decoder: { readonly maxPages: number; readonly decoder: BatchDecoder } | undefined;

	constructor(catalog: Catalog) {
		this.#catalog = catalog;
	}

	/** @returns the pack's index, which agrees with its batches. */
	async verify(
		slot: number,
		signal?: AbortSignal,
		onRead: (bytes: number) => void = () => undefined,
	): Promise<PackIndex> {
		const pack = this.#catalog.registry.get(slot);
		const object = objectName(pack.identity);
		const headers: Uint8Array[] = [await this.#first(slot, object)];
		const { index, bytes: end } = await this.#catalog.packs.readEnd(slot);
		const options = { trustPayload: true, index, signal }; // the decoder checks the payload where it lies
		let next = IMAGE_FRAME_BYTES;
		for await (const { span, frame } of this.#catalog.packs.frames(slot, spansOf(index), options)) {
			signal?.throwIfAborted();
			if (span.offset !== next)
				throw new SnapshotError("corrupt", `nothing is known of the bytes at ${next}`, { object });
			this.#checkBatch(frame, span, index, object, headers.length);
			headers.push(frame.header.slice());
			next += FRAME_HEADER_BYTES + frame.bytes.byteLength;
			onRead(next);
		}
		const indexAt = pack.byteLength - end.byteLength;
		if (next !== indexAt) throw new SnapshotError("corrupt", `nothing is known of the bytes at ${next}`, { object });
		headers.push(end.subarray(0, FRAME_HEADER_BYTES));
		const all = new Uint8Array(headers.length * FRAME_HEADER_BYTES);
		for (const [i, header] of headers.entries()) all.set(header, i * FRAME_HEADER_BYTES);
		if (toHex(hash128(this.#engine, all)) !== pack.digest)
			throw new SnapshotError("corrupt", "its trailer does not fit the frames before it", { object });
		return index;
	}

	/** @returns the header of the image record. */
	async #first(slot: number, object: string): Promise<Uint8Array> {
		const pack = this.#catalog.registry.get(slot);
		const bytes = await this.#catalog.objects.range(pack, 0, IMAGE_FRAME_BYTES);
		const frame = readFrame(this.#engine, bytes, 0, { object, sequence: 0, offset: 0 });
		checkImageRecord(frame, pack.identity, { object });
		return bytes.subarray(0, FRAME_HEADER_BYTES);
	}

	/** A decoder for batches of so many pages: an iteration's batches need a quarter of the memory of the largest ones. */
	#decoderOf(pages: number): BatchDecoder {
		if (this.#decoder === undefined || this.#decoder.maxPages < pages) {
			const maxPages = Math.min(MAX_BATCH_PAGES, Math.max(pages, 2 * (this.#decoder?.maxPages ?? 0)));
			this.#decoder = { maxPages, decoder: new BatchDecoder(this.#engine, { maxPages }) };
		}
		return this.#decoder.decoder;
	}

	#checkBatch(frame: BatchFrame, span: BatchSpan, index: PackIndex, object: string, sequence: number): void {
		const place = { object, record: `batch ${sequence}` };
		if (span.count > MAX_BATCH_PAGES) throw new SnapshotError("corrupt", `is said to have ${span.count} pages`, place);
		try {
			this.#decoderOf(span.count).decode(frame.bytes, { pageCount: 0xffff_ffff, checksum: frame.checksum });
		} catch (error) {
			if (!(error instanceof BatchError)) throw error;
			const { pageIndex } = error;
			throw new SnapshotError(
				"corrupt",
				error.message,
				pageIndex === undefined ? place : { ...place, pageIndex },
				error,
			);
		}
		const table = new BatchTable(frame.bytes, 0xffff_ffff, place);
		if (table.count !== span.count || !index.agrees(span.first, span.offset, table))
			throw new SnapshotError("corrupt", "is not what the index says of it", place);
	}
}
