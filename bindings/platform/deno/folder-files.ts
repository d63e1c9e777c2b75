/** A folder store's file operations by Deno's own. */
import type { FolderFiles } from "../folder-files.ts";

/** See {@link FolderFiles}. */
export const denoFolderFiles: FolderFiles = {
	pid: Deno.pid,
	isProcessAlive(pid) {
		try {
			Deno.kill(pid, 0);
			return true;
		} catch (error) {
			return !(error instanceof Deno.errors.NotFound);
		}
	},
	makeFolder: (path) => Deno.mkdir(path),
	async names(path) {
		const names: string[] = [];
		for await (const entry of Deno.readDir(path)) names.push(entry.name);
		return names;
	},
	async writeNew(path, bytes) {
		using file = await Deno.open(path, { write: true, createNew: true, mode: 0o600 });
		for (let at = 0; at < bytes.byteLength; ) at += await file.write(bytes.subarray(at));
		await file.sync();
	},
	async create(path) {
		const file = await Deno.open(path, { read: true, write: true, createNew: true, mode: 0o600 });
		const inTurn = turns();
		return {
			write: (offset, bytes) =>
				inTurn(async () => {
					await file.seek(offset, Deno.SeekMode.Start);
					for (let at = 0; at < bytes.byteLength; ) at += await file.write(bytes.subarray(at));
				}),
			read: (offset, into) => inTurn(() => readAt(file, offset, into)),
			sync: () => inTurn(() => file.sync()),
			close: () => inTurn(async () => file.close()),
		};
	},
	async open(path) {
		const file = await Deno.open(path, { read: true });
		const inTurn = turns();
		try {
			const { size } = await file.stat();
			return {
				byteLength: size,
				read: (offset, into) => inTurn(() => readAt(file, offset, into)),
				close: () => inTurn(async () => file.close()),
			};
		} catch (error) {
			file.close();
			throw error;
		}
	},
	async read(path, offset, byteLength) {
		using file = await Deno.open(path, { read: true });
		const room = Math.max(0, Math.min(byteLength, (await file.stat()).size - offset));
		const bytes = new Uint8Array(room);
		const filled = await readAt(file, offset, bytes);
		return filled === room ? bytes : bytes.slice(0, filled);
	},
	byteLength: async (path) => (await Deno.stat(path)).size,
	async syncFolder(path) {
		using folder = await Deno.open(path, { read: true });
		await folder.sync();
	},
	link: (from, to) => Deno.link(from, to),
	rename: (from, to) => Deno.rename(from, to),
	remove: (path) => Deno.remove(path),
	removeFolder: (path) => Deno.remove(path),
	async removeTree(path) {
		try {
			await Deno.remove(path, { recursive: true });
		} catch (error) {
			if (!(error instanceof Deno.errors.NotFound)) throw error;
		}
	},
};

/** A file of Deno has one position: whoever seeks must be done before the next one does. */
function turns(): <Value>(work: () => Promise<Value>) => Promise<Value> {
	let last: Promise<unknown> = Promise.resolve();
	return (work) => {
		const turn = last.then(work);
		last = turn.catch(() => undefined); // the caller of this turn sees the failure
		return turn;
	};
}

async function readAt(file: Deno.FsFile, offset: number, into: Uint8Array): Promise<number> {
	await file.seek(offset, Deno.SeekMode.Start);
	let filled = 0;
	while (filled < into.byteLength) {
		const count = await file.read(into.subarray(filled));
		if (count === null) break;
		filled += count;
	}
	return filled;
}
