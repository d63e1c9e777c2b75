/**
 * A durable place for immutable objects and a few small references to them: a folder today, an object store tomorrow.
 * Nothing counts as stored before a reference to it has moved; an object without a reference is garbage that
 * {@link Store.list} shows and {@link Store.delete} removes.
 *
 * Names: 1–200 characters of `a-z A-Z 0-9 . _ -` and `/` between parts; no part is `.` or `..`.
 */
export interface Store {
	/**
	 * Stores an object durably: once it resolves, the bytes survive a crash of process and machine.
	 * @throws {StoreError} `exists` if the name is taken by other bytes, `full`, `failed`. Nothing is visible then.
	 */
	put(name: string, bytes: Uint8Array): Promise<void>;
	/**
	 * The object, or the part of it that begins at `range.offset`; shorter than asked only at the object's end.
	 * @throws {StoreError} `missing`.
	 */
	get(name: string, range?: ByteRange): Promise<Uint8Array<ArrayBuffer>>;
	/** Names of all objects that begin with `prefix`, sorted. */
	list(prefix: string): Promise<readonly string[]>;
	/** Removes an object; a missing one is no error. */
	delete(name: string): Promise<void>;
	/** A reference's value (at most {@link MAX_REFERENCE_BYTES}), or `undefined`. */
	readReference(name: string): Promise<Uint8Array<ArrayBuffer> | undefined>;
	/**
	 * Moves a reference if it still has the value the caller has seen (`undefined`: it does not exist), durably and
	 * atomically; `next` `undefined` removes it. Resolves `false`, changing nothing, if somebody else was first.
	 * @throws {StoreError} `full`, `failed`: the reference has its old value.
	 */
	compareAndSetReference(
		name: string,
		expected: Uint8Array | undefined,
		next: Uint8Array | undefined,
	): Promise<boolean>;
	/** Names of all references that begin with `prefix`, sorted. */
	listReferences(prefix: string): Promise<readonly string[]>;
}

/** A reference is a pointer, not a place for data. */
export const MAX_REFERENCE_BYTES = 4096;

/** A part of an object. */
export interface ByteRange {
	readonly offset: number;
	readonly byteLength: number;
}

/** `exists`, `missing`: names; `full`: no room; `failed`: the medium's own error as cause, never retried into success; `invalid`: stored bytes that are no store's. */
export type StoreErrorCode = "exists" | "missing" | "full" | "failed" | "invalid";

/** A store's failure; the old state is intact. */
export class StoreError extends Error {
	override readonly name = "StoreError";
	readonly code: StoreErrorCode;
	constructor(code: StoreErrorCode, message: string, cause?: unknown) {
		super(message, cause === undefined ? undefined : { cause });
		this.code = code;
	}
}
