/**
 * Verifies whole packs: each byte is read once, into memory that is used again, and compared with everything known of it.
 *
 *   open (exactly its length) ─▶ image record ─▶ index and trailer ─▶ batches, 4 MiB to a read ─▶ digest over all headers
 *                                                                     the next read under way while one is compared
 *
 * Per batch: its header, its table's checksum, every content against its hash (in the engine), the index against the table.
 */
import { BatchDecoder, BatchError } from "../engine/batch.ts";
import { createEngine, type Engine } from "../engine/engine.ts";
import { hash128 } from "../engine/hash.ts";
import { MAX_BATCH_PAGES } from "../ports/guest.ts";
import { toHex } from "../wire/digest.ts";
import { FRAME_HEADER_BYTES } from "../wire/frame.ts";
import { RECORD_TYPES } from "../wire/record-types.ts";
import { checkImageRecord, IMAGE_FRAME_BYTES, type ImageFrame, objectName, readFrame, TRAILER_BYTES } from "./image.ts";
import { SnapshotError } from "./image-error.ts";
import { INDEX_ENTRY_BYTES } from "./image-limits.ts";
import { BatchTable } from "./pack-batch.ts";
import type { PackIndex } from "./pack-index.ts";
import { type BatchSpan, groupSpans, readPackIndex, type SpanGroup, spansOf } from "./pack-reader.ts";
import type { PackReference } from "./pack-registry.ts";
import type { Catalog } from "./store-catalog.ts";
import type { OpenObject } from "./store-objects.ts";

/** See the head of this file. One pack at a time. */
export class PackVerifier {
	readonly #catalog: Catalog;
	readonly #engine: Engine = createEngine();
	/** One is read into while the other is compared. */
	readonly #buffers: [Uint8Array<ArrayBuffer>, Uint8Array<ArrayBuffer>] = [new Uint8Array(0), new Uint8Array(0)];
	#decoder: { readonly maxPages: number; readonly decoder: BatchDecoder } | undefined;

	constructor(catalog: Catalog) {
		this.#catalog = catalog;
	}

	/**
	 * @param onRead - told how many bytes of the pack have been compared.
	 * @returns the pack's index, which agrees with its batches.
	 * @throws {SnapshotError} naming the object, and the record or page that is wrong.
	 */
	async verify(
		slot: number,
		signal?: AbortSignal,
		onRead: (bytes: number) => void = () => undefined,
	): Promise<PackIndex> {
		const pack = this.#catalog.registry.get(slot);
		const opened = await this.#catalog.objects.open(pack);
		try {
			return await this.#verify(pack, opened, signal, onRead);
		} finally {
			await opened.close();
		}
	}

