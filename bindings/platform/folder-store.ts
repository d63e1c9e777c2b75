/**
 * A store on a folder of a local file system. The layout is in `folder-layout.ts`; any number of processes may use one
 * folder, and any of them may be killed at any moment.
 *
 * **Objects.** Written and synced under temporary/, then given their name by `link`, which never overwrites; then objects/
 * is synced. So a name, once seen, has all its bytes.
 *
 * **References.** No lock is ever held, so none can be left behind. To move a reference from state S:
 *   1. list S: these files are the *old* ones
 *   2. write the new value into S under a new token and sync the file, then S
 *   3. rename S to the new state S' = (generation + 1, new token)            ← the compare and the set, in one step
 *   4. sync the reference's folder                                           ← from here on the move is acknowledged
 *   5. remove the old files; of a reference that was removed, also S' and the reference's folder, if they are empty
 * Of several movers exactly one finds S at step 3; the others get ENOENT there (or at 1 or 2) and look again. Step 5 cannot
 * hit a value that will ever count: whoever wrote one of the old files wrote it for S, and S is gone. A mover that dies
 * before step 3 leaves a file that the next move removes; after it, a complete move. The value and its name are on
 * the medium before a state can point to it (2 before 3), so a crash of the machine leaves either state whole.
 * A reference is created by renaming a complete folder into references/, which only an empty folder or none gives way to: so
 * of several creators one wins. Removing one is a move to a `-removed` state. What it leaves empty goes at step 5, folder by
 * folder from the inside, and never what is not empty: a mover who has put a value into S' keeps it, one who comes too late
 * finds no S' and looks again. A remover who dies before step 5 leaves two empty folders, which the next creation uses.
 * Whether its name in references/ is on the medium is known only once a move from its first state, or from a removed one, has
 * synced references/ as well.
 *
 * **Failure.** A sync that fails is a failed operation: the kernel may have dropped the bytes and would report the next
 * sync as a success. Needs hard links and atomic renames: a local file system; network file systems may repeat a rename.
 */
import { type ByteRange, StoreError } from "../ports/store.ts";
import { checkByteRange, checkReferenceValue, checkStoreName } from "../ports/store-names.ts";
import type { ObjectReader, ObjectWriter, PiecewiseStore } from "../ports/store-pieces.ts";
import { hasCode, storeError } from "./folder-errors.ts";
import type { FolderFiles } from "./folder-files.ts";
import {
	decodeReferenceValue,
	encodeReferenceValue,
	fileNameOf,
	latestState,
	nameOfFile,
	type ReferenceState,
	stateName,
} from "./folder-layout.ts";
import { FolderObjectReader, FolderObjectWriter } from "./folder-objects.ts";

/** Objects are compared in pieces of this size. */
const COMPARE_BYTES = 1024 * 1024;

/** See the head of this file. Open one with `openFolderStore`. */
export class FolderStore implements PiecewiseStore {
	readonly #files: FolderFiles;
	readonly #root: string;

	/** @param root - a folder that `openFolder` has prepared. */
	constructor(files: FolderFiles, root: string) {
		this.#files = files;
		this.#root = root;
	}

	async put(name: string, bytes: Uint8Array): Promise<void> {
		checkStoreName(name);
		const temporary = this.#temporaryPath();
		try {
			await this.#files.writeNew(temporary, bytes);
			await this.#nameObject(temporary, name);
		} catch (error) {
			throw storeError(error, `cannot store object "${name}"`);
		} finally {
			await this.#discard(temporary);
		}
	}

