/**
 * A snapshot as one self-contained image, and back: what is sent elsewhere, or kept where there is no store.
 *
 *   image · description · (resource+)* · state+ · batch* · trailer
 *
 * An image is written and read as a stream, in chunks of any size. What is read becomes a snapshot of its own, with a new id,
 * and only once its trailer, every page and its digest have been found right.
 */
import { BatchDecoder, BatchError } from "../engine/batch.ts";
import { createEngine, type Engine } from "../engine/engine.ts";
import { hash64 } from "../engine/hash.ts";
import { FRAME_HEADER_BYTES } from "../wire/frame.ts";
import { MAX_CHUNK_BYTES } from "../wire/limits.ts";
import { IMAGE_TYPES, isOptional, RECORD_TYPES } from "../wire/record-types.ts";
import { encodeRecord } from "../wire/records.ts";
import { GrowingBytes } from "./growing-bytes.ts";
import {
	checkImageRecord,
	encodeImageRecord,
	FrameCount,
	hashIn,
	type ImageFrame,
	imageHeader,
	readHeader,
} from "./image.ts";
import { SnapshotError } from "./image-error.ts";
import { type Description, decodeDescription, encodeDescription, PieceReader, statePieces } from "./manifest.ts";
import { isSame } from "./pack-index.ts";
import type { SnapshotInfo } from "./store-info.ts";
import type { SnapshotReader } from "./store-reader.ts";
import type { BeginOptions, SnapshotWriter } from "./store-writer.ts";

/** See {@link exportImage}. */
export interface StreamOptions {
	readonly signal?: AbortSignal;
}

/** Frames of one image, front to back. */
class FrameStream {
	readonly #engine: Engine = createEngine();
	readonly #count = new FrameCount(this.#engine);

