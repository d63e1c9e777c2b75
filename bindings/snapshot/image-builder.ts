/**
 * Writes a small object into one buffer, front to back: manifests, resources, lists. Packs have their own writer.
 */
import type { Engine } from "../engine/engine.ts";
import { hash64 } from "../engine/hash.ts";
import { FRAME_HEADER_BYTES, type Hash64 } from "../wire/frame.ts";
import { IMAGE_TYPES } from "../wire/record-types.ts";
import {
	encodeImageRecord,
	encodeTrailer,
	hashIn,
	type Identity,
	imageHeader,
	objectName,
	TRAILER_BYTES,
} from "./image.ts";

/** First size of a buffer: a manifest of a small guest. It doubles when it is full. */
const FIRST_BYTES = 64 * 1024;

/** How an object is referred to by another: a name never stands for other bytes than these. */
export interface ObjectReference {
	readonly identity: Identity;
	readonly byteLength: number;
	/** Its trailer's digest, 32 hex digits. */
	readonly digest: string;
}

/** A finished object. The bytes are a view of the builder's buffer. */
export interface BuiltObject extends ObjectReference {
	readonly name: string;
	readonly bytes: Uint8Array<ArrayBuffer>;
}

/** See the head of this file. */
export class ObjectBuilder {
	readonly identity: Identity;
	readonly #engine: Engine;
	readonly #hash: Hash64;
	readonly #frameOffsets: number[] = [];
	#buffer: Uint8Array<ArrayBuffer> = new Uint8Array(FIRST_BYTES);
	#byteLength = 0;

	constructor(engine: Engine, identity: Identity) {
		this.identity = identity;
		this.#engine = engine;
		this.#hash = hashIn(engine);
		this.append(IMAGE_TYPES.image, encodeImageRecord(identity));
	}

	/** Bytes so far. */
	get byteLength(): number {
		return this.#byteLength;
	}

	/** Frames so far. */
	get frames(): number {
		return this.#frameOffsets.length;
	}

	/**
	 * Adds a frame.
	 * @param checksum - XXH3-64 of the payload, where it is known: nothing is hashed then.
	 * @returns where its header begins.
	 */
	append(type: number, payload: Uint8Array, checksum: bigint = hash64(this.#engine, payload)): number {
		const at = this.#byteLength;
		const end = at + FRAME_HEADER_BYTES + payload.byteLength;
		this.#reserve(end);
		const sequence = this.#frameOffsets.length;
		const header = imageHeader(this.#hash, { type, sequence, payloadByteLength: payload.byteLength, checksum });
		this.#buffer.set(header, at);
		this.#buffer.set(payload, at + FRAME_HEADER_BYTES);
		this.#frameOffsets.push(at);
		this.#byteLength = end;
		return at;
	}

	/** A view of what has been written. Valid until the next {@link append}. */
	view(offset: number, byteLength: number): Uint8Array<ArrayBuffer> {
		return this.#buffer.subarray(offset, offset + byteLength);
	}

	/** Adds the trailer. Only {@link appendBehind} may follow. */
	finish(): BuiltObject {
		const headers = new Uint8Array(this.#frameOffsets.length * FRAME_HEADER_BYTES);
		for (const [i, offset] of this.#frameOffsets.entries())
			headers.set(this.view(offset, FRAME_HEADER_BYTES), i * FRAME_HEADER_BYTES);
		const lastFrameBytes = this.#byteLength - (this.#frameOffsets.at(-1) ?? 0);
		const payload = encodeTrailer(this.#engine, headers, lastFrameBytes);
		this.append(IMAGE_TYPES.trailer, payload);
		return this.built();
	}

	/** The object as it is now, after {@link finish}. */
	built(): BuiltObject {
		const trailerAt = this.#frameOffsets.findLast((offset) => this.#typeAt(offset) === IMAGE_TYPES.trailer) ?? 0;
		const digest = this.view(trailerAt + TRAILER_BYTES - 16, 16);
		return {
			identity: this.identity,
			name: objectName(this.identity),
			byteLength: this.#byteLength,
			digest: Array.from(digest, (byte) => byte.toString(16).padStart(2, "0")).join(""),
			bytes: this.view(0, this.#byteLength),
		};
	}

	#typeAt(offset: number): number {
		return this.#buffer[offset + 6]! | (this.#buffer[offset + 7]! << 8);
	}

	#reserve(byteLength: number): void {
		if (byteLength <= this.#buffer.byteLength) return;
		const grown = new Uint8Array(Math.max(byteLength, 2 * this.#buffer.byteLength));
		grown.set(this.#buffer.subarray(0, this.#byteLength));
		this.#buffer = grown;
	}
}
