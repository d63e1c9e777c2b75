/**
 * Objects that are encrypted in the store, and objects whose SHA-256 is known.
 *
 * A sealed object is one `sealed` frame and `segment` frames:
 *
 *   sealed, 112 bytes   0             2               4              8              16               48           112
 *                       ┌─────────────┬───────────────┬──────────────┬──────────────┬────────────────┬────────────┐
 *                       │ version u16 │ algorithm u16 │ segment u32  │ plain length │ salt, 32 bytes │ key id,    │
 *                       │ 1           │ 1             │ bytes        │ u64          │                │ UTF-8, 0 … │
 *                       └─────────────┴───────────────┴──────────────┴──────────────┴────────────────┴────────────┘
 *
 *   key       HKDF-SHA-256(key of the ring, salt, "pageferry sealed 1\n" + the object's name) → AES-256, for this object only
 *   segment   AES-GCM of 256 KiB of the plain object, tag of 16 bytes behind it
 *   nonce     u32 number of the segment · u32 1 for the last one, else 0 · u32 0
 *   and the sealed record is authenticated with every segment
 *
 * So segments cannot be exchanged, left out, repeated or cut off, nor an object be passed off as another. The salt must not
 * repeat under one key: it comes from the Random port, which has to be the platform's own wherever secrets are.
 */
import type { Engine } from "../engine/engine.ts";
import { hash64 } from "../engine/hash.ts";
import type { Random } from "../ports/random.ts";
import { toHex } from "../wire/digest.ts";
import { FRAME_HEADER_BYTES } from "../wire/frame.ts";
import { IMAGE_TYPES } from "../wire/record-types.ts";
import { hashIn, type Identity, imageHeader, objectName, readFrame } from "./image.ts";
import { SnapshotError } from "./image-error.ts";
import { SEGMENT_BYTES } from "./image-limits.ts";
import { checkKeyId, KEY_ID_BYTES, type Sealing } from "./seal.ts";
import { type ObjectAccess, type OpenObject, openByRanges, type StoredObject } from "./store-objects.ts";

const SEALED_BYTES = 112;
const TAG_BYTES = 16;
const SEALED_VERSION = 1;
const AES_256_GCM = 1;
const FIRST_FRAME_BYTES: number = FRAME_HEADER_BYTES + SEALED_BYTES;
/** What a full segment takes. */
const SEGMENT_FRAME_BYTES: number = FRAME_HEADER_BYTES + SEGMENT_BYTES + TAG_BYTES;
/** Keys of objects that are kept at hand. */
const MAX_KEYS = 64;

interface OpenedObject {
	readonly key: CryptoKey;
	/** The sealed record: authenticated with every segment. */
	readonly record: Uint8Array<ArrayBuffer>;
}

/** See the head of this file. */
export class SealedObjects implements ObjectAccess {
	readonly #engine: Engine;
	readonly #random: Random;
	readonly #inner: ObjectAccess;
	readonly #encryption: NonNullable<Sealing["encryption"]>;
	readonly #opened = new Map<string, OpenedObject>();

	/** @throws RangeError if the key to encrypt with is not in the ring. */
	constructor(engine: Engine, random: Random, inner: ObjectAccess, encryption: NonNullable<Sealing["encryption"]>) {
		for (const keyId of encryption.keys.keys()) checkKeyId(keyId);
		if (!encryption.keys.has(encryption.keyId))
			throw new RangeError(`sealing.encryption.keyId: there is no key '${encryption.keyId}'`);
		this.#engine = engine;
		this.#random = random;
		this.#inner = inner;
		this.#encryption = encryption;
	}

	async put(identity: Identity, bytes: Uint8Array<ArrayBuffer>): Promise<void> {
		const name = objectName(identity);
		const record = this.#encodeRecord(bytes.byteLength);
		const key = await this.#deriveKey(name, record);
		const sealed = new Uint8Array(sealedLength(bytes.byteLength));
		this.#write(sealed, 0, IMAGE_TYPES.sealed, 0, record);
		const segments = segmentCount(bytes.byteLength);
		for (let segment = 0; segment < segments; segment++) {
			const plain = bytes.subarray(segment * SEGMENT_BYTES, (segment + 1) * SEGMENT_BYTES);
			const parameters = gcm(segment, segment === segments - 1, record);
			const encrypted = new Uint8Array(await crypto.subtle.encrypt(parameters, key, plain));
			const at = FIRST_FRAME_BYTES + segment * SEGMENT_FRAME_BYTES;
			this.#write(sealed, at, IMAGE_TYPES.segment, segment + 1, encrypted);
		}
		await this.#inner.put(identity, sealed);
	}

	/** A sealed object's first frame says how long it is: none is begun before its end is known. */
	async create(): Promise<undefined> {
		return undefined;
	}

