/** The words of `pageferry snapshot`: in, checked values out. */
import { type ParseArgsConfig, parseArgs } from "node:util";
import { UsageError } from "./options.ts";

/** What `pageferry snapshot` is asked for. `store` is a folder. Ids may be beginnings of ids. */
export type SnapshotCommand =
	| { readonly verb: "list"; readonly store: string; readonly jsonFile: string | undefined }
	| { readonly verb: "show"; readonly store: string; readonly id: string; readonly jsonFile: string | undefined }
	/** No ids: all there are. */
	| { readonly verb: "verify"; readonly store: string; readonly ids: readonly string[] }
	| { readonly verb: "delete"; readonly store: string; readonly ids: readonly string[] }
	| ({ readonly verb: "prune"; readonly store: string } & PruneWords)
	/** `file` is `-` for standard output or input. */
	| { readonly verb: "export"; readonly store: string; readonly id: string; readonly file: string }
	| { readonly verb: "import"; readonly store: string; readonly file: string };

/** Of `prune`. */
export interface PruneWords {
	/** Keeps these, and those of `keepLast`; all of them if neither is given. */
	readonly keep: readonly string[] | undefined;
	/** Keeps so many of the newest. */
	readonly keepLast: number | undefined;
	readonly repackBelow: number | undefined;
	/** Nobody else works on the store: what looks like a writer under way is a dead one. */
	readonly deadWriters: boolean;
}

const VERBS = ["list", "show", "verify", "delete", "prune", "export", "import"] as const;
/** The beginning of an id that is long enough not to be a slip of the finger. */
const ID = /^[0-9a-f]{4,32}$/;

/** @throws {UsageError} */
export function parseSnapshotCommand(args: readonly string[]): SnapshotCommand {
	const [word, ...rest] = args;
	const verb = VERBS.find((name) => name === word);
	if (verb === undefined) throw new UsageError(`snapshot ${word ?? ""}: say what to do: ${VERBS.join(", ")}`);
	switch (verb) {
		case "list": {
			const { values, store } = words(verb, rest, { json: { type: "string" } }, 0, 0);
			return { verb, store, jsonFile: text(values.json) };
		}
		case "show": {
			const { values, store, others } = words(verb, rest, { json: { type: "string" } }, 1, 1);
			return { verb, store, id: checkId(others[0]), jsonFile: text(values.json) };
		}
		case "verify":
		case "delete": {
			const { store, others } = words(verb, rest, {}, verb === "delete" ? 1 : 0, Number.POSITIVE_INFINITY);
			return { verb, store, ids: others.map(checkId) };
		}
		case "prune":
			return parsePrune(rest);
		case "export": {
			const { store, others } = words(verb, rest, {}, 2, 2);
			return { verb, store, id: checkId(others[0]), file: others[1] ?? "-" };
		}
		case "import": {
			const { store, others } = words(verb, rest, {}, 1, 1);
			return { verb, store, file: others[0] ?? "-" };
		}
	}
}

const PRUNE_OPTIONS = {
	keep: { type: "string", multiple: true },
	"keep-last": { type: "string" },
	"repack-below": { type: "string" },
	"dead-writers": { type: "boolean" },
} as const;

function parsePrune(args: readonly string[]): SnapshotCommand {
	const { values, store } = words("prune", args, PRUNE_OPTIONS, 0, 0);
	const { keep, "keep-last": last, "repack-below": below } = values;
	const keepLast = last === undefined ? undefined : Number(last);
	if (keepLast !== undefined && !(Number.isSafeInteger(keepLast) && keepLast >= 1))
		throw new UsageError(`--keep-last ${last}: must be a whole number from 1`);
	const repackBelow = below === undefined ? undefined : Number(below);
	if (repackBelow !== undefined && !(repackBelow >= 0 && repackBelow <= 1))
		throw new UsageError(`--repack-below ${below}: must be a number from 0 to 1`);
	const ids = Array.isArray(keep) ? keep.flatMap((list) => `${list}`.split(",")).map(checkId) : undefined;
	return { verb: "prune", store, keep: ids, keepLast, repackBelow, deadWriters: values["dead-writers"] === true };
}

/** The store, and from `least` to `most` words behind it. */
function words(
	verb: string,
	args: readonly string[],
	options: NonNullable<ParseArgsConfig["options"]>,
	least: number,
	most: number,
) {
	let parsed: { readonly values: Record<string, unknown>; readonly positionals: readonly string[] };
	try {
		parsed = parseArgs({ args: [...args], options, allowPositionals: true });
	} catch (cause) {
		const message = cause instanceof Error ? (cause.message.split("\n")[0] ?? "") : String(cause);
		throw new UsageError(`snapshot ${verb}: ${message.replace(/\. To specify .*$/, "")}`, { cause });
	}
	const [store, ...others] = parsed.positionals;
	if (store === undefined || store === "") throw new UsageError(`snapshot ${verb}: name the folder of the store`);
	if (others.length < least) throw new UsageError(`snapshot ${verb}: ${MISSING[verb] ?? "name a snapshot by its id"}`);
	if (others.length > most) throw new UsageError(`snapshot ${verb}: Unexpected argument '${others[most]}'`);
	return { values: parsed.values, store, others };
}

const MISSING: Readonly<Record<string, string>> = {
	export: "name a snapshot by its id, and a file, or - for standard output",
	import: "name a file, or - for standard input",
};

function checkId(id: unknown): string {
	if (typeof id === "string" && ID.test(id)) return id;
	throw new UsageError(`${String(id)}: is no id, nor the beginning of one: 4 to 32 of 0-9 and a-f`);
}

const text = (value: unknown): string | undefined => (typeof value === "string" ? value : undefined);
