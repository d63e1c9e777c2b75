/** A folder store's file operations by `node:fs`. */
import { type FileHandle, link, mkdir, open, readdir, rename, rm, rmdir, stat, unlink } from "node:fs/promises";
import process from "node:process";
import type { FolderFiles } from "../folder-files.ts";
import { systemCodeOf } from "../stream-errors.ts";

/** One call of the system moves at most this much: Node refuses 2 GiB and more. */
const MAX_CALL_BYTES = 1024 * 1024 * 1024;

/** See {@link FolderFiles}. */
export const nodeFolderFiles: FolderFiles = {
	pid: process.pid,
	isProcessAlive(pid) {
		try {
			process.kill(pid, 0);
			return true;
		} catch (error) {
			return systemCodeOf(error) !== "ESRCH";
		}
	},
	makeFolder: (path) => mkdir(path),
	names: (path) => readdir(path),
	async writeNew(path, bytes) {
		const file = await open(path, "wx", 0o600);
		try {
			await writeAt(file, 0, bytes);
			await file.sync();
		} finally {
			await file.close();
		}
	},
	async create(path) {
		const file = await open(path, "wx+", 0o600);
		return {
			write: (offset, bytes) => writeAt(file, offset, bytes),
			read: (offset, into) => readAt(file, offset, into),
			sync: () => file.sync(),
			close: () => file.close(),
		};
	},
	async open(path) {
		const file = await open(path, "r");
		try {
			const { size } = await file.stat();
			return {
				byteLength: size,
				read: (offset, into) => readAt(file, offset, into),
				close: () => file.close(),
			};
		} catch (error) {
			await file.close();
			throw error;
		}
	},
	async read(path, offset, byteLength) {
		const file = await open(path, "r");
		try {
			const room = Math.max(0, Math.min(byteLength, (await file.stat()).size - offset));
			const bytes = new Uint8Array(room);
			const filled = await readAt(file, offset, bytes);
			return filled === room ? bytes : bytes.slice(0, filled);
		} finally {
			await file.close();
		}
	},
	byteLength: async (path) => (await stat(path)).size,
	async syncFolder(path) {
		const folder = await open(path, "r");
		try {
			await folder.sync();
		} finally {
			await folder.close();
		}
	},
	link,
	rename,
	remove: unlink,
	removeFolder: (path) => rmdir(path),
	removeTree: (path) => rm(path, { recursive: true, force: true }),
};

async function writeAt(file: FileHandle, offset: number, bytes: Uint8Array): Promise<void> {
	for (let at = 0; at < bytes.byteLength; ) {
		const length = Math.min(MAX_CALL_BYTES, bytes.byteLength - at);
		at += (await file.write(bytes, at, length, offset + at)).bytesWritten;
	}
}

async function readAt(file: FileHandle, offset: number, into: Uint8Array): Promise<number> {
	let filled = 0;
	while (filled < into.byteLength) {
		const length = Math.min(MAX_CALL_BYTES, into.byteLength - filled);
		const { bytesRead } = await file.read(into, filled, length, offset + filled);
		if (bytesRead === 0) break;
		filled += bytesRead;
	}
	return filled;
}
