/**
 * Objects of a snapshot store, by reference: whole or in part, as they are or sealed. Every failure comes out as a
 * {@link SnapshotError} that names the object.
 */
import type { Store } from "../ports/store.ts";
import { isPiecewise, type ObjectWriter } from "../ports/store-pieces.ts";
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
	/**
	 * Begins to store an object in pieces, of which nothing is visible before it is finished; `undefined` where objects must be
	 * whole before they are stored: then {@link put} takes it. @throws {SnapshotError} as `put`, and so does what it returns.
	 */
	create(identity: Identity): Promise<ObjectWriter | undefined>;
	/** The whole object. @throws {SnapshotError} `missing`, `corrupt` if it has another length, `failed`, `sealed`. */
	get(object: StoredObject): Promise<Uint8Array<ArrayBuffer>>;
	/** A part of it. @throws as {@link get}. */
	range(object: StoredObject, offset: number, byteLength: number): Promise<Uint8Array<ArrayBuffer>>;
	/** Opens an object that has exactly its length, to read all of it. @throws as {@link get}. */
	open(object: StoredObject): Promise<OpenObject>;
}

/** An object that is read part by part into the caller's memory. */
export interface OpenObject {
	/** Fills `into` from `offset` on. @throws as {@link ObjectAccess.get}. */
	readInto(offset: number, into: Uint8Array): Promise<void>;
	close(): Promise<void>;
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

	async create(identity: Identity): Promise<ObjectWriter | undefined> {
		if (!isPiecewise(this.#store)) return undefined;
		const object = objectName(identity);
		const typed = <Value>(work: Promise<Value>): Promise<Value> =>
			work.catch((error: unknown) => {
				throw snapshotError(error, "cannot be stored", { object });
			});
		const writer = await typed(this.#store.create(object));
		return {
			write: (bytes) => typed(writer.write(bytes)),
			readInto: (offset, into) => typed(writer.readInto(offset, into)),
			finish: () => typed(writer.finish()),
			abort: () => typed(writer.abort()),
		};
	}

	async open(stored: StoredObject): Promise<OpenObject> {
		const object = objectName(stored.identity);
		if (!isPiecewise(this.#store)) {
			await this.#read(stored, stored.byteLength, 1, 0);
			return openByRanges(this, stored);
		}
		const typed = <Value>(work: Promise<Value>): Promise<Value> =>
			work.catch((error: unknown) => {
				throw snapshotError(error, "cannot be read", { object });
			});
		const reader = await typed(this.#store.openObject(object));
		if (reader.byteLength !== stored.byteLength) {
			await reader.close();
			throw new SnapshotError("corrupt", `has ${reader.byteLength} bytes, not ${stored.byteLength}`, { object });
		}
		return {
			readInto: async (offset, into) => {
				const read = await typed(reader.readInto(offset, into));
				if (read !== into.byteLength)
					throw new SnapshotError("corrupt", `has only ${read} of ${into.byteLength} bytes at ${offset}`, { object });
			},
			close: () => reader.close(),
		};
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

/** An object that is read through {@link ObjectAccess.range}. */
export function openByRanges(access: Pick<ObjectAccess, "range">, object: StoredObject): OpenObject {
	return {
		readInto: async (offset, into) => into.set(await access.range(object, offset, into.byteLength)),
		close: async () => {},
	};
}
