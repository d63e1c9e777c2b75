/** Files and processes of this machine by `node:fs`. */
import { closeSync, fstatSync, openSync, readSync, writeSync } from "node:fs";
import { lstat, mkdir, open, readdir, readFile, readlink, rm, statfs, writeFile } from "node:fs/promises";
import process from "node:process";
import type { HostFiles, PageFile, PageFiles } from "../../ports/host-files.ts";
import { checkPrivateFolder, isGone } from "../private-folder.ts";
import { systemCodeOf } from "../stream-errors.ts";

/** See {@link HostFiles}. */
export const nodeHostFiles: HostFiles = {
	pid: process.pid,
	get userId() {
		return process.getuid?.();
	},
	async makePrivateFolder(path) {
		try {
			await mkdir(path, { mode: 0o700 });
		} catch (error) {
			if (systemCodeOf(error) !== "EEXIST") throw error;
			const found = await lstat(path);
			const facts = { isFolder: found.isDirectory(), mode: found.mode, userId: found.uid };
			checkPrivateFolder(path, facts, process.getuid?.());
		}
	},
	names: (path) => orElse(readdir(path), []),
	async read(path) {
		const bytes = await orElse(readFile(path), undefined);
		return bytes && new Uint8Array(bytes);
	},
	write: (path, bytes) => writeFile(path, bytes, { mode: 0o600 }),
	readLink: (path) => orElse(readlink(path), undefined),
	async makeSparse(path, byteLength) {
		const file = await open(path, "wx", 0o600);
		try {
			await file.truncate(byteLength);
		} finally {
			await file.close();
		}
	},
	async freeBytes(path) {
		const { bavail, bsize } = await statfs(path);
		return bavail * bsize;
	},
	// Again, if something was made in it meanwhile: a listener that was just being opened.
	removeTree: (path) => rm(path, { recursive: true, force: true, maxRetries: 10, retryDelay: 20 }),
	kill(pid) {
		try {
			process.kill(pid, "SIGKILL");
		} catch (error) {
			if (systemCodeOf(error) !== "ESRCH") throw error;
		}
	},
};

async function orElse<T, U>(work: Promise<T>, missing: U): Promise<T | U> {
	try {
		return await work;
	} catch (error) {
		if (isGone(systemCodeOf(error))) return missing;
		throw error;
	}
}

/** See {@link PageFiles}. */
export const nodePageFiles: PageFiles = {
	open: (path) => new NodePageFile(path, "r+"),
	openToRead: (path) => new NodePageFile(path, "r"),
};

/** What stat counts in, whatever the file system's own blocks are (stat(2)). */
const BLOCK_BYTES = 512;

class NodePageFile implements PageFile {
	readonly #path: string;
	readonly #file: number;

	constructor(path: string, flags: "r" | "r+") {
		this.#path = path;
		this.#file = openSync(path, flags);
	}

	allocatedBytes(): number {
		return fstatSync(this.#file).blocks * BLOCK_BYTES;
	}

	read(target: Uint8Array, byteOffset: number): void {
		for (let at = 0; at < target.byteLength; ) {
			const count = readSync(this.#file, target, at, target.byteLength - at, byteOffset + at);
			if (count === 0) throw new RangeError(`byteOffset: ${this.#path} ends before ${byteOffset + target.byteLength}`);
			at += count;
		}
	}

	write(bytes: Uint8Array, byteOffset: number): void {
		for (let at = 0; at < bytes.byteLength; )
			at += writeSync(this.#file, bytes, at, bytes.byteLength - at, byteOffset + at);
	}

	close(): void {
		closeSync(this.#file);
	}
}
