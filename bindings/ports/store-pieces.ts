/**
 * What a {@link Store} may offer beside its whole objects: large ones written and read piece by piece, so that nobody has to
 * hold them. A folder store does. Stores without it are used through `put` and `get`.
 */
import type { Store } from "./store.ts";

/** A store that takes and gives objects in pieces. */
export interface PiecewiseStore extends Store {
	/** Begins an object. Nothing of it is visible before {@link ObjectWriter.finish}. @throws {StoreError} `full`, `failed`. */
	create(name: string): Promise<ObjectWriter>;
	/** Opens an object for many reads. @throws {StoreError} `missing`, `failed`. */
	openObject(name: string): Promise<ObjectReader>;
}

/** One object on its way into a store. A writer that is neither finished nor aborted leaves garbage, no object. */
export interface ObjectWriter {
	/**
	 * Appends bytes: each call's behind those of the call before, which need not have resolved. They must not change until it
	 * resolves. After a failure every later call fails in the same way: what was lost once is lost.
	 * @throws {StoreError} `full`, `failed`.
	 */
	write(bytes: Uint8Array): Promise<void>;
	/** What was appended by calls that have resolved, from `offset` on. @returns bytes read: fewer only at the end. */
	readInto(offset: number, into: Uint8Array): Promise<number>;
	/** As {@link Store.put}: once it resolves, the whole object is durable under its name. @throws as `put`. */
	finish(): Promise<void>;
	/** Gives it up and frees what it took. After {@link finish} it does nothing. */
	abort(): Promise<void>;
}

/** An object that is open. It keeps what it holds even if the object is deleted meanwhile. */
export interface ObjectReader {
	/** Bytes that the object has. */
	readonly byteLength: number;
	/**
	 * Reads from `offset` on into the caller's memory. It may be used by several calls at once.
	 * @returns bytes read: fewer than `into` has only at the object's end.
	 * @throws {StoreError} `failed`.
	 */
	readInto(offset: number, into: Uint8Array): Promise<number>;
	close(): Promise<void>;
}

/** Whether a store takes pieces. */
export const isPiecewise = (store: Store): store is PiecewiseStore => "create" in store && "openObject" in store;
