/** Opening a folder store: made if it does not exist, recognised if it does, and tidied up after crashed writers. */
import { type Store, StoreError } from "../ports/store.ts";
import { hasCode, storeError } from "./folder-errors.ts";
import type { FolderFiles } from "./folder-files.ts";
import { FOLDERS, FORMAT_TEXT, writerOf } from "./folder-layout.ts";
import { FolderStore } from "./folder-store.ts";

/**
 * See `Platform.openFolderStore`. What a writer left in temporary/ is removed when no process of its number runs here; if
 * it does run after all (in another container, say), its operation fails and nothing is lost.
 */
export async function openFolder(files: FolderFiles, path: string): Promise<Store> {
	if (path === "" || path.includes("\0")) throw new RangeError(`path: must name a folder, got ${JSON.stringify(path)}`);
	const root = path.replace(/(?<=.)\/+$/, "");
	try {
		await makeFolders(files, root);
		const names = await files.names(root);
		if (!names.includes("format")) {
			const foreign = names.find((name) => !FOLDERS.some((folder) => folder === name));
			if (foreign !== undefined) throw new StoreError("invalid", `${path} is no store: it holds "${foreign}"`);
			await prepare(files, root);
		}
		await checkFormat(files, root);
		await removeLeftovers(files, `${root}/temporary`);
		return new FolderStore(files, root);
	} catch (error) {
		throw storeError(error, `cannot open ${path} as a store`);
	}
}

/**
 * Makes missing folders from the top down, each durable before the next. One that exists is made durable too: whoever made it
 * may have stopped before that, and with it everything that is put into it would be lost.
 */
async function makeFolders(files: FolderFiles, path: string): Promise<void> {
	const slash = path.lastIndexOf("/");
	const parent = slash > 0 ? path.slice(0, slash) : slash === 0 ? "/" : ".";
	let isNew = true;
	try {
		await files.makeFolder(path);
	} catch (error) {
		if (hasCode(error, "ENOENT") && parent !== path) {
			await makeFolders(files, parent);
			return makeFolders(files, path);
		}
		if (!hasCode(error, "EEXIST")) throw error;
		isNew = false;
	}
	try {
		await files.syncFolder(parent);
	} catch (error) {
		// What lies in a folder that we may not read was not made by us.
		if (isNew || !["EACCES", "EPERM"].some((code) => hasCode(error, code))) throw error;
	}
}

/** The file `format` comes last: where it is, everything else is. */
async function prepare(files: FolderFiles, root: string): Promise<void> {
	for (const folder of FOLDERS) await makeFolders(files, `${root}/${folder}`);
	const written = `${root}/temporary/${files.pid}-${crypto.randomUUID().replaceAll("-", "")}`;
	try {
		await files.writeNew(written, new TextEncoder().encode(FORMAT_TEXT));
		await files.link(written, `${root}/format`).catch((error: unknown) => {
			if (!hasCode(error, "EEXIST")) throw error;
		});
		await files.syncFolder(root);
	} finally {
		await files.removeTree(written).catch(() => undefined); // it costs room, and the next opening removes it
	}
}

async function checkFormat(files: FolderFiles, root: string): Promise<void> {
	// One byte more than expected: a longer text is another format.
	const bytes = await files.read(`${root}/format`, 0, FORMAT_TEXT.length + 1);
	const text = new TextDecoder().decode(bytes);
	if (text !== FORMAT_TEXT)
		throw new StoreError(
			"invalid",
			`${root} has the format ${JSON.stringify(text)}, this version reads ${JSON.stringify(FORMAT_TEXT)}`,
		);
}

/** What cannot be removed costs room, nothing else: a store on a medium that is read-only is still read. */
async function removeLeftovers(files: FolderFiles, temporary: string): Promise<void> {
	try {
		for (const name of await files.names(temporary)) {
			const pid = writerOf(name);
			if (pid !== undefined && !files.isProcessAlive(pid)) await files.removeTree(`${temporary}/${name}`);
		}
	} catch {
		// see above: whoever writes finds out what is wrong with the medium
	}
}
