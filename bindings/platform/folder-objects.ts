/**
 * Objects of a folder store in pieces: one on its way in, under temporary/, and one that is read.
 *
 *   create ─▶ write* ─▶ finish: writes done · file synced · named by `link` · objects/ synced
 *                └───── abort, or any failure: the temporary file goes
 *
 * While later pieces are written, a sync of the earlier ones is under way: the medium does not wait for the last byte, and
 * the last sync finds little to do.
 */
import type { ObjectReader, ObjectWriter } from "../ports/store-pieces.ts";
import { storeError } from "./folder-errors.ts";
import type { NewFile, OpenFile } from "./folder-files.ts";

/** Bytes after which a sync is started beside the writing: a medium's latency is small beside what it takes to write them. */
const SYNC_BYTES: number = 8 * 1024 * 1024;

/** What an object's file is written with. */
export interface FolderObjectParts {
	readonly name: string;
	readonly file: NewFile;
	/** Gives the synced file its name, durably. */
	readonly giveName: () => Promise<void>;
	/** Removes the temporary file. Never rejects. */
	readonly discard: () => Promise<void>;
}

/** See the head of this file. */
export class FolderObjectWriter implements ObjectWriter {
	readonly #parts: FolderObjectParts;
	#byteLength = 0;
	#unsynced = 0;
	#pending = new Set<Promise<void>>();
	#syncing = false;
	#failure: { readonly error: unknown } | undefined;
	#hasEnded = false;

	constructor(parts: FolderObjectParts) {
		this.#parts = parts;
	}

	async write(bytes: Uint8Array): Promise<void> {
		this.#check();
		const offset = this.#byteLength;
		this.#byteLength += bytes.byteLength;
		await this.#track(this.#parts.file.write(offset, bytes));
		this.#unsynced += bytes.byteLength;
		if (this.#unsynced < SYNC_BYTES || this.#syncing) return;
		this.#unsynced = 0;
		this.#syncing = true;
		this.#track(this.#parts.file.sync()).then(
			() => {
				this.#syncing = false;
			},
			() => undefined, // remembered: the bytes count as lost, and no later sync is believed
		);
	}

	async readInto(offset: number, into: Uint8Array): Promise<number> {
		this.#check();
		try {
			return await this.#parts.file.read(offset, into);
		} catch (error) {
			throw storeError(error, `cannot read object "${this.#parts.name}"`);
		}
	}

	async finish(): Promise<void> {
		this.#check();
		this.#hasEnded = true;
		const { file, giveName, discard, name } = this.#parts;
		try {
			await this.#settled();
			if (this.#failure !== undefined) throw this.#failure.error;
			await file.sync();
			await file.close();
			await giveName();
		} catch (error) {
			await file.close().catch(() => undefined); // the first failure is what counts
			throw storeError(error, `cannot store object "${name}"`);
		} finally {
			await discard();
		}
	}

	async abort(): Promise<void> {
		if (this.#hasEnded) return;
		this.#hasEnded = true;
		await this.#settled();
		await this.#parts.file.close().catch(() => undefined); // nobody needs it any more
		await this.#parts.discard();
	}

	async #settled(): Promise<void> {
		await Promise.allSettled([...this.#pending]);
	}

	async #track(work: Promise<void>): Promise<void> {
		this.#pending.add(work);
		try {
			await work;
		} catch (error) {
			this.#failure ??= { error };
			throw storeError(error, `cannot store object "${this.#parts.name}"`);
		} finally {
			this.#pending.delete(work);
		}
	}

	#check(): void {
		if (this.#hasEnded) throw new TypeError("this writer has ended");
		if (this.#failure !== undefined) throw storeError(this.#failure.error, `cannot store object "${this.#parts.name}"`);
	}
}

/** An open file as an object. */
export class FolderObjectReader implements ObjectReader {
	readonly #name: string;
	readonly #file: OpenFile;

	constructor(name: string, file: OpenFile) {
		this.#name = name;
		this.#file = file;
	}

	get byteLength(): number {
		return this.#file.byteLength;
	}

	async readInto(offset: number, into: Uint8Array): Promise<number> {
		try {
			return await this.#file.read(offset, into);
		} catch (error) {
			throw storeError(error, `cannot read object "${this.#name}"`);
		}
	}

	async close(): Promise<void> {
		await this.#file.close().catch(() => undefined); // it was only read
	}
}
