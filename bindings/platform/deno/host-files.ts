/** Files and processes of this machine by Deno's own APIs. */
import type { HostFiles, PageFile, PageFiles } from "../../ports/host-files.ts";
import { checkPrivateFolder, isGone } from "../private-folder.ts";
import { systemCodeOf } from "../stream-errors.ts";

/** See {@link HostFiles}. */
export const denoHostFiles: HostFiles = {
	pid: Deno.pid,
	get userId() {
		return Deno.uid() ?? undefined;
	},
	async makePrivateFolder(path) {
		try {
			await Deno.mkdir(path, { mode: 0o700 });
		} catch (error) {
			if (!(error instanceof Deno.errors.AlreadyExists)) throw error;
			const found = await Deno.lstat(path);
			const facts = { isFolder: found.isDirectory, mode: found.mode, userId: found.uid };
			checkPrivateFolder(path, facts, Deno.uid());
		}
	},
	names: (path) =>
		orElse(async () => {
			const names: string[] = [];
			for await (const entry of Deno.readDir(path)) names.push(entry.name);
			return names;
		}, []),
	read: (path) => orElse(() => Deno.readFile(path), undefined),
	write: (path, bytes) => Deno.writeFile(path, bytes, { mode: 0o600 }),
	readLink: (path) => orElse(() => Deno.readLink(path), undefined),
	async makeSparse(path, byteLength) {
		using file = await Deno.open(path, { write: true, createNew: true, mode: 0o600 });
		await file.truncate(byteLength);
	},
	async freeBytes(path) {
		// Deno has no statfs(2); the system's stat has.
		const command = new Deno.Command("stat", { args: ["--file-system", "--format=%a %S", path], stderr: "null" });
		const answer = await command.output().catch(() => undefined); // no such program, or not allowed: nothing is known
		if (answer?.success !== true) return undefined;
		const [blocks, blockBytes] = new TextDecoder().decode(answer.stdout).split(" ").map(Number);
		return blocks! * blockBytes!;
	},
	async removeTree(path) {
		for (let tries = 0; ; tries++)
			try {
				await Deno.remove(path, { recursive: true });
				return;
			} catch (error) {
				const missing = isMissing(error);
				if (missing && (await orElse(() => Deno.lstat(path), undefined)) === undefined) return;
				// Something in it came or went meanwhile: a listener that was just being opened or closed.
				if (tries >= 10 || !(missing || /os error 39\b/.test(String(error)))) throw error;
			}
	},
	kill(pid) {
		try {
			Deno.kill(pid, "SIGKILL");
		} catch (error) {
			if (!isMissing(error)) throw error;
		}
	},
};

const isMissing = (error: unknown): boolean =>
	error instanceof Deno.errors.NotFound || isGone(systemCodeOf(error)) || /os error 3\b/.test(String(error));

async function orElse<T, U>(work: () => Promise<T>, missing: U): Promise<T | U> {
	try {
		return await work();
	} catch (error) {
		if (isMissing(error)) return missing;
		throw error;
	}
}

/** See {@link PageFiles}. */
export const denoPageFiles: PageFiles = {
	open: (path) => new DenoPageFile(path, true),
	openToRead: (path) => new DenoPageFile(path, false),
};

/** What stat counts in, whatever the file system's own blocks are (stat(2)). */
const BLOCK_BYTES = 512;

class DenoPageFile implements PageFile {
	readonly #path: string;
	readonly #file: Deno.FsFile;

	constructor(path: string, write: boolean) {
		this.#path = path;
		this.#file = Deno.openSync(path, { read: true, write });
	}

	allocatedBytes(): number {
		return (this.#file.statSync().blocks ?? 0) * BLOCK_BYTES;
	}

	read(target: Uint8Array, byteOffset: number): void {
		this.#file.seekSync(byteOffset, Deno.SeekMode.Start);
		for (let at = 0; at < target.byteLength; ) {
			const count = this.#file.readSync(target.subarray(at));
			if (count === null)
				throw new RangeError(`byteOffset: ${this.#path} ends before ${byteOffset + target.byteLength}`);
			at += count;
		}
	}

	write(bytes: Uint8Array, byteOffset: number): void {
		this.#file.seekSync(byteOffset, Deno.SeekMode.Start);
		for (let at = 0; at < bytes.byteLength; ) at += this.#file.writeSync(bytes.subarray(at));
	}

	close(): void {
		this.#file.close();
	}
}
