/**
 * Reads frames from a byte stream.
 *
 * Headers and small frames are read through a staging buffer, many with one call; a large payload goes from the stream into
 * its own buffer, so at most the staging buffer's size of it is copied twice. Nothing is allocated for a payload before
 * its header has passed every check.
 */
import type { ByteStream } from "../ports/byte-stream.ts";
import { LinkError } from "../ports/link.ts";
import { checkMagic, decodeFrameHeader, FRAME_HEADER_BYTES, type FrameHeader, type Hash64 } from "../wire/frame.ts";
import { isCheckedByConsumer } from "../wire/record-types.ts";
import type { BufferPool } from "./buffer-pool.ts";

/** Large enough for dozens of control records, small enough that copying it twice costs nothing beside a 256 KiB batch. */
const STAGING_BYTES = 16 * 1024;

/** A header and its payload, in a buffer of the pool. */
export interface ReadFrame {
	readonly header: FrameHeader;
	readonly payload: Uint8Array<ArrayBuffer>;
}

/** See the head of this file. */
export class FrameReader {
	readonly #stream: ByteStream;
	readonly #pool: BufferPool;
	readonly #hash64: Hash64;
	readonly #admit: (header: FrameHeader) => void;
	readonly #staging = new Uint8Array(STAGING_BYTES);
	#start = 0;
	#end = 0;

	/** @param admit - judges a header before its payload is read; throws a {@link LinkError}. */
	constructor(stream: ByteStream, pool: BufferPool, hash64: Hash64, admit: (header: FrameHeader) => void) {
		this.#stream = stream;
		this.#pool = pool;
		this.#hash64 = hash64;
		this.#admit = admit;
	}

	/**
	 * The next frame.
	 * @throws {LinkError} `lost` also when the stream ends without an end record: the peer's death looks like that.
	 */
	async next(): Promise<ReadFrame> {
		while (this.#end - this.#start < FRAME_HEADER_BYTES) await this.#readAhead();
		const bytes = this.#staging.subarray(this.#start, this.#start + FRAME_HEADER_BYTES);
		const header = decodeFrameHeader(bytes, this.#hash64);
		this.#start += FRAME_HEADER_BYTES;
		this.#admit(header);
		const buffer = this.#pool.take(header.payloadByteLength);
		try {
			const payload = new Uint8Array(buffer, 0, header.payloadByteLength);
			await this.#fill(payload);
			if (!isCheckedByConsumer(header.type) && this.#hash64(payload) !== header.checksum)
				throw new LinkError("corrupt", `the payload of a frame of type ${header.type} does not match its checksum`);
			return { header, payload };
		} catch (error) {
			this.#pool.giveBack(header.payloadByteLength, buffer);
			throw error;
		}
	}

	async #readAhead(): Promise<void> {
		if (this.#start > 0) {
			this.#staging.copyWithin(0, this.#start, this.#end);
			this.#end -= this.#start;
			this.#start = 0;
		}
		const count = await this.#stream.readInto(this.#staging.subarray(this.#end));
		if (count === 0) throw endOfStream(this.#end > 0);
		this.#end += count;
		checkMagic(this.#staging.subarray(0, this.#end));
	}

	async #fill(payload: Uint8Array<ArrayBuffer>): Promise<void> {
		let filled = Math.min(payload.byteLength, this.#end - this.#start);
		payload.set(this.#staging.subarray(this.#start, this.#start + filled));
		this.#start += filled;
		while (filled < payload.byteLength) {
			const count = await this.#stream.readInto(payload.subarray(filled), payload.byteLength - filled);
			if (count === 0) throw endOfStream(true);
			filled += count;
		}
	}
}

function endOfStream(insideFrame: boolean): LinkError {
	return new LinkError("lost", `the connection ended ${insideFrame ? "inside a frame" : "without a word"}`);
}
