/**
 * `pageferry snapshot`: looks after the snapshots in a folder. It runs no guest.
 *
 * Exit codes: 0 done; 1 something failed, cannot be read, or is not what was written; 2 wrong use.
 */
import { statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import process from "node:process";
import type { Platform } from "../ports/platform.ts";
import { SnapshotError, type SnapshotInfo, SnapshotStore, type UnreadableSnapshot } from "../snapshot/store.ts";
import { messageWithCauses } from "./failure.ts";
import { bytes, whole } from "./figures.ts";
import { checkImage, readImage, writeImage } from "./snapshot-files.ts";
import type { PruneWords, SnapshotCommand } from "./snapshot-options.ts";
import { pruneReport, snapshotFacts, snapshotTable, unreadableLine } from "./snapshot-report.ts";

const say = (text: string): void => void process.stdout.write(text);
const warn = (text: string): void => void process.stderr.write(`pageferry: ${text}\n`);

/** Does it. @returns the exit code. @throws {SnapshotError}; {FileError}; StoreError; the signal's reason. */
export async function runSnapshot(command: SnapshotCommand, platform: Platform, signal: AbortSignal): Promise<number> {
	// A mistyped path must not become an empty store.
	if (command.verb === "import") checkImage(command.file);
	else checkStore(command.store);
	const store = new SnapshotStore(await platform.openFolderStore(command.store), platform);
	switch (command.verb) {
		case "list":
			return list(store, command.jsonFile);
		case "show": {
			const { info } = await store.open(await idOf(store, command.id));
			say(snapshotFacts(info));
			writeJson(command.jsonFile, info);
			return 0;
		}
		case "verify":
			return verify(store, command.ids, signal);
		case "delete": {
			const ids = [];
			for (const id of command.ids) ids.push(await idOf(store, id));
			for (const id of new Set(ids)) {
				await store.delete(id);
				say(`${id} deleted; a prune gives its room back\n`);
			}
			return 0;
		}
		case "prune":
			return prune(store, command, signal);
		case "export": {
			const id = await idOf(store, command.id);
			const byteLength = await writeImage(command.file, store.export(id, { signal }));
			warn(`${id} exported, ${bytes(byteLength)}`);
			return 0;
		}
		case "import": {
			const { id, digest } = await store.import(readImage(command.file, signal), { signal });
			say(`${id}\n`);
			warn(`imported as ${id}, digest ${digest}`);
			return 0;
		}
	}
}

/** @throws {SnapshotError} `missing` where there is no store; the system's own words where that cannot be seen. */
function checkStore(folder: string): void {
	try {
		statSync(join(folder, "format"));
	} catch (cause) {
		const code = typeof cause === "object" && cause !== null && "code" in cause ? cause.code : undefined;
		const isThere = code !== "ENOENT" && code !== "ENOTDIR";
		const words = isThere ? messageWithCauses(cause) : "there is no store in this folder";
		throw new SnapshotError(isThere ? "failed" : "missing", `${folder}: ${words}`, {}, cause);
	}
}

/** What can be read, and what cannot. */
async function survey(store: SnapshotStore) {
	const unreadable: UnreadableSnapshot[] = [];
	const infos = await store.list({ onUnreadable: (one) => void unreadable.push(one) });
	return { infos, unreadable };
}

async function list(store: SnapshotStore, jsonFile: string | undefined): Promise<number> {
	const { infos, unreadable } = await survey(store);
	say(snapshotTable(infos));
	for (const one of unreadable) warn(unreadableLine(one));
	const failures = unreadable.map(({ id, object, error }) => ({
		id,
		object,
		code: error.code,
		message: error.message,
	}));
	writeJson(jsonFile, { snapshots: infos, unreadable: failures });
	return unreadable.length === 0 ? 0 : 1;
}

/** The id that begins so. @throws {SnapshotError} `missing` for none, and for more than one. */
async function idOf(store: SnapshotStore, beginning: string): Promise<string> {
	if (beginning.length === 32) return beginning;
	const { infos, unreadable } = await survey(store);
	const ids = [...infos, ...unreadable].flatMap(({ id }) => (id?.startsWith(beginning) ? [id] : []));
	if (ids.length === 1) return ids[0]!;
	if (ids.length === 0) throw new SnapshotError("missing", `there is no snapshot whose id begins with ${beginning}`);
	throw new SnapshotError("missing", `${beginning} is the beginning of more than one id: ${ids.join(", ")}`);
}

async function verify(store: SnapshotStore, wanted: readonly string[], signal: AbortSignal): Promise<number> {
	const ids: string[] = [];
	let failed = 0;
	for (const id of wanted) ids.push(await idOf(store, id));
	if (wanted.length === 0) {
		const { infos, unreadable } = await survey(store);
		ids.push(...infos.map(({ id }) => id));
		for (const one of unreadable) warn(unreadableLine(one));
		failed += unreadable.length;
	}
	const all = ids.length + failed;
	for (const id of ids) {
		try {
			const { pages, bytes: read, packs } = await store.verify(id, { signal });
			say(`${id} is whole: ${whole(pages)} pages, ${packs} packs, ${bytes(read)} read\n`);
		} catch (error) {
			if (!(error instanceof SnapshotError)) throw error;
			failed++;
			warn(`${id} is not whole (${error.code}): ${messageWithCauses(error)}`);
		}
	}
	if (failed > 0) warn(`${failed} of ${all} snapshots cannot be relied upon`);
	return failed > 0 ? 1 : 0;
}

async function prune(store: SnapshotStore, words: PruneWords, signal: AbortSignal): Promise<number> {
	const { repackBelow, deadWriters } = words;
	const keep = await kept(store, words);
	const pruned = await store.prune({
		...(keep === undefined ? {} : { keep }),
		...(repackBelow === undefined ? {} : { repackBelow }),
		...(deadWriters ? { deadWriters: "all" as const } : {}),
		signal,
	});
	say(pruneReport(pruned));
	return 0;
}

/** What to keep: chosen by the prune itself, so that a snapshot made meanwhile is never taken for one that was not chosen. */
async function kept(store: SnapshotStore, { keep, keepLast }: PruneWords) {
	if (keep === undefined && keepLast === undefined) return undefined;
	const named: string[] = [];
	for (const id of keep ?? []) {
		const whole = await idOf(store, id);
		await store.open(whole); // a slip of the finger must not delete everything else
		named.push(whole);
	}
	return (infos: readonly SnapshotInfo[]): string[] => [
		...named,
		...(keepLast === undefined ? [] : infos.slice(-keepLast).map(({ id }) => id)),
	];
}

function writeJson(file: string | undefined, value: object): void {
	if (file === undefined) return;
	try {
		writeFileSync(file, `${JSON.stringify(value, undefined, "\t")}\n`);
	} catch (cause) {
		throw new TypeError(`--json ${file}: ${messageWithCauses(cause)}`, { cause });
	}
}
