/**
 * Encryption and signatures at rest, both optional, by WebCrypto.
 *
 *   encryption   every object is sealed with AES-256-GCM under a key of its own (seal-objects.ts)
 *   signature    every manifest is signed with HMAC-SHA-256 or Ed25519; it names its packs by SHA-256, its base by a
 *                manifest that is signed itself, and its code by SHA-256: so the signature covers every byte of a snapshot
 *
 * What this protects, and what not, is in `docs/image-format.md`, section 9.
 */
import { toHex } from "../wire/digest.ts";
import { Fields } from "../wire/fields.ts";
import { MAX_CONTROL_BYTES } from "../wire/limits.ts";
import { IMAGE_TYPES } from "../wire/record-types.ts";
import { fromHex, type WholeObject } from "./image.ts";
import type { ObjectBuilder } from "./image-builder.ts";
import { SnapshotError, snapshotError } from "./image-error.ts";

/** Bytes of a key's id, as UTF-8. */
export const KEY_ID_BYTES = 64;
const KEY_BYTES = 32;
/** What is signed begins with this: a signature of something else is none of a manifest. */
const DOMAIN = "pageferry manifest 1\n";

/** Keys by id: the ids are stored beside what they seal. */
export type KeyRing = ReadonlyMap<string, CryptoKey>;

/** What a store seals with. Old keys stay in the rings as long as there is something to read with them. */
export interface Sealing {
	readonly encryption?: {
		/** Id of the key that new objects are encrypted with. */
		readonly keyId: string;
		/** Made by {@link importEncryptionKey}. */
		readonly keys: KeyRing;
	};
	readonly signing?: {
		/** Id of the key that new manifests are signed with, and that key; without it the store can only be read. */
		readonly keyId?: string;
		readonly key?: CryptoKey;
		/** Keys whose signatures are trusted: HMAC keys, or Ed25519 public keys. */
		readonly trusted: KeyRing;
	};
}

/** A key for {@link Sealing.encryption}. @param bytes - 32 secret bytes. */
export async function importEncryptionKey(bytes: Uint8Array<ArrayBuffer>): Promise<CryptoKey> {
	if (bytes.byteLength !== KEY_BYTES)
		throw new RangeError(`bytes: a key has ${KEY_BYTES} bytes, got ${bytes.byteLength}`);
	return crypto.subtle.importKey("raw", bytes, "HKDF", false, ["deriveKey"]);
}

/** A key for {@link Sealing.signing} that signs and is trusted. @param bytes - 32 secret bytes or more. */
export async function importSigningKey(bytes: Uint8Array<ArrayBuffer>): Promise<CryptoKey> {
	if (bytes.byteLength < KEY_BYTES)
		throw new RangeError(`bytes: a key has at least ${KEY_BYTES} bytes, got ${bytes.byteLength}`);
	return crypto.subtle.importKey("raw", bytes, { name: "HMAC", hash: "SHA-256" }, false, ["sign", "verify"]);
}

/** Signs manifests, and checks who has. */
export class ManifestSeal {
	readonly #signing: Sealing["signing"];

	/** @throws RangeError for a key id that is too long or that comes without a key; TypeError for a key of another kind. */
	constructor(sealing: Sealing | undefined) {
		this.#signing = sealing?.signing;
		const { keyId, key, trusted } = this.#signing ?? {};
		if ((keyId === undefined) !== (key === undefined))
			throw new RangeError("sealing.signing: keyId and key come together");
		for (const id of [keyId, ...(trusted?.keys() ?? [])]) if (id !== undefined) checkKeyId(id);
		for (const used of [key, ...(trusted?.values() ?? [])]) if (used !== undefined) algorithmOf(used);
	}

	/** Whether manifests must be signed. */
	get isRequired(): boolean {
		return this.#signing !== undefined;
	}

