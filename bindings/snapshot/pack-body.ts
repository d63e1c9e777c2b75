/**
 * Where the bytes of a pack go while it is written.
 *
 *   StreamedBody   into the store as they come: a few chunks of memory, whatever the pack's size
 *   BufferedBody   into memory, and to the store at the end: for stores that take no pieces, and for objects that must be
 *                  whole before they can be stored (encrypted ones, and those whose SHA-256 is wanted)
 */
import type { ObjectWriter } from "../ports/store-pieces.ts";
import { SnapshotError } from "./image-error.ts";

/** Bytes of a chunk: one call of the system each. Memory that is used again is 3 to 10 times as fast as fresh memory. */
const CHUNK_BYTES: number = 2 * 1024 * 1024;
/** Chunks of one snapshot's packs: one that is filled, two on their way to the file. */
const MAX_CHUNKS = 3;

/** See the head of this file. One call at a time. */
export interface PackBody {
	/** Copies bytes behind those before; resolves once the caller's may change. @throws the store's failure. */
	append(bytes: Uint8Array): Promise<void>;
	/** A copy of what was appended. @throws {SnapshotError} `busy` while it is finished: it can be read again when it is stored. */
	read(offset: number, byteLength: number): Promise<Uint8Array<ArrayBuffer>>;
	/** Makes the whole object durable. @returns its SHA-256 in hex where manifests are signed, else empty. */
	finish(): Promise<string>;
	/** Gives up what is not finished. Never rejects. */
	abandon(): Promise<void>;
}

/** Chunks that the packs of one writer share. */
export class ChunkPool {
	readonly #free: Uint8Array<ArrayBuffer>[] = [];
	readonly #waiting: ((chunk: Uint8Array<ArrayBuffer>) => void)[] = [];
	#made = 0;

	/** Bytes of all chunks. */
	get byteLength(): number {
		return this.#made * CHUNK_BYTES;
	}

	/** A chunk to fill; waits until one is free. */
	async take(): Promise<Uint8Array<ArrayBuffer>> {
		const free = this.#free.pop();
		if (free !== undefined) return free;
		if (this.#made < MAX_CHUNKS) {
			this.#made++;
			return new Uint8Array(CHUNK_BYTES);
		}
		return new Promise((resolve) => this.#waiting.push(resolve));
	}

	give(chunk: Uint8Array<ArrayBuffer>): void {
		const next = this.#waiting.shift();
		if (next === undefined) this.#free.push(chunk);
		else next(chunk);
	}
}

/** See the head of this file. */
export class StreamedBody implements PackBody {
	readonly #writer: ObjectWriter;
	readonly #chunks: ChunkPool;
	readonly #writing = new Set<Promise<void>>();
	#chunk: Uint8Array<ArrayBuffer> | undefined;
	#filled = 0;
	/** Where the chunk that is filled begins in the object. */
	#chunkAt = 0;
	#failure: { readonly error: unknown } | undefined;
	#isFinishing = false;

	constructor(writer: ObjectWriter, chunks: ChunkPool) {
		this.#writer = writer;
		this.#chunks = chunks;
	}

	async append(bytes: Uint8Array): Promise<void> {
		for (let at = 0; at < bytes.byteLength; ) {
			this.#chunk ??= await this.#chunks.take();
			this.#check();
			const piece = bytes.subarray(at, at + CHUNK_BYTES - this.#filled);
			this.#chunk.set(piece, this.#filled);
			this.#filled += piece.byteLength;
			at += piece.byteLength;
			if (this.#filled === CHUNK_BYTES) this.#flush();
		}
	}

	async read(offset: number, byteLength: number): Promise<Uint8Array<ArrayBuffer>> {
		const bytes = new Uint8Array(byteLength);
		const written = Math.min(byteLength, Math.max(0, this.#chunkAt - offset));
		if (written > 0) {
			await Promise.all(this.#writing);
			this.#check();
			if (this.#isFinishing) throw new SnapshotError("busy", "the pack is just being finished");
			await this.#writer.readInto(offset, bytes.subarray(0, written));
		}
		const from = offset + written - this.#chunkAt;
		if (written < byteLength) bytes.set(this.#chunk!.subarray(from, from + byteLength - written), written);
		return bytes;
	}

	async finish(): Promise<string> {
		if (this.#chunk !== undefined) this.#flush();
		await Promise.all(this.#writing);
		this.#check();
		this.#isFinishing = true;
		await this.#writer.finish();
		return "";
	}

	async abandon(): Promise<void> {
		await Promise.all(this.#writing);
		if (this.#chunk !== undefined) this.#chunks.give(this.#chunk);
		this.#chunk = undefined;
		await this.#writer.abort().catch(() => undefined); // what is left is garbage, and the next opening removes it
	}

	/** Sends the chunk on its way; what becomes of it, the next call says. */
	#flush(): void {
		const chunk = this.#chunk!;
		const bytes = chunk.subarray(0, this.#filled);
		this.#chunkAt += this.#filled;
		this.#filled = 0;
		this.#chunk = undefined;
		const writing: Promise<void> = this.#writer
			.write(bytes)
			.catch((error: unknown) => {
				this.#failure ??= { error };
			})
			.finally(() => {
				this.#writing.delete(writing);
				this.#chunks.give(chunk);
			});
		this.#writing.add(writing);
	}

	#check(): void {
		if (this.#failure !== undefined) throw this.#failure.error;
	}
}

/** See the head of this file. */
export class BufferedBody implements PackBody {
	readonly #store: (bytes: Uint8Array<ArrayBuffer>) => Promise<string>;
	#buffer: Uint8Array<ArrayBuffer>;
	#byteLength = 0;

	/** @param store - stores the whole object. @param firstBytes - of the buffer, which grows to `mostBytes`. */
	constructor(store: (bytes: Uint8Array<ArrayBuffer>) => Promise<string>, firstBytes: number) {
		this.#store = store;
		this.#buffer = new Uint8Array(firstBytes);
	}

	async append(bytes: Uint8Array): Promise<void> {
		const end = this.#byteLength + bytes.byteLength;
		if (end > this.#buffer.byteLength) {
			const grown = new Uint8Array(Math.max(end, 2 * this.#buffer.byteLength));
			grown.set(this.#buffer.subarray(0, this.#byteLength));
			this.#buffer = grown;
		}
		this.#buffer.set(bytes, this.#byteLength);
		this.#byteLength = end;
	}

	async read(offset: number, byteLength: number): Promise<Uint8Array<ArrayBuffer>> {
		return this.#buffer.slice(offset, offset + byteLength);
	}

	finish(): Promise<string> {
		return this.#store(this.#buffer.subarray(0, this.#byteLength));
	}

	async abandon(): Promise<void> {
		this.#buffer = new Uint8Array(0);
	}
}
