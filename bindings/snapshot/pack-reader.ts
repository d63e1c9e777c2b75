/**
 * Reads packs: indexes, single batches through a small cache, many batches in order with the next read under way. Packs that
 * a writer has not stored yet are read from where it writes them, so that nobody has to know the difference.
 *
 * Invariant: no byte of a batch is handed out before its frame matches its checksums.
 */
import type { Engine } from "../engine/engine.ts";
import { FRAME_HEADER_BYTES } from "../wire/frame.ts";
import { IMAGE_TYPES, RECORD_TYPES } from "../wire/record-types.ts";
import { decodeTrailer, objectName, readFrame, TRAILER_BYTES } from "./image.ts";
import { SnapshotError } from "./image-error.ts";
import { FRAME_CACHE_BYTES, INDEX_ENTRY_BYTES, READ_AHEAD_BYTES } from "./image-limits.ts";
import { PackIndex } from "./pack-index.ts";
import type { PackReference, PackRegistry } from "./pack-registry.ts";
import type { ObjectAccess } from "./store-objects.ts";

/** Bytes of indexes that are kept: those of 64 full packs. */
const INDEX_CACHE_BYTES: number = 16 * 1024 * 1024;

/** A pack that is still in memory. */
export interface OpenPack {
	/** Its name. */
	readonly object: string;
	readonly index: PackIndex;
	/** A copy of bytes written so far. */
	read(offset: number, byteLength: number): Promise<Uint8Array<ArrayBuffer>>;
}

/** A batch's frame. Views. */
export interface BatchFrame {
	readonly header: Uint8Array<ArrayBuffer>;
	/** The payload. */
	readonly bytes: Uint8Array<ArrayBuffer>;
	readonly checksum: bigint;
}

/** Entries of one pack that lie in one batch: first … first + count − 1 of the pack. */
export interface BatchSpan {
	readonly offset: number;
	readonly first: number;
	readonly count: number;
}

/** See {@link PackReader.frames}. */
export interface FramesOptions {
	readonly signal?: AbortSignal | undefined;
}

/** See the head of this file. */
export class PackReader {
	readonly #engine: Engine;
	readonly #objects: ObjectAccess;
	readonly #registry: PackRegistry;
	readonly #open = new Map<number, OpenPack>();
	readonly #indexes = new ByteCache<number, PackIndex>(INDEX_CACHE_BYTES, (index) => index.memoryBytes);
	readonly #frames = new ByteCache<number, BatchFrame>(FRAME_CACHE_BYTES, (frame) => frame.bytes.byteLength);

	constructor(engine: Engine, objects: ObjectAccess, registry: PackRegistry) {
		this.#engine = engine;
		this.#objects = objects;
		this.#registry = registry;
	}

	/** A pack is being written: it is read from memory until {@link stored}. */
	opened(slot: number, pack: OpenPack): void {
		this.#open.set(slot, pack);
	}

	/** The pack is in the store, with this index; or, without one, will never be. */
	stored(slot: number, index?: PackIndex): void {
		this.#open.delete(slot);
		if (index !== undefined) this.#indexes.set(slot, index);
	}

	/** What a pack holds, if nothing has to be read for it. */
	indexAtHand(slot: number): PackIndex | undefined {
		return this.#open.get(slot)?.index ?? this.#indexes.get(slot);
	}

	/** The batch that begins at this offset of a pack, if nothing has to be read for it. */
	frameAtHand(slot: number, offset: number): BatchFrame | undefined {
		return this.#frames.get(frameKey(slot, offset));
	}

	/** What a pack holds. @throws {SnapshotError} `missing`, `corrupt`, … */
	async index(slot: number): Promise<PackIndex> {
		const known = this.indexAtHand(slot);
		if (known !== undefined) return known;
		const pack = this.#registry.get(slot);
		const index = await this.#readIndex(pack);
		this.#indexes.set(slot, index);
		return index;
	}