	/** Adds the signature behind a manifest's trailer. @throws {SnapshotError} `signature` without a key to sign with. */
	async sign(builder: ObjectBuilder): Promise<void> {
		if (this.#signing === undefined) return;
		const { keyId, key } = this.#signing;
		const { name, bytes } = builder.built();
		if (keyId === undefined || key === undefined)
			throw new SnapshotError("signature", "there is no key to sign with: this side only reads", { object: name });
		const algorithm = algorithmOf(key);
		const signature = new Uint8Array(await crypto.subtle.sign(algorithm, key, signedBytes(name, bytes)));
		const json = { keyId, algorithm, signature: toHex(signature) };
		builder.append(IMAGE_TYPES.signature, new TextEncoder().encode(JSON.stringify(json)));
	}

	/** @throws {SnapshotError} `signature`. */
	async check(whole: WholeObject, bytes: Uint8Array<ArrayBuffer>, object: string): Promise<void> {
		if (this.#signing === undefined) return;
		const [frame] = whole.behind;
		if (frame === undefined) throw new SnapshotError("signature", "is not signed", { object });
		const place = { object, record: frame.record };
		const { keyId, algorithm, signature } = readSignature(frame.payload, place);
		const key = this.#signing.trusted.get(keyId);
		if (key === undefined)
			throw new SnapshotError("signature", `is signed with the key '${keyId}', which is not trusted here`, place);
		// The key says what it is for; what the record says of it is only compared.
		if (algorithmOf(key) !== algorithm)
			throw new SnapshotError("signature", `the key '${keyId}' is not for ${algorithm}`, place);
		const signed = signedBytes(object, bytes.subarray(0, whole.signedByteLength));
		if (!(await crypto.subtle.verify(algorithm, key, signature, signed)))
			throw new SnapshotError("signature", `is not what was signed with the key '${keyId}'`, place);
	}

	/** SHA-256 of a pack in hex, where manifests are signed; else empty. */
	async fingerprint(bytes: Uint8Array<ArrayBuffer>): Promise<string> {
		if (this.#signing === undefined) return "";
		return toHex(new Uint8Array(await crypto.subtle.digest("SHA-256", bytes)));
	}
}

/** @throws RangeError naming the argument. */
export function checkKeyId(keyId: string): void {
	const { byteLength } = new TextEncoder().encode(keyId);
	if (byteLength === 0 || byteLength > KEY_ID_BYTES || keyId.includes("\0"))
		throw new RangeError(`keyId: 1 to ${KEY_ID_BYTES} bytes of text, got ${JSON.stringify(keyId)}`);
}

function algorithmOf(key: CryptoKey): "HMAC" | "Ed25519" {
	const { name } = key.algorithm;
	if (name === "HMAC" || name === "Ed25519") return name;
	throw new TypeError(`sealing.signing: a key for HMAC or Ed25519 is needed, not for ${name}`);
}

function signedBytes(object: string, bytes: Uint8Array): Uint8Array<ArrayBuffer> {
	const head = new TextEncoder().encode(`${DOMAIN}${object}\n`);
	const signed = new Uint8Array(head.byteLength + bytes.byteLength);
	signed.set(head);
	signed.set(bytes, head.byteLength);
	return signed;
}

interface Signature {
	readonly keyId: string;
	readonly algorithm: "HMAC" | "Ed25519";
	readonly signature: Uint8Array<ArrayBuffer>;
}

function readSignature(payload: Uint8Array, place: { readonly object: string; readonly record: string }): Signature {
	try {
		const fields = new Fields("signature", JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(payload)));
		const signature = fields.matching("signature", MAX_CONTROL_BYTES, /^([0-9a-f]{2}){32,64}$/);
		return {
			keyId: fields.text("keyId", KEY_ID_BYTES),
			algorithm: fields.oneOf("algorithm", ["HMAC", "Ed25519"]),
			signature: fromHex(signature),
		};
	} catch (error) {
		if (error instanceof SyntaxError || error instanceof TypeError)
			throw new SnapshotError("corrupt", "is not a JSON text in UTF-8", place, error);
		throw snapshotError(error, "cannot be read", place);
	}
}
