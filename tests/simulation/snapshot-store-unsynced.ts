/**
 * Files of a folder store in memory, with what a crash of the machine does to them. It is harsher than any file system:
 *
 *   names      making, naming, moving and removing change a folder at once for those who look, but are on the medium only once
 *              the folder is synced; of what is not synced a crash keeps any part, in any order. A move between two folders
 *              is one change, and syncing either folder makes it durable.
 *   contents   a written file's bytes are on the medium only once it is synced; before that a crash leaves any beginning of
 *              them, zeros, or noise.
 *   failure    a write whose sync fails leaves any bytes; a folder whose sync fails keeps its changes as they were, on the
 *              medium or not (journals either write them with a later sync or never take another one).
 */
import type { SeededRandom } from "../../bindings/lab/seeded-random.ts";
import type { FolderFiles, NewFile } from "../../bindings/platform/folder-files.ts";

interface FileNode {
	readonly kind: "file";
	bytes: Uint8Array<ArrayBuffer>;
	isSynced: boolean;
	/** Bytes that were synced once and cannot be torn any more. */
	syncedByteLength?: number;
}

interface FolderNode {
	readonly kind: "folder";
	readonly entries: Map<string, TreeNode>;
}

type TreeNode = FileNode | FolderNode;

/** One change of names, which a crash undoes or keeps as a whole. */
interface Change {
	readonly folders: readonly FolderNode[];
	readonly undo: () => void;
}

const systemError = (code: string, path: string) => Object.assign(new RangeError(`${code}: ${path}`), { code });

/** The files as one process sees them. */
export interface ProcessFiles {
	readonly files: FolderFiles;
	/** Resolves when the process dies: nothing that it waits for ever comes back. */
	readonly died: Promise<void>;
}

/** What may go wrong at a step. */
export type Step = (operation: string, path: string) => "go on" | "crash" | "ENOSPC" | "EIO";

/** Does a file operation, or what the step says instead. */
type Act = <Arguments extends [string, ...unknown[]], Value>(
	operation: string,
	work: (...args: Arguments) => Value,
) => (...args: Arguments) => Promise<Value>;

function copyFrom(bytes: Uint8Array, offset: number, into: Uint8Array): number {
	const piece = bytes.subarray(offset, offset + into.byteLength);
	into.set(piece);
	return piece.byteLength;
}

/** See the head of this file. */
export class UnsyncedFiles {
	readonly #random: SeededRandom;
	readonly #root: FolderNode = { kind: "folder", entries: new Map() };
	/** Changes of names that are on no medium yet, oldest first. */
	#pending: Change[] = [];
	#pid = 1;

	constructor(random: SeededRandom) {
		this.#random = random;
	}

