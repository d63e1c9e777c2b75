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
	async read(path, offset, byteLength) {
		using file = await Deno.open(path, { read: true });
		const room = Math.max(0, Math.min(byteLength, (await file.stat()).size - offset));
		await file.seek(offset, Deno.SeekMode.Start);
		const bytes = new Uint8Array(room);
		let filled = 0;
		while (filled < room) {
			const count = await file.read(bytes.subarray(filled));
			if (count === null) break;
			filled += count;
		}
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
	async removeTree(path) {
		try {
			await Deno.remove(path, { recursive: true });
		} catch (error) {
			if (!(error instanceof Deno.errors.NotFound)) throw error;
		}
	},
};
