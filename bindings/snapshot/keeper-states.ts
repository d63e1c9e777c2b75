/**
 * The keeper's side as one step function: (state, record) → next state and what to do. No I/O, no clock.
 *
 *   waiting ──offer──▶ beginning ──(some code is lacking)──▶ collecting ──all resources──▶ (begun)
 *      ▲                   └──────────────(begun)───────────────────────────────▶ receiving ◀──┘
 *      │                                                                            │ ▲ batch, layout, round
 *      └──(kept)── committing ◀──digest── restoring ◀──state───────────────────────┘
 *
 * Parenthesised arrows are this side's own events. A record that a state does not allow is an error naming both.
 */
import { MoveError } from "../handover/move-error.ts";
import type { Record } from "../wire/records.ts";

/** See the head of this file. */
export type KeeperState =
	| { readonly name: "waiting" }
	| { readonly name: "beginning" }
	/** `open`: the resource whose pieces are coming. */
	| {
			readonly name: "collecting";
			readonly pageCount: number;
			readonly missing: ReadonlySet<string>;
			readonly open?: OpenResource;
	  }
	| { readonly name: "receiving"; readonly pageCount: number }
	| { readonly name: "restoring"; readonly pageCount: number; readonly received: number; readonly total: number }
	| { readonly name: "committing" };

interface OpenResource {
	readonly hash: string;
	readonly received: number;
	readonly total: number;
}

type RecordOf<Type extends Record["type"]> = Extract<Record, { type: Type }>;

/** What the step function wants done before the next record is looked at. */
export type KeeperAction =
	| { readonly do: "nothing" }
	| { readonly do: "begin"; readonly record: RecordOf<"offer"> }
	| { readonly do: "collect"; readonly record: RecordOf<"resource">; readonly complete: boolean }
	| { readonly do: "take"; readonly record: RecordOf<"batch"> }
	| { readonly do: "grow"; readonly pageCount: number }
	| { readonly do: "keep-state"; readonly record: RecordOf<"state"> }
	| { readonly do: "commit"; readonly record: RecordOf<"digest"> };

interface Step {
	readonly state: KeeperState;
	readonly action: KeeperAction;
}

/** One step. @throws {MoveError} `protocol` for a record that the state does not allow or that contradicts earlier ones. */
export function stepKeeper(state: KeeperState, record: Record): Step {
	switch (state.name) {
		case "waiting":
			if (record.type === "offer") return { state: { name: "beginning" }, action: { do: "begin", record } };
			break;
		case "collecting":
			if (record.type === "resource") return collect(state, record);
			break;
		case "receiving":
			if (record.type === "batch") return { state, action: { do: "take", record } };
			if (record.type === "round") return { state, action: { do: "nothing" } };
			if (record.type === "layout") return grow(state, record);
			if (record.type === "state")
				return keepState({ name: "restoring", pageCount: state.pageCount, received: 0, total: record.total }, record);
			break;
		case "restoring":
			if (record.type === "state") return keepState(state, record);
			if (record.type === "digest") return commit(state, record);
			break;
		default:
			break;
	}
	throw new MoveError("protocol", `a keeper that is '${state.name}' cannot take the record '${record.type}'`);
}

/** Where a keeper goes once it has begun a snapshot: its own event. */
export function begunKeeper(pageCount: number, missing: readonly string[]): KeeperState {
	if (missing.length === 0) return { name: "receiving", pageCount };
	return { name: "collecting", pageCount, missing: new Set(missing) };
}

function collect(state: Extract<KeeperState, { name: "collecting" }>, record: RecordOf<"resource">): Step {
	const { hash, offset, total } = record;
	if (!state.missing.has(hash)) throw new MoveError("protocol", `the source sent code that was not asked for: ${hash}`);
	const open = state.open ?? { hash, received: 0, total };
	if (hash !== open.hash || total !== open.total || offset !== open.received)
		throw new MoveError(
			"protocol",
			`code ${hash}: bytes at ${offset} of ${total}, expected ${open.received} of ${open.total}`,
		);
	const received = offset + record.bytes.byteLength;
	const complete = received === total;
	const action = { do: "collect", record, complete } as const;
	if (!complete) return { state: { ...state, open: { ...open, received } }, action };
	const missing = new Set(state.missing);
	missing.delete(hash);
	return { state: begunKeeper(state.pageCount, [...missing]), action };
}

function grow(state: Extract<KeeperState, { name: "receiving" }>, { pageCount }: RecordOf<"layout">): Step {
	if (pageCount <= state.pageCount)
		throw new MoveError(
			"protocol",
			`the source announced ${pageCount} pages after ${state.pageCount}: guests never shrink`,
		);
	return { state: { name: "receiving", pageCount }, action: { do: "grow", pageCount } };
}

function keepState(state: Extract<KeeperState, { name: "restoring" }>, record: RecordOf<"state">): Step {
	if (record.total !== state.total || record.offset !== state.received)
		throw new MoveError(
			"protocol",
			`state bytes at ${record.offset} of ${record.total}, expected ${state.received} of ${state.total}`,
		);
	const received = state.received + record.bytes.byteLength;
	return { state: { ...state, received }, action: { do: "keep-state", record } };
}

function commit(state: Extract<KeeperState, { name: "restoring" }>, record: RecordOf<"digest">): Step {
	if (state.received !== state.total || record.stateByteLength !== state.total)
		throw new MoveError(
			"protocol",
			`the digest covers ${record.stateByteLength} bytes of state, ${state.received} arrived`,
		);
	if (record.pageCount !== state.pageCount)
		throw new MoveError("protocol", `the digest covers ${record.pageCount} pages, ${state.pageCount} were announced`);
	return { state: { name: "committing" }, action: { do: "commit", record } };
}