	/** The files as a new process sees them. The one before has ended, one way or another. */
	process(step: Step = () => "go on"): ProcessFiles {
		const pid = ++this.#pid;
		let isDead = false;
		let onDeath = () => {};
		const died = new Promise<void>((resolve) => {
			onDeath = resolve;
		});
		const act: Act =
			<Arguments extends [string, ...unknown[]], Value>(operation: string, work: (...args: Arguments) => Value) =>
			async (...args: Arguments): Promise<Value> => {
				await undefined;
				if (isDead) return new Promise<never>(() => {});
				const outcome = step(operation, args[0]);
				if (outcome === "crash") {
					isDead = true;
					this.#dieAt(operation, args, () => work(...args));
					onDeath();
					return new Promise<never>(() => {});
				}
				if (outcome !== "go on") return this.#fail(operation, args[0], outcome, args[1]);
				return work(...args);
			};
		const files: FolderFiles = {
			pid,
			isProcessAlive: (other) => other === pid,
			makeFolder: act("makeFolder", (path: string) => this.#add(path, { kind: "folder", entries: new Map() })),
			names: act("names", (path: string) => [...this.#folder(path).entries.keys()]),
			writeNew: act("writeNew", (path: string, bytes: Uint8Array) => this.#writeNew(path, bytes)),
			create: act("create", (path: string) => this.#create(path, act)),
			open: act("open", (path: string) => {
				const { bytes } = this.#file(path);
				return {
					byteLength: bytes.byteLength,
					read: (offset: number, into: Uint8Array) =>
						act("read", (_: string, at: number) => copyFrom(bytes, at, into))(path, offset),
					close: async () => {},
				};
			}),
			read: act("read", (path: string, offset: number, byteLength: number) =>
				this.#file(path).bytes.slice(offset, offset + byteLength),
			),
			byteLength: act("byteLength", (path: string) => this.#file(path).bytes.byteLength),
			syncFolder: act("syncFolder", (path: string) => this.#sync(this.#folder(path))),
			link: act("link", (from: string, to: string) => this.#add(to, this.#node(from))),
			rename: act("rename", (from: string, to: string) => this.#rename(from, to)),
			remove: act("remove", (path: string) => this.#remove(path)),
			removeFolder: act("removeFolder", (path: string) => {
				if (this.#folder(path).entries.size > 0) throw systemError("ENOTEMPTY", path);
				this.#remove(path);
			}),
			removeTree: act("removeTree", (path: string) => this.#removeTree(path)),
		};
		return { files, died };
	}

	/** The machine stops: of what was not synced anything may be left. */
	crash(): void {
		// From the latest change back: what remains is what some order of writing to the medium gives.
		for (const change of this.#pending.splice(0).reverse()) if (this.#random.nextU32() % 2 === 0) change.undo();
		this.#tear(this.#root);
	}

	#fail(operation: string, path: string, code: "ENOSPC" | "EIO", bytes: unknown): never {
		if (operation === "writeNew" && bytes instanceof Uint8Array) {
			const length = this.#random.nextU32() % (bytes.byteLength + 1);
			this.#add(path, { kind: "file", bytes: bytes.slice(0, length), isSynced: false });
		}
		throw systemError(code, path);
	}

	/** A process may die before an operation, after it, or in the middle of a write. */
	#dieAt(operation: string, [path, bytes]: readonly unknown[], work: () => unknown): void {
		if (this.#random.nextU32() % 2 === 0) return;
		try {
			if (operation !== "writeNew") work();
			else if (typeof path === "string" && bytes instanceof Uint8Array)
				this.#add(path, { kind: "file", bytes: new Uint8Array(bytes), isSynced: false });
		} catch {
			// It would have failed: nothing has happened.
		}
	}

	/** A file that grows: a crash or a failure in the middle of a write or of a sync leaves any part of what is not synced. */
	#create(path: string, act: Act): NewFile {
		const node: FileNode = { kind: "file", bytes: new Uint8Array(0), isSynced: false, syncedByteLength: 0 };
		this.#add(path, node);
		return {
			write: (offset, bytes) =>
				act("write", (_: string, at: number) => {
					const grown = new Uint8Array(Math.max(node.bytes.byteLength, at + bytes.byteLength));
					grown.set(node.bytes);
					grown.set(bytes, at);
					node.bytes = grown;
					node.isSynced = false;
				})(path, offset),
			read: (offset, into) => act("read", (_: string, at: number) => copyFrom(node.bytes, at, into))(path, offset),
			sync: () =>
				act("sync", (_: string) => {
					node.isSynced = true;
					node.syncedByteLength = node.bytes.byteLength;
				})(path),
			close: async () => {},
		};
	}

	#writeNew(path: string, bytes: Uint8Array): void {
		this.#add(path, { kind: "file", bytes: new Uint8Array(bytes), isSynced: true });
	}

	#tear(folder: FolderNode): void {
		for (const node of folder.entries.values()) {
			if (node.kind === "folder") this.#tear(node);
			else if (!node.isSynced) {
				const synced = node.syncedByteLength ?? 0;
				const length = synced + (this.#random.nextU32() % (node.bytes.byteLength - synced + 1));
				node.bytes.fill(0, length);
				if (this.#random.nextU32() % 2 === 0) node.bytes = node.bytes.slice(0, length);
				node.isSynced = true;
			}
		}
	}

	#sync(folder: FolderNode): void {
		this.#pending = this.#pending.filter((change) => !change.folders.includes(folder));
	}

	#add(path: string, node: TreeNode): void {
		const { folder, name } = this.#place(path);
		if (folder.entries.has(name)) throw systemError("EEXIST", path);
		folder.entries.set(name, node);
		this.#pending.push({
			folders: [folder],
			undo: () => {
				if (folder.entries.get(name) === node) folder.entries.delete(name);
			},
		});
	}

	#remove(path: string): void {
		const { folder, name } = this.#place(path);
		const node = folder.entries.get(name);
		if (node === undefined) throw systemError("ENOENT", path);
		folder.entries.delete(name);
		this.#pending.push({
			folders: [folder],
			undo: () => {
				if (!folder.entries.has(name)) folder.entries.set(name, node);
			},
		});
	}

	#rename(from: string, to: string): void {
		const source = this.#place(from);
		const target = this.#place(to);
		const node = source.folder.entries.get(source.name);
		if (node === undefined) throw systemError("ENOENT", from);
		const old = target.folder.entries.get(target.name);
		if (old?.kind === "folder" && old.entries.size > 0) throw systemError("ENOTEMPTY", to);
		source.folder.entries.delete(source.name);
		target.folder.entries.set(target.name, node);
		this.#pending.push({
			folders: [source.folder, target.folder],
			undo: () => {
				if (target.folder.entries.get(target.name) !== node) return;
				if (old === undefined) target.folder.entries.delete(target.name);
				else target.folder.entries.set(target.name, old);
				if (!source.folder.entries.has(source.name)) source.folder.entries.set(source.name, node);
			},
		});
	}

	#removeTree(path: string): void {
		const { folder, name } = this.#place(path);
		if (folder.entries.has(name)) this.#remove(path);
	}

	#node(path: string): TreeNode {
		let node: TreeNode = this.#root;
		for (const part of path.split("/").filter((name) => name !== "")) {
			const next: TreeNode | undefined = node.kind === "folder" ? node.entries.get(part) : undefined;
			if (next === undefined) throw systemError("ENOENT", path);
			node = next;
		}
		return node;
	}

	#folder(path: string): FolderNode {
		const node = this.#node(path);
		if (node.kind !== "folder") throw systemError("ENOTDIR", path);
		return node;
	}

	#file(path: string): FileNode {
		const node = this.#node(path);
		if (node.kind !== "file") throw systemError("EISDIR", path);
		return node;
	}

	#place(path: string): { readonly folder: FolderNode; readonly name: string } {
		const slash = path.lastIndexOf("/");
		return { folder: this.#folder(path.slice(0, slash)), name: path.slice(slash + 1) };
	}
}