	/** The batch that holds an entry. */
	async frame(slot: number, entry: number): Promise<BatchFrame> {
		const index = await this.index(slot);
		const offset = index.frameOffset(entry);
		const known = this.frameAtHand(slot, offset);
		if (known !== undefined) return known;
		const byteLength = spanBytes(index, spanAround(index, entry));
		const open = this.#open.get(slot);
		const object = open?.object ?? objectName(this.#registry.get(slot).identity);
		const bytes = await (open === undefined
			? this.#objects.range(this.#registry.get(slot), offset, byteLength)
			: open.read(offset, byteLength));
		return this.#keep(slot, this.#check(bytes, 0, offset, object), offset);
	}

	/**
	 * Batches of a stored pack in the order of `spans`, several to a read, the next read under way while one is used.
	 */
	async *frames(
		slot: number,
		spans: readonly BatchSpan[],
		options: FramesOptions = {},
	): AsyncGenerator<{ readonly span: BatchSpan; readonly frame: BatchFrame }> {
		const pack = this.#registry.get(slot);
		const index = await this.index(slot);
		const groups = groupSpans(index, spans);
		const read = (group: SpanGroup | undefined) => {
			const reading = group === undefined ? undefined : this.#objects.range(pack, group.offset, group.byteLength);
			reading?.catch(() => undefined); // awaited in its turn; a failure before that must not go unhandled
			return reading;
		};
		let next = read(groups[0]);
		for (const [i, group] of groups.entries()) {
			const bytes = await next;
			options.signal?.throwIfAborted();
			next = read(groups[i + 1]);
			if (bytes === undefined) return;
			for (const span of group.spans) {
				const frame = this.#check(bytes, span.offset - group.offset, span.offset, objectName(pack.identity));
				yield { span, frame };
			}
		}
	}

	#check(bytes: Uint8Array<ArrayBuffer>, at: number, offset: number, object: string): BatchFrame {
		const frame = readFrame(this.#engine, bytes, at, { object, offset });
		if (frame.type !== RECORD_TYPES.batch)
			throw new SnapshotError("corrupt", "is no batch", { object, record: frame.record });
		const header = bytes.subarray(at, at + FRAME_HEADER_BYTES);
		return { header, bytes: frame.payload, checksum: frame.checksum };
	}

	#keep(slot: number, frame: BatchFrame, offset: number): BatchFrame {
		this.#frames.set(frameKey(slot, offset), frame);
		return frame;
	}

	async #readIndex(pack: PackReference): Promise<PackIndex> {
		const { offset, bytes } = await this.#end(pack);
		return readPackIndex(this.#engine, bytes, offset, pack);
	}

	async #end(pack: PackReference): Promise<{ readonly offset: number; readonly bytes: Uint8Array<ArrayBuffer> }> {
		const frameBytes = FRAME_HEADER_BYTES + pack.entries * INDEX_ENTRY_BYTES;
		const offset = pack.byteLength - TRAILER_BYTES - frameBytes;
		return { offset, bytes: await this.#objects.range(pack, offset, frameBytes + TRAILER_BYTES) };
	}
}

/** Index and trailer of a pack, checked against what refers to the pack. `bytes` begin at the index. */
export function readPackIndex(
	engine: Engine,
	bytes: Uint8Array<ArrayBuffer>,
	offset: number,
	pack: PackReference,
): PackIndex {
	const place = { object: objectName(pack.identity) };
	const frame = readFrame(engine, bytes, 0, { object: place.object, offset });
	const end = FRAME_HEADER_BYTES + frame.payload.byteLength;
	const last = readFrame(engine, bytes, end, { object: place.object, offset: offset + end });
	const trailer = decodeTrailer(last, place);
	const at = { ...place, record: frame.record };
	if (frame.type !== IMAGE_TYPES.index || frame.record !== `index ${trailer.frames - 1}`)
		throw new SnapshotError("corrupt", "is not the index that must be here", at);
	if (trailer.digest !== pack.digest)
		throw new SnapshotError("corrupt", "is not the pack that was referred to: its digest differs", place);
	if (trailer.lastFrameBytes !== end || frame.payload.byteLength !== pack.entries * INDEX_ENTRY_BYTES)
		throw new SnapshotError("corrupt", "has another number of entries than its manifest says", at);
	return new PackIndex(frame.payload, at);
}