	async create(name: string): Promise<ObjectWriter> {
		checkStoreName(name);
		const temporary = this.#temporaryPath();
		try {
			const file = await this.#files.create(temporary);
			const giveName = () => this.#nameObject(temporary, name);
			return new FolderObjectWriter({ name, file, giveName, discard: () => this.#discard(temporary) });
		} catch (error) {
			await this.#discard(temporary);
			throw storeError(error, `cannot store object "${name}"`);
		}
	}

	async openObject(name: string): Promise<ObjectReader> {
		checkStoreName(name);
		try {
			return new FolderObjectReader(name, await this.#files.open(this.#objectPath(name)));
		} catch (error) {
			if (hasCode(error, "ENOENT")) throw new StoreError("missing", `there is no object "${name}"`, error);
			throw storeError(error, `cannot read object "${name}"`);
		}
	}

	async get(name: string, range?: ByteRange): Promise<Uint8Array<ArrayBuffer>> {
		checkStoreName(name);
		if (range !== undefined) checkByteRange(range);
		const path = this.#objectPath(name);
		try {
			return await this.#files.read(
				path,
				range?.offset ?? 0,
				range?.byteLength ?? (await this.#files.byteLength(path)),
			);
		} catch (error) {
			if (hasCode(error, "ENOENT")) throw new StoreError("missing", `there is no object "${name}"`, error);
			throw storeError(error, `cannot read object "${name}"`);
		}
	}

	list(prefix: string): Promise<readonly string[]> {
		return this.#namesIn("objects", prefix);
	}

	async delete(name: string): Promise<void> {
		checkStoreName(name);
		try {
			await this.#files.remove(this.#objectPath(name));
			await this.#files.syncFolder(`${this.#root}/objects`);
		} catch (error) {
			if (!hasCode(error, "ENOENT")) throw storeError(error, `cannot delete object "${name}"`);
		}
	}

	async readReference(name: string): Promise<Uint8Array<ArrayBuffer> | undefined> {
		checkStoreName(name);
		try {
			const { state, value } = await this.#readState(name);
			if (state === undefined) return undefined;
			// Whoever moved it may not have come to step 4 yet, and what we return must not be undone by a crash.
			await this.#syncReference(name);
			if (mayBeNew(state)) await this.#files.syncFolder(`${this.#root}/references`);
			return value;
		} catch (error) {
			throw storeError(error, `cannot read reference "${name}"`);
		}
	}

	async compareAndSetReference(
		name: string,
		expected: Uint8Array | undefined,
		next: Uint8Array | undefined,
	): Promise<boolean> {
		checkStoreName(name);
		checkReferenceValue("expected", expected);
		checkReferenceValue("next", next);
		try {
			// Each further turn means that somebody else has moved the reference, and back to the expected value.
			for (;;) {
				const { state, value } = await this.#readState(name);
				if (!isSame(value, expected)) return false;
				if (value === undefined && next === undefined) return true;
				const isDone =
					state !== undefined
						? await this.#moveReference(name, state, next)
						: next !== undefined && (await this.#createReference(name, next));
				if (isDone) return true;
			}
		} catch (error) {
			throw storeError(error, `cannot move reference "${name}"`);
		}
	}

	async listReferences(prefix: string): Promise<readonly string[]> {
		const present: string[] = [];
		for (const name of await this.#namesIn("references", prefix)) {
			const state = latestState(await this.#namesIfThere(this.#referencePath(name)));
			if (state !== undefined && !state.isRemoved) present.push(name);
		}
		return present;
	}

	/** Gives synced bytes their name, and makes the name durable. */
	async #nameObject(temporary: string, name: string): Promise<void> {
		const path = this.#objectPath(name);
		let isOurs = true;
		for (;;) {
			try {
				await this.#files.link(temporary, path);
				break;
			} catch (error) {
				if (!hasCode(error, "EEXIST")) throw error;
			}
			const isEqual = await this.#areEqual(temporary, path);
			if (isEqual === false) throw new StoreError("exists", `"${name}" exists with other bytes; it was kept`);
			isOurs = false;
			if (isEqual) break;
		}
		try {
			await this.#files.syncFolder(`${this.#root}/objects`);
		} catch (error) {
			if (isOurs) await this.#discard(path);
			throw error;
		}
	}

	/** Whether the object's file has the bytes of the other one; `undefined` if it has gone. */
	async #areEqual(other: string, path: string): Promise<boolean | undefined> {
		try {
			const byteLength = await this.#files.byteLength(path);
			if ((await this.#files.byteLength(other)) !== byteLength) return false;
			for (let at = 0; at < byteLength; at += COMPARE_BYTES) {
				const piece = await this.#files.read(other, at, COMPARE_BYTES);
				if (!isSame(await this.#files.read(path, at, COMPARE_BYTES), piece)) return false;
			}
			return true;
		} catch (error) {
			if (hasCode(error, "ENOENT")) return undefined;
			throw error;
		}
	}

	/** The state and value that count now; no state at all if the reference has never existed. */
	async #readState(name: string): Promise<{ state?: ReferenceState; value?: Uint8Array<ArrayBuffer> }> {
		const folder = this.#referencePath(name);
		let unreadable: string | undefined;
		for (;;) {
			const state = latestState(await this.#namesIfThere(folder));
			if (state === undefined) return {};
			if (state.isRemoved) return { state };
			const path = `${folder}/${stateName(state)}/${state.token}`;
			try {
				// One byte more than any value's file: a longer one is recognised as damaged.
				const bytes = await this.#files.read(path, 0, (await this.#files.byteLength(path)) + 1);
				return { state, value: decodeReferenceValue(bytes, name) };
			} catch (error) {
				if (!hasCode(error, "ENOENT")) throw error;
				// Somebody moved the reference between our two looks; the same state twice means that its value is gone.
				if (unreadable === path) throw new StoreError("invalid", `reference "${name}" has lost its value`, error);
				unreadable = path;
			}
		}
	}

	/** Steps 1 to 5 at the head of this file. @returns whether it was us who moved it. */
	async #moveReference(name: string, from: ReferenceState, next: Uint8Array | undefined): Promise<boolean> {
		const folder = this.#referencePath(name);
		const to = { generation: from.generation + 1, token: newToken(), isRemoved: next === undefined };
		const before = `${folder}/${stateName(from)}`;
		const after = `${folder}/${stateName(to)}`;
		let old: readonly string[];
		try {
			old = await this.#files.names(before);
			if (next !== undefined) {
				await this.#files.writeNew(`${before}/${to.token}`, encodeReferenceValue(next));
				await this.#files.syncFolder(before);
			}
			await this.#files.rename(before, after);
		} catch (error) {
			if (hasCode(error, "ENOENT")) return false;
			await this.#discard(`${before}/${to.token}`);
			throw error;
		}
		try {
			await this.#syncReference(name);
			if (mayBeNew(from)) await this.#files.syncFolder(`${this.#root}/references`);
		} catch (error) {
			await this.#undoMove(after, before);
			throw error;
		}
		for (const token of old) await this.#discard(`${after}/${token}`);
		if (to.isRemoved) await this.#discardEmpty([after, folder]);
		return true;
	}

	/** Step 4. A reference's folder goes only after a later move than the one seen was synced, and that one with it. */
	async #syncReference(name: string): Promise<void> {
		try {
			await this.#files.syncFolder(this.#referencePath(name));
		} catch (error) {
			if (!hasCode(error, "ENOENT")) throw error;
		}
	}

	/** Removes folders that are empty, up to the first that is not. What stays costs room, nothing else. */
	async #discardEmpty(paths: readonly string[]): Promise<void> {
		try {
			for (const path of paths) await this.#files.removeFolder(path);
		} catch {
			// somebody uses it again, or the medium fails: nothing depends on it
		}
	}

	/** The old state gets its name back, unless somebody has already moved on from the new one. */
	async #undoMove(after: string, before: string): Promise<void> {
		try {
			await this.#files.rename(after, before);
		} catch (error) {
			if (!hasCode(error, "ENOENT")) throw error;
		}
	}

	/** @returns whether it was us who created it. */
	async #createReference(name: string, value: Uint8Array): Promise<boolean> {
		const state = { generation: 1, token: newToken(), isRemoved: false };
		const temporary = this.#temporaryPath();
		const folder = `${temporary}/${stateName(state)}`;
		try {
			await this.#files.makeFolder(temporary);
			await this.#files.makeFolder(folder);
			await this.#files.writeNew(`${folder}/${state.token}`, encodeReferenceValue(value));
			await this.#files.syncFolder(folder);
			await this.#files.syncFolder(temporary);
			await this.#files.rename(temporary, this.#referencePath(name));
		} catch (error) {
			await this.#discard(temporary);
			if (hasCode(error, "ENOTEMPTY") || hasCode(error, "EEXIST")) return false;
			throw error;
		}
		try {
			await this.#files.syncFolder(`${this.#root}/references`);
		} catch (error) {
			const removed = stateName({ generation: 2, token: newToken(), isRemoved: true });
			await this.#undoMove(
				`${this.#referencePath(name)}/${stateName(state)}`,
				`${this.#referencePath(name)}/${removed}`,
			);
			throw error;
		}
		return true;
	}

	async #namesIn(folder: "objects" | "references", prefix: string): Promise<readonly string[]> {
		try {
			const fileNames = await this.#files.names(`${this.#root}/${folder}`);
			return fileNames
				.flatMap((fileName) => nameOfFile(fileName) ?? [])
				.filter((name) => name.startsWith(prefix))
				.sort();
		} catch (error) {
			throw storeError(error, `cannot list ${folder}`);
		}
	}