	/** One frame as two chunks. */
	frame(type: number, payload: Uint8Array, checksum: bigint = hash64(this.#engine, payload)): Uint8Array[] {
		const { frames: sequence } = this.#count;
		const { byteLength: payloadByteLength } = payload;
		const header = imageHeader(hashIn(this.#engine), { type, sequence, payloadByteLength, checksum });
		this.#count.add(header, payloadByteLength);
		return [header, payload];
	}

	trailer(): Uint8Array[] {
		return this.frame(IMAGE_TYPES.trailer, this.#count.trailer());
	}
}

/** The image of a snapshot, in chunks. @throws {SnapshotError} what is wrong with the snapshot: the image then has no end. */
export async function* exportImage(reader: SnapshotReader, { signal }: StreamOptions = {}): AsyncGenerator<Uint8Array> {
	const stream = new FrameStream();
	const { pageCount: _pageCount, parent: _parent, ...info } = reader.info;
	const description: Description = { ...info, chain: 0, resources: [] };
	yield* stream.frame(IMAGE_TYPES.image, encodeImageRecord({ role: "image", creator: info.id, number: 0 }));
	yield* stream.frame(IMAGE_TYPES.description, encodeDescription(description));
	for (const { hash } of info.layout.resources) {
		const bytes = await reader.resource(hash);
		for (let offset = 0; offset === 0 || offset < bytes.byteLength; offset += MAX_CHUNK_BYTES) {
			const piece = bytes.subarray(offset, offset + MAX_CHUNK_BYTES);
			const record = encodeRecord({ type: "resource", hash, offset, total: bytes.byteLength, bytes: piece });
			yield* stream.frame(RECORD_TYPES.resource, record.payload);
		}
	}
	for (const payload of statePieces(reader.state())) yield* stream.frame(RECORD_TYPES.state, payload);
	for await (const { bytes, checksum } of reader.batches(signal === undefined ? {} : { signal }))
		yield* stream.frame(RECORD_TYPES.batch, bytes, checksum);
	yield* stream.trailer();
}

/** What an import needs of a store. */
export interface ImportServices {
	readonly begin: (options: BeginOptions) => Promise<SnapshotWriter>;
	readonly checkPageCount: (pageCount: number) => void;
}

/** Makes a snapshot of an image. @throws {SnapshotError} naming the record or page; there is no snapshot then. */
export async function importImage(
	services: ImportServices,
	chunks: AsyncIterable<Uint8Array> | Iterable<Uint8Array>,
	{ signal }: StreamOptions = {},
): Promise<SnapshotInfo> {
	const frames = readFrames(chunks, signal);
	let image: ImageReception | undefined;
	try {
		const first = await nextFrame(frames);
		checkImageRecord(first, { role: "image" }, {});
		const described = await nextFrame(frames);
		if (described.type !== IMAGE_TYPES.description)
			throw new SnapshotError("corrupt", "is no description", { record: described.record });
		const description = decodeDescription(described.payload, { record: described.record });
		services.checkPageCount(description.layout.pageCount);
		const { layout, generation, label } = description;
		const writer = await services.begin({
			layout,
			...(generation === undefined ? {} : { generation }),
			...(label === undefined ? {} : { label }),
		});
		image = new ImageReception(description, writer);
		for await (const frame of frames) await image.take(frame);
		return await image.finish();
	} catch (error) {
		await image?.writer.abort();
		throw error;
	} finally {
		await frames.return(undefined);
	}
}

/** Takes the records of an image in their order: resources, state, batches. */
class ImageReception {
	readonly writer: SnapshotWriter;
	readonly #description: Description;
	readonly #state: PieceReader;
	readonly #decoder: BatchDecoder = new BatchDecoder(createEngine());
	readonly #wanted: string[];
	/** One bit for each page that has come. */
	readonly #seen: Uint8Array;
	#resource: { readonly hash: string; readonly total: number; readonly pieces: PieceReader } | undefined;
	#stateBytes: Uint8Array<ArrayBuffer> | undefined;

	constructor(description: Description, writer: SnapshotWriter) {
		this.#description = description;
		this.writer = writer;
		this.#state = new PieceReader("state", description.stateByteLength, "image");
		this.#wanted = description.layout.resources.map(({ hash }) => hash);
		this.#seen = new Uint8Array(Math.ceil(description.layout.pageCount / 8));
	}

	async take(frame: ImageFrame): Promise<void> {
		const isEarly = this.#stateBytes === undefined;
		if (frame.type === RECORD_TYPES.resource && isEarly) return this.#takeResource(frame);
		if (frame.type === RECORD_TYPES.state && isEarly) return this.#takeState(frame);
		if (frame.type === RECORD_TYPES.batch && !isEarly) return this.#takeBatch(frame);
		throw new SnapshotError("corrupt", "is not where an image may have it", { record: frame.record });
	}

	/** The trailer has been seen and fits. */
	finish(): Promise<SnapshotInfo> {
		if (this.#stateBytes === undefined) throw new SnapshotError("corrupt", "the image ends before its state does");
		const { digest, facts } = this.#description;
		return this.writer.commit({ state: this.#stateBytes, digest, facts });
	}

	async #takeResource(frame: ImageFrame): Promise<void> {
		const { layout } = this.#description;
		const hash = this.#resource?.hash ?? this.#wanted.shift();
		const fact = layout.resources.find((resource) => resource.hash === hash);
		if (hash === undefined || fact === undefined)
			throw new SnapshotError("corrupt", "is a resource that the layout does not name", { record: frame.record });
		this.#resource ??= { hash, total: fact.byteLength, pieces: new PieceReader("resource", fact.byteLength, "image") };
		const { pieces, total } = this.#resource;
		if (pieces.take(frame) !== hash)
			throw new SnapshotError("corrupt", "is a piece of another resource", { record: frame.record });
		if (pieces.byteLength < total) return;
		this.#resource = undefined;
		try {
			await this.writer.addResource(hash, pieces.finish());
		} catch (error) {
			if (!(error instanceof RangeError)) throw error;
			throw new SnapshotError("corrupt", error.message, { record: frame.record }, error);
		}
	}

	#takeState(frame: ImageFrame): Promise<void> {
		if (this.#wanted.length > 0 || this.#resource !== undefined)
			throw new SnapshotError("corrupt", "comes before all resources have", { record: frame.record });
		this.#state.take(frame);
		if (this.#state.byteLength === this.#description.stateByteLength) this.#stateBytes = this.#state.finish();
		return Promise.resolve();
	}

	async #takeBatch(frame: ImageFrame): Promise<void> {
		const { payload: bytes, checksum, record } = frame;
		try {
			const decoded = this.#decoder.decode(bytes, { pageCount: this.#description.layout.pageCount, checksum });
			const pageIndices = decoded.pageIndices();
			if (pageIndices.length === 0) throw new SnapshotError("corrupt", "is a batch without pages", { record });
			for (const pageIndex of pageIndices) this.#takePage(pageIndex, record);
		} catch (error) {
			if (!(error instanceof BatchError)) throw error;
			const { pageIndex } = error;
			const place = pageIndex === undefined ? { record } : { record, pageIndex };
			throw new SnapshotError("corrupt", error.message, place, error);
		}
		await this.writer.accept({ bytes, checksum });
	}

	/** An image has a page once: a stream without end cannot fill the store. */
	#takePage(pageIndex: number, record: string): void {
		const mask = 1 << (pageIndex & 7);
		if ((this.#seen[pageIndex >>> 3]! & mask) !== 0)
			throw new SnapshotError("corrupt", "has a page that came before", { record, pageIndex });
		this.#seen[pageIndex >>> 3]! |= mask;
	}
}

async function nextFrame(frames: AsyncGenerator<ImageFrame, void>): Promise<ImageFrame> {
	const { value, done } = await frames.next();
	if (done === true || value === undefined) throw new SnapshotError("corrupt", "the image ends before its description");
	return value;
}

/** The frames between the beginning and the trailer, each whole and checked. The payload is valid until the next one. */
async function* readFrames(
	chunks: AsyncIterable<Uint8Array> | Iterable<Uint8Array>,
	signal: AbortSignal | undefined,
): AsyncGenerator<ImageFrame, void> {
	const engine = createEngine();
	const bytes = new ChunkReader(chunks);
	const count = new FrameCount(engine);
	try {
		for (let offset = 0; ; ) {
			signal?.throwIfAborted();
			const { frames: sequence } = count;
			const header = await bytes.take(FRAME_HEADER_BYTES, `frame ${sequence}`);
			const { type, payloadByteLength, checksum, record } = readHeader(hashIn(engine), header, { sequence, offset });
			const payload = await bytes.take(payloadByteLength, record);
			// The decoder checks a batch's payload.
			if (type !== RECORD_TYPES.batch && hash64(engine, payload) !== checksum)
				throw new SnapshotError("corrupt", "its payload is damaged", { record });
			const frame = { type, record, payload, checksum, offset };
			if (type === IMAGE_TYPES.trailer) {
				if (!isSame(payload, count.trailer()))
					throw new SnapshotError("corrupt", "does not fit the frames before it", { record });
				if (!(await bytes.isAtEnd())) throw new SnapshotError("corrupt", "something comes behind the trailer");
				return;
			}
			count.add(header, payloadByteLength);
			offset += FRAME_HEADER_BYTES + payloadByteLength;
			if (!isOptional(type)) yield frame;
		}
	} finally {
		await bytes.close();
	}
}

/** Bytes of a stream, as many as are wanted. */
class ChunkReader {
	readonly #chunks: AsyncIterator<Uint8Array> | Iterator<Uint8Array>;
	#rest: Uint8Array = new Uint8Array(0);

	constructor(chunks: AsyncIterable<Uint8Array> | Iterable<Uint8Array>) {
		this.#chunks = Symbol.asyncIterator in chunks ? chunks[Symbol.asyncIterator]() : chunks[Symbol.iterator]();
	}

	/** A fresh array of exactly so many bytes; memory grows with what arrives. @throws {SnapshotError} `corrupt` at the end. */
	async take(byteLength: number, record: string): Promise<Uint8Array<ArrayBuffer>> {
		const bytes = new GrowingBytes(byteLength);
		while (bytes.byteLength < byteLength) {
			if (this.#rest.byteLength === 0 && !(await this.#next()))
				throw new SnapshotError("corrupt", "the image ends within it", { record });
			const piece = this.#rest.subarray(0, byteLength - bytes.byteLength);
			this.#rest = this.#rest.subarray(piece.byteLength);
			bytes.append(piece);
		}
		return bytes.take();
	}

	/** Whether nothing follows. */
	async isAtEnd(): Promise<boolean> {
		while (this.#rest.byteLength === 0) if (!(await this.#next())) return true;
		return false;
	}

	/** Nothing more is wanted of the stream. */
	async close(): Promise<void> {
		await this.#chunks.return?.();
	}

	async #next(): Promise<boolean> {
		const { value, done } = await this.#chunks.next();
		if (done === true || value === undefined) return false;
		this.#rest = value;
		return true;
	}
}
