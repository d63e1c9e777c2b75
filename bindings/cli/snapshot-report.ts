/** What `pageferry snapshot` says of snapshots, in words and as JSON. */
import { PAGE_BYTES } from "../ports/guest.ts";
import type { Pruned, SnapshotInfo, UnreadableSnapshot } from "../snapshot/store.ts";
import { bytes, whole } from "./figures.ts";

const HEAD = ["id", "number", "guest", "memory", "not zero", "added", "label"];

/** A table of snapshots, the oldest first. */
export function snapshotTable(infos: readonly SnapshotInfo[]): string {
	if (infos.length === 0) return "no snapshots\n";
	const rows = infos.map((info) => [
		info.id,
		`${info.sequence}`,
		info.layout.kind,
		bytes(info.pageCount * PAGE_BYTES),
		bytes(info.storedPages * PAGE_BYTES),
		bytes(info.addedBytes),
		printable(info.label ?? ""),
	]);
	const widths = HEAD.map((name, column) => Math.max(name.length, ...rows.map((row) => row[column]!.length)));
	const line = (row: readonly string[]) =>
		row
			.map((cell, i) => cell.padEnd(widths[i]!))
			.join("  ")
			.trimEnd();
	return `${[HEAD, ...rows].map(line).join("\n")}\n`;
}

/** All that a snapshot says of itself. */
export function snapshotFacts(info: SnapshotInfo): string {
	const { layout } = info;
	const rows: [string, string][] = [
		["id", info.id],
		["number", `${info.sequence}`],
		...(info.label === undefined ? [] : [["label", info.label] satisfies [string, string]]),
		["made after", info.parent ?? "nothing"],
		...(info.generation === undefined ? [] : [["generation", info.generation] satisfies [string, string]]),
		["guest", layout.kind],
		["memory", `${whole(info.pageCount)} pages, ${bytes(info.pageCount * PAGE_BYTES)}`],
		["not zero", `${whole(info.storedPages)} pages`],
		["added", bytes(info.addedBytes)],
		["state", bytes(info.stateByteLength)],
		["digest", info.digest],
		...layout.resources.map(({ hash, byteLength }): [string, string] => ["code", `${hash}, ${bytes(byteLength)}`]),
		...Object.entries({ ...layout.facts, ...info.facts }).map(([name, value]): [string, string] => [name, `${value}`]),
	];
	const width = Math.max(...rows.map(([name]) => name.length));
	return rows.map(([name, value]) => `${printable(name).padEnd(width)}  ${printable(value)}\n`).join("");
}

/** A snapshot that is there and cannot be read, in one line. */
export function unreadableLine({ id, object, error }: UnreadableSnapshot): string {
	return `${id ?? object} cannot be read (${error.code}): ${printable(error.message)}`;
}

/** What a prune has done. */
export function pruneReport(pruned: Pruned): string {
	const { deletedSnapshots, deletedObjects, repackedPacks, waitingObjects, writers } = pruned;
	const lines = [
		`${deletedSnapshots.length} snapshots, ${deletedObjects} objects removed; ${repackedPacks} packs packed anew`,
		...deletedSnapshots.map((id) => `  ${id}`),
	];
	if (waitingObjects > 0)
		lines.push(
			`${waitingObjects} objects wait for writers that may be at work: ${writers.join(", ")}`,
			"  if nobody else works on this store, --dead-writers removes what they left",
		);
	return `${lines.join("\n")}\n`;
}

/** Controls, and marks that turn the direction of writing. */
// biome-ignore lint/suspicious/noControlCharactersInRegex: these are what is replaced
const UNPRINTABLE = /[\u0000-\u001f\u007f-\u009f\u2028-\u202e\u2066-\u2069]/g;

/** Labels and facts come from whoever made the snapshot: nothing of them may move a terminal's cursor. */
const printable = (text: string): string => text.replace(UNPRINTABLE, "\ufffd");
