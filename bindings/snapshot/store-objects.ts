/**
 * Objects of a snapshot store, by reference: whole or in part, as they are or sealed. Every failure comes out as a
 * {@link SnapshotError} that names the object.
 */
import type { Store } from "../ports/store.ts";
import { type Identity, identityOf, objectName } from "./image.ts";
import { SnapshotError, snapshotError } from "./image-error.ts";

/** What it takes to find an object. */
export interface StoredObject {
	readonly identity: Identity;
	readonly byteLength: number;
	/** Where it is known, in hex: the object must have it (seal-objects.ts). */
	readonly sha256?: string;
}

/** Where objects are. Byte lengths and offsets are those of the plain object, sealed or not. */
export interface ObjectAccess {
	/** Stores an object durably under its identity's name. @throws {SnapshotError} `full`, `failed`: nothing is visible. */
	put(identity: Identity, bytes: Uint8Array<ArrayBuffer>): Promise<void>;
	/** The whole object. @throws {SnapshotError} `missing`, `corrupt` if it has another length, `failed`, `sealed`. */
	get(object: StoredObject): Promise<Uint8Array<ArrayBuffer>>;
	/** A part of it. @throws as {@link get}. */
	range(object: StoredObject, offset: number, byteLength: number): Promise<Uint8Array<ArrayBuffer>>;
}

/** Objects as they are, and what needs no bytes: names. */
export class PlainObjects implements ObjectAccess {
	readonly #store: Store;

	constructor(store: Store) {
		this.#store = store;
	}

	async put(identity: Identity, bytes: Uint8Array<ArrayBuffer>): Promise<void> {
		const object = objectName(identity);
		try {
			await this.#store.put(object, bytes);
		} catch (error) {
			throw snapshotError(error, "cannot be stored", { object });
		}
	}

	get(object: StoredObject): Promise<Uint8Array<ArrayBuffer>> {
		return this.#read(object, 0, object.byteLength + 1, object.byteLength);
	}

	range(object: StoredObject, offset: number, byteLength: number): Promise<Uint8Array<ArrayBuffer>> {
		return this.#read(object, offset, byteLength, byteLength);
	}

	/** Identities of all objects of one role. Names that are none are left alone. */
	async list(role: Identity["role"]): Promise<readonly Identity[]> {
		try {
			const names = await this.#store.list(`snapshots/${role}s/`);
			return names.flatMap((name) => identityOf(name) ?? []);
		} catch (error) {
			throw snapshotError(error, `the ${role}s cannot be listed`);
		}
	}

	async delete(identity: Identity): Promise<void> {
		const object = objectName(identity);
		try {
			await this.#store.delete(object);
		} catch (error) {
			throw snapshotError(error, "cannot be deleted", { object });
		}
	}

	/** One byte more than expected is asked for where the whole object is: a longer one is noticed. */
	async #read(
		{ identity }: StoredObject,
		offset: number,
		asked: number,
		expected: number,
	): Promise<Uint8Array<ArrayBuffer>> {
		const object = objectName(identity);
		let bytes: Uint8Array<ArrayBuffer>;
		try {
			bytes = await this.#store.get(object, { offset, byteLength: asked });
		} catch (error) {
			throw snapshotError(error, "cannot be read", { object });
		}
		if (bytes.byteLength !== expected) {
			const found = bytes.byteLength > expected ? "more" : `only ${bytes.byteLength}`;
			throw new SnapshotError("corrupt", `has ${found} where ${expected} bytes are expected from ${offset} on`, {
				object,
			});
		}
		return bytes;
	}
}