	async #namesIfThere(path: string): Promise<readonly string[]> {
		try {
			return await this.#files.names(path);
		} catch (error) {
			if (hasCode(error, "ENOENT")) return [];
			throw storeError(error, `cannot list ${path}`);
		}
	}

	/** Removes what nobody needs any more. What stays behind costs room, nothing else: the next opening or move removes it. */
	async #discard(path: string): Promise<void> {
		await this.#files.removeTree(path).catch(() => {}); // see above: nothing depends on it
	}

	#objectPath(name: string): string {
		return `${this.#root}/objects/${fileNameOf(name)}`;
	}

	#referencePath(name: string): string {
		return `${this.#root}/references/${fileNameOf(name)}`;
	}

	#temporaryPath(): string {
		return `${this.#root}/temporary/${this.#files.pid}-${newToken()}`;
	}
}

/**
 * Whether the reference's own folder may not be on the medium yet: its creator may have stopped before it was synced, or may
 * have failed to sync it and left it as removed. Whoever builds on it makes it durable first.
 */
const mayBeNew = (state: ReferenceState): boolean => state.generation === 1 || state.isRemoved;

const newToken = (): string => crypto.randomUUID().replaceAll("-", "");

function isSame(one: Uint8Array | undefined, other: Uint8Array | undefined): boolean {
	if (one === undefined || other === undefined) return one === other;
	return one.byteLength === other.byteLength && one.every((byte, index) => byte === other[index]);
}