	async open(object: StoredObject): Promise<OpenObject> {
		const sealed = { identity: object.identity, byteLength: sealedLength(object.byteLength) };
		await (await this.#inner.open(sealed)).close(); // it has exactly its length
		return openByRanges(this, object);
	}

	async get(object: StoredObject): Promise<Uint8Array<ArrayBuffer>> {
		const byteLength = sealedLength(object.byteLength);
		const sealed = await this.#inner.get({ identity: object.identity, byteLength });
		const opened = await this.#open(object, sealed.subarray(0, FIRST_FRAME_BYTES));
		return this.#decrypt(object, opened, sealed.subarray(FIRST_FRAME_BYTES), 0, segmentCount(object.byteLength));
	}

	async range(object: StoredObject, offset: number, byteLength: number): Promise<Uint8Array<ArrayBuffer>> {
		const sealed = { identity: object.identity, byteLength: sealedLength(object.byteLength) };
		const name = objectName(object.identity);
		if (offset + byteLength > object.byteLength)
			throw new SnapshotError("corrupt", `has no ${byteLength} bytes at ${offset}`, { object: name });
		// Whoever reads an object from its beginning wants to know whether its beginning is right.
		const known = offset === 0 ? undefined : this.#opened.get(name);
		const opened = known ?? (await this.#open(object, await this.#inner.range(sealed, 0, FIRST_FRAME_BYTES)));
		const first = Math.floor(offset / SEGMENT_BYTES);
		const end = Math.max(first + 1, segmentCount(offset + byteLength));
		const from = FIRST_FRAME_BYTES + first * SEGMENT_FRAME_BYTES;
		const to = Math.min(FIRST_FRAME_BYTES + end * SEGMENT_FRAME_BYTES, sealed.byteLength);
		const bytes = await this.#inner.range(sealed, from, to - from);
		const plain = await this.#decrypt(object, opened, bytes, first, end);
		const start = offset - first * SEGMENT_BYTES;
		return plain.subarray(start, start + byteLength);
	}

	#write(into: Uint8Array, at: number, type: number, sequence: number, payload: Uint8Array): void {
		const checksum = hash64(this.#engine, payload);
		const header = { type, sequence, payloadByteLength: payload.byteLength, checksum };
		into.set(imageHeader(hashIn(this.#engine), header), at);
		into.set(payload, at + FRAME_HEADER_BYTES);
	}

	#encodeRecord(byteLength: number): Uint8Array<ArrayBuffer> {
		const record = new Uint8Array(SEALED_BYTES);
		const view = new DataView(record.buffer);
		view.setUint16(0, SEALED_VERSION, true);
		view.setUint16(2, AES_256_GCM, true);
		view.setUint32(4, SEGMENT_BYTES, true);
		view.setBigUint64(8, BigInt(byteLength), true);
		this.#random.fill(record.subarray(16, 48));
		record.set(new TextEncoder().encode(this.#encryption.keyId), SEALED_BYTES - KEY_ID_BYTES);
		return record;
	}

	/** Checks the sealed record and derives the object's key. */
	async #open(object: StoredObject, bytes: Uint8Array<ArrayBuffer>): Promise<OpenedObject> {
		const name = objectName(object.identity);
		const frame = readFrame(this.#engine, bytes, 0, { object: name, sequence: 0, offset: 0 });
		const place = { object: name, record: frame.record };
		if (frame.type !== IMAGE_TYPES.sealed) throw new SnapshotError("sealed", "is not encrypted", place);
		const record = frame.payload.slice();
		if (record.byteLength !== SEALED_BYTES) throw new SnapshotError("corrupt", "has another length", place);
		const view = new DataView(record.buffer);
		const version = view.getUint16(0, true);
		if (
			version !== SEALED_VERSION ||
			view.getUint16(2, true) !== AES_256_GCM ||
			view.getUint32(4, true) !== SEGMENT_BYTES
		)
			throw new SnapshotError("unsupported-version", `is sealed in way ${version}, this side opens 1`, place);
		if (view.getBigUint64(8, true) !== BigInt(object.byteLength))
			throw new SnapshotError("corrupt", "has another length than what refers to it says", place);
		const opened = { record, key: await this.#deriveKey(name, record) };
		if (this.#opened.size >= MAX_KEYS) this.#opened.delete(this.#opened.keys().next().value ?? "");
		this.#opened.set(name, opened);
		return opened;
	}

	async #deriveKey(name: string, record: Uint8Array<ArrayBuffer>): Promise<CryptoKey> {
		const keyId = new TextDecoder().decode(record.subarray(SEALED_BYTES - KEY_ID_BYTES)).replace(/\0+$/, "");
		const key = this.#encryption.keys.get(keyId);
		if (key === undefined)
			throw new SnapshotError("sealed", `is encrypted with the key '${keyId}', which is not here`, { object: name });
		const info = new TextEncoder().encode(`pageferry sealed 1\n${name}`);
		const parameters = { name: "HKDF", hash: "SHA-256", salt: record.slice(16, 48), info };
		const use = { name: "AES-GCM", length: 256 };
		return crypto.subtle.deriveKey(parameters, key, use, false, ["encrypt", "decrypt"]);
	}

	/** Segments first … end − 1, which `bytes` hold. */
	async #decrypt(
		object: StoredObject,
		{ key, record }: OpenedObject,
		bytes: Uint8Array<ArrayBuffer>,
		first: number,
		end: number,
	): Promise<Uint8Array<ArrayBuffer>> {
		const name = objectName(object.identity);
		const last = segmentCount(object.byteLength) - 1;
		const plainEnd = Math.min(end * SEGMENT_BYTES, object.byteLength);
		const plain = new Uint8Array(plainEnd - first * SEGMENT_BYTES);
		for (let segment = first; segment < end; segment++) {
			const at = (segment - first) * SEGMENT_FRAME_BYTES;
			const offset = FIRST_FRAME_BYTES + segment * SEGMENT_FRAME_BYTES;
			const frame = readFrame(this.#engine, bytes, at, { object: name, sequence: segment + 1, offset });
			const place = { object: name, record: frame.record };
			if (frame.type !== IMAGE_TYPES.segment) throw new SnapshotError("corrupt", "is no segment", place);
			let piece: Uint8Array;
			try {
				piece = new Uint8Array(await crypto.subtle.decrypt(gcm(segment, segment === last, record), key, frame.payload));
			} catch (error) {
				throw new SnapshotError("sealed", "is not what was encrypted with this key", place, error);
			}
			const room = Math.min(SEGMENT_BYTES, object.byteLength - segment * SEGMENT_BYTES);
			if (piece.byteLength !== room) throw new SnapshotError("corrupt", "has another length", place);
			plain.set(piece, (segment - first) * SEGMENT_BYTES);
		}
		return plain;
	}
}

const segmentCount = (byteLength: number): number => Math.max(1, Math.ceil(byteLength / SEGMENT_BYTES));

const sealedLength = (byteLength: number): number =>
	FIRST_FRAME_BYTES + segmentCount(byteLength) * (FRAME_HEADER_BYTES + TAG_BYTES) + byteLength;

function gcm(segment: number, isLast: boolean, record: Uint8Array<ArrayBuffer>): AesGcmParams {
	const iv = new Uint8Array(12);
	const view = new DataView(iv.buffer);
	view.setUint32(0, segment, true);
	view.setUint32(4, isLast ? 1 : 0, true);
	return { name: "AES-GCM", iv, additionalData: record, tagLength: 8 * TAG_BYTES };
}

/**
 * Objects of which the reference knows the SHA-256: they are read whole and compared before a byte is handed out. The last
 * one is kept, since packs are read from front to back.
 */
export class FingerprintedObjects implements ObjectAccess {
	readonly #inner: ObjectAccess;
	#last: { readonly key: string; readonly bytes: Promise<Uint8Array<ArrayBuffer>> } | undefined;

	constructor(inner: ObjectAccess) {
		this.#inner = inner;
	}

	put(identity: Identity, bytes: Uint8Array<ArrayBuffer>): Promise<void> {
		return this.#inner.put(identity, bytes);
	}

	/** Its SHA-256 goes into a manifest, and WebCrypto hashes only what is whole. */
	async create(): Promise<undefined> {
		return undefined;
	}

	async open(object: StoredObject): Promise<OpenObject> {
		return object.sha256 === undefined ? this.#inner.open(object) : openByRanges(this, object);
	}

	get(object: StoredObject): Promise<Uint8Array<ArrayBuffer>> {
		return this.#inner.get(object);
	}

	async range(object: StoredObject, offset: number, byteLength: number): Promise<Uint8Array<ArrayBuffer>> {
		if (object.sha256 === undefined) return this.#inner.range(object, offset, byteLength);
		const key = `${objectName(object.identity)} ${object.sha256}`;
		// Whoever reads an object from its beginning wants to know whether it is right now.
		if (offset === 0 || this.#last?.key !== key) this.#last = { key, bytes: this.#read(object, object.sha256) };
		const { bytes: reading } = this.#last;
		const bytes = await reading.catch((error: unknown) => {
			this.#last = undefined;
			throw error;
		});
		return bytes.subarray(offset, offset + byteLength);
	}

	async #read(object: StoredObject, sha256: string): Promise<Uint8Array<ArrayBuffer>> {
		const bytes = await this.#inner.get(object);
		if (toHex(new Uint8Array(await crypto.subtle.digest("SHA-256", bytes))) === sha256) return bytes;
		const name = objectName(object.identity);
		throw new SnapshotError("signature", "is not the pack that the signed manifest names: its SHA-256 differs", {
			object: name,
		});
	}
}