	async #verify(
		pack: PackReference,
		opened: OpenObject,
		signal: AbortSignal | undefined,
		onRead: (bytes: number) => void,
	): Promise<PackIndex> {
		const object = objectName(pack.identity);
		const headers = new Headers();
		headers.add(await this.#first(pack, opened));
		const indexAt = pack.byteLength - TRAILER_BYTES - FRAME_HEADER_BYTES - pack.entries * INDEX_ENTRY_BYTES;
		const end = new Uint8Array(pack.byteLength - indexAt);
		await opened.readInto(indexAt, end);
		const index = readPackIndex(this.#engine, end, indexAt, pack);
		let next = IMAGE_FRAME_BYTES;
		for await (const { group, bytes } of this.#groups(opened, groupSpans(index, spansOf(index)), signal))
			for (const span of group.spans) {
				if (span.offset !== next)
					throw new SnapshotError("corrupt", `nothing is known of the bytes at ${next}`, { object });
				const at = span.offset - group.offset;
				// The payload is left to the decoder, which checks it where it lies.
				const frame = readFrame(this.#engine, bytes, at, { object, offset: span.offset }, { trustPayload: true });
				this.#checkBatch(frame, span, index, { object, record: `batch ${headers.count}` });
				headers.add(bytes.subarray(at, at + FRAME_HEADER_BYTES));
				next += FRAME_HEADER_BYTES + frame.payload.byteLength;
				onRead(next);
			}
		if (next !== indexAt) throw new SnapshotError("corrupt", `nothing is known of the bytes at ${next}`, { object });
		headers.add(end.subarray(0, FRAME_HEADER_BYTES));
		if (toHex(hash128(this.#engine, headers.bytes)) !== pack.digest)
			throw new SnapshotError("corrupt", "its trailer does not fit the frames before it", { object });
		return index;
	}

	/** @returns the header of the image record. */
	async #first(pack: PackReference, opened: OpenObject): Promise<Uint8Array> {
		const object = objectName(pack.identity);
		const bytes = new Uint8Array(IMAGE_FRAME_BYTES);
		await opened.readInto(0, bytes);
		checkImageRecord(readFrame(this.#engine, bytes, 0, { object, sequence: 0, offset: 0 }), pack.identity, { object });
		return bytes.subarray(0, FRAME_HEADER_BYTES);
	}

	/** Reads group after group, the next one while the caller looks at one. Bytes are valid until the next turn. */
	async *#groups(
		opened: OpenObject,
		groups: readonly SpanGroup[],
		signal: AbortSignal | undefined,
	): AsyncGenerator<{ readonly group: SpanGroup; readonly bytes: Uint8Array<ArrayBuffer> }> {
		const read = async (number: number): Promise<Uint8Array<ArrayBuffer>> => {
			const { offset, byteLength } = groups[number]!;
			const side = number % 2 === 0 ? 0 : 1;
			if (this.#buffers[side].byteLength < byteLength) this.#buffers[side] = new Uint8Array(byteLength);
			const bytes = this.#buffers[side].subarray(0, byteLength);
			await opened.readInto(offset, bytes);
			return bytes;
		};
		let reading = groups.length === 0 ? undefined : read(0);
		try {
			for (const [number, group] of groups.entries()) {
				const bytes = await reading!;
				signal?.throwIfAborted();
				reading = number + 1 < groups.length ? read(number + 1) : undefined;
				reading?.catch(() => undefined); // awaited in its turn; a failure before that must not go unhandled
				yield { group, bytes };
			}
		} finally {
			await reading?.catch(() => undefined); // what was read ahead for nothing
		}
	}

	#checkBatch(
		frame: ImageFrame,
		span: BatchSpan,
		index: PackIndex,
		place: { readonly object: string; readonly record: string },
	): void {
		if (frame.type !== RECORD_TYPES.batch) throw new SnapshotError("corrupt", "is no batch", place);
		if (span.count > MAX_BATCH_PAGES) throw new SnapshotError("corrupt", `is said to have ${span.count} pages`, place);
		try {
			this.#decoderOf(span.count).decode(frame.payload, { pageCount: 0xffff_ffff, checksum: frame.checksum });
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
		const table = new BatchTable(frame.payload, 0xffff_ffff, place);
		if (table.count !== span.count || !index.agrees(span.first, span.offset, table))
			throw new SnapshotError("corrupt", "is not what the index says of it", place);
	}

	/** A decoder for batches of so many pages: an iteration's batches need a quarter of the memory of the largest ones. */
	#decoderOf(pages: number): BatchDecoder {
		if (this.#decoder === undefined || this.#decoder.maxPages < pages) {
			const maxPages = Math.min(MAX_BATCH_PAGES, Math.max(pages, 2 * (this.#decoder?.maxPages ?? 0)));
			this.#decoder = { maxPages, decoder: new BatchDecoder(this.#engine, { maxPages }) };
		}
		return this.#decoder.decoder;
	}
}

/** Headers one after the other, as the trailer's digest takes them. */
class Headers {
	#bytes: Uint8Array<ArrayBuffer> = new Uint8Array(64 * FRAME_HEADER_BYTES);
	#count = 0;

	get count(): number {
		return this.#count;
	}

	get bytes(): Uint8Array<ArrayBuffer> {
		return this.#bytes.subarray(0, this.#count * FRAME_HEADER_BYTES);
	}

	add(header: Uint8Array): void {
		const at = this.#count++ * FRAME_HEADER_BYTES;
		if (at === this.#bytes.byteLength) {
			const grown = new Uint8Array(2 * at);
			grown.set(this.#bytes);
			this.#bytes = grown;
		}
		this.#bytes.set(header, at);
	}
}