/** The batches of a pack, in order. */
export function spansOf(index: PackIndex): BatchSpan[] {
	const spans: BatchSpan[] = [];
	for (let first = 0; first < index.entries; ) {
		const offset = index.frameOffset(first);
		let end = first + 1;
		while (end < index.entries && index.frameOffset(end) === offset) end++;
		spans.push({ offset, first, count: end - first });
		first = end;
	}
	return spans;
}

/** The batch that an entry is in. */
function spanAround(index: PackIndex, entry: number): BatchSpan {
	const offset = index.frameOffset(entry);
	let first = entry;
	while (first > 0 && index.frameOffset(first - 1) === offset) first--;
	let end = entry + 1;
	while (end < index.entries && index.frameOffset(end) === offset) end++;
	return { offset, first, count: end - first };
}

/** Bytes of a batch's frame: its last payload ends it. */
function spanBytes(index: PackIndex, { first, count }: BatchSpan): number {
	const last = first + count - 1;
	return FRAME_HEADER_BYTES + index.payloadOffset(last) + index.byteLength(last);
}

/** A pack's offsets stay far below 2^32, and slots below 2^20. */
const frameKey = (slot: number, offset: number): number => slot * 2 ** 32 + offset;

/** Neighbouring batches that are read in one go. */
export interface SpanGroup {
	readonly offset: number;
	readonly byteLength: number;
	readonly spans: readonly BatchSpan[];
}

/** Neighbouring batches together, up to a few MiB. */
export function groupSpans(index: PackIndex, spans: readonly BatchSpan[]): SpanGroup[] {
	const groups: { offset: number; byteLength: number; spans: BatchSpan[] }[] = [];
	for (const span of spans) {
		const byteLength = spanBytes(index, span);
		const last = groups.at(-1);
		const isNext = last !== undefined && last.offset + last.byteLength === span.offset;
		if (isNext && last.byteLength + byteLength <= READ_AHEAD_BYTES) {
			last.byteLength += byteLength;
			last.spans.push(span);
		} else groups.push({ offset: span.offset, byteLength, spans: [span] });
	}
	return groups;
}

/** Keeps what was used last, up to so many bytes. */
class ByteCache<Key, Value> {
	readonly #limit: number;
	readonly #sizeOf: (value: Value) => number;
	readonly #values = new Map<Key, Value>();
	#byteLength = 0;
	/** What was used last of all. */
	#latest: { readonly key: Key; readonly value: Value } | undefined;

	constructor(limit: number, sizeOf: (value: Value) => number) {
		this.#limit = limit;
		this.#sizeOf = sizeOf;
	}

	get(key: Key): Value | undefined {
		if (key === this.#latest?.key) return this.#latest.value;
		const value = this.#values.get(key);
		if (value === undefined) return undefined;
		this.#values.delete(key);
		this.#values.set(key, value);
		this.#latest = { key, value };
		return value;
	}

	set(key: Key, value: Value): void {
		const old = this.#values.get(key);
		if (old !== undefined) this.#byteLength -= this.#sizeOf(old);
		this.#values.delete(key);
		this.#values.set(key, value);
		this.#latest = { key, value };
		this.#byteLength += this.#sizeOf(value);
		for (const [oldest, held] of this.#values) {
			if (this.#byteLength <= this.#limit || oldest === key) break;
			this.#values.delete(oldest);
			this.#byteLength -= this.#sizeOf(held);
		}
	}
}
