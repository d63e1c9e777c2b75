/**
 * The receiving side of a move as one step function: (state, record) → next state and what to do. No I/O, no clock.
 *
 *   greeting ──hello──▶ collecting ──all resources──▶ setting-up ──(prepared)──▶ receiving ──state──▶ restoring
 *      │ query                                                       │              ▲ │ batch, layout, round     ▲
 *      ▼                                                             │missing       └─┘                          │
 *                                                                    └──▶ owing ──missing … all pages, state────┘
 *   answered                      running ◀──go── ready ◀──(verified)── verifying ◀──digest── restoring
 *
 * Parenthesised arrows are this side's own events. A record that a state does not allow is an error naming both.
 */
import { MoveError } from "../handover/move-error.ts";
import type { GuestLayout } from "../ports/guest.ts";
import type { Record } from "../wire/records.ts";

/** See the head of this file. */
export type TargetState =
	| { readonly name: "greeting" }
	| { readonly name: "collecting"; readonly layout: GuestLayout; readonly missing: ReadonlySet<string> }
	| { readonly name: "setting-up" }
	/** `faulting`: some pages may be left for after the handover. */
	| { readonly name: "receiving"; readonly pageCount: number; readonly faulting?: true }
	/** The set of pages that are left arrives; it covers the pages before `covered`. */
	| { readonly name: "owing"; readonly pageCount: number; readonly covered: number }
	| { readonly name: "restoring"; readonly pageCount: number; readonly received: number; readonly total: number }
	| { readonly name: "verifying" }
	| { readonly name: "ready" }
	| { readonly name: "running" };

/** What the step function wants done before the next record is looked at. */
export type TargetAction =
	| { readonly do: "nothing" }
	| { readonly do: "collect"; readonly record: RecordOf<"resource">; readonly complete: boolean }
	| { readonly do: "apply"; readonly record: RecordOf<"batch"> }
	| { readonly do: "grow"; readonly pageCount: number }
	| { readonly do: "keep-missing"; readonly record: RecordOf<"missing"> }
	| { readonly do: "keep-state"; readonly record: RecordOf<"state"> }
	| { readonly do: "verify"; readonly record: RecordOf<"digest"> }
	| { readonly do: "activate" };

type RecordOf<Type extends Record["type"]> = Extract<Record, { type: Type }>;

/** One step. @throws {MoveError} `protocol` for a record that the state does not allow or that contradicts earlier ones. */
export function stepTarget(
	state: TargetState,
	record: Record,
): { readonly state: TargetState; readonly action: TargetAction } {
	switch (state.name) {
		case "collecting":
			if (record.type === "resource") return collect(state, record);
			break;
		case "receiving":
			if (record.type === "batch") return { state, action: { do: "apply", record } };
			if (record.type === "round") return { state, action: { do: "nothing" } };
			if (record.type === "layout") return grow(state, record);
			if (record.type === "missing" && state.faulting)
				return keepMissing({ name: "owing", pageCount: state.pageCount, covered: 0 }, record);
			if (record.type === "state")
				return keepState({ name: "restoring", pageCount: state.pageCount, received: 0, total: record.total }, record);
			break;
		case "owing":
			if (record.type === "missing") return keepMissing(state, record);
			if (record.type === "state" && state.covered === state.pageCount)
				return keepState({ name: "restoring", pageCount: state.pageCount, received: 0, total: record.total }, record);
			break;
		case "restoring":
			if (record.type === "state") return keepState(state, record);
			if (record.type === "digest") return verify(state, record);
			break;
		case "ready":
			if (record.type === "go") return { state: { name: "running" }, action: { do: "activate" } };
			break;
		default:
			break;
	}
	throw new MoveError("protocol", `a target that is '${state.name}' cannot take the record '${record.type}'`);
}

/**
 * Where a target goes once it has what it asked for: the caller's own event `prepared`.
 * @param faulting - the guest can run while pages are missing.
 */
export function preparedTarget(state: TargetState, pageCount: number, faulting = false): TargetState {
	if (state.name !== "setting-up")
		throw new MoveError("protocol", `a target that is '${state.name}' cannot be prepared`);
	return { name: "receiving", pageCount, ...(faulting ? { faulting } : {}) };
}

/** Where a target goes once memory and state match the digest: the caller's own event `verified`. */
export function verifiedTarget(state: TargetState): TargetState {
	if (state.name !== "verifying")
		throw new MoveError("protocol", `a target that is '${state.name}' cannot be verified`);
	return { name: "ready" };
}

function collect(state: Extract<TargetState, { name: "collecting" }>, record: RecordOf<"resource">) {
	if (!state.missing.has(record.hash))
		throw new MoveError("protocol", `the source sent a resource that was not asked for: ${record.hash}`);
	const complete = record.offset + record.bytes.byteLength === record.total;
	if (!complete) return { state, action: { do: "collect", record, complete } } as const;
	const missing = new Set(state.missing);
	missing.delete(record.hash);
	const next: TargetState = missing.size === 0 ? { name: "setting-up" } : { ...state, missing };
	return { state: next, action: { do: "collect", record, complete } } as const;
}

function grow(state: Extract<TargetState, { name: "receiving" }>, record: RecordOf<"layout">) {
	if (record.pageCount <= state.pageCount)
		throw new MoveError(
			"protocol",
			`the source announced ${record.pageCount} pages after ${state.pageCount}: guests never shrink`,
		);
	return {
		state: { ...state, pageCount: record.pageCount },
		action: { do: "grow", pageCount: record.pageCount },
	} as const;
}

function keepMissing(state: Extract<TargetState, { name: "owing" }>, record: RecordOf<"missing">) {
	const covered = state.covered + record.pageCount;
	if (record.firstPage !== state.covered || covered > state.pageCount)
		throw new MoveError(
			"protocol",
			`missing pages from ${record.firstPage} to ${covered}, expected ${state.covered} of ${state.pageCount}`,
		);
	return { state: { ...state, covered }, action: { do: "keep-missing", record } } as const;
}

function keepState(state: Extract<TargetState, { name: "restoring" }>, record: RecordOf<"state">) {
	if (record.total !== state.total || record.offset !== state.received)
		throw new MoveError(
			"protocol",
			`state bytes at ${record.offset} of ${record.total}, expected ${state.received} of ${state.total}`,
		);
	const received = state.received + record.bytes.byteLength;
	if (received > state.total) throw new MoveError("protocol", `more state bytes than the ${state.total} announced`);
	return { state: { ...state, received }, action: { do: "keep-state", record } } as const;
}

function verify(state: Extract<TargetState, { name: "restoring" }>, record: RecordOf<"digest">) {
	if (state.received !== state.total || record.stateByteLength !== state.total)
		throw new MoveError(
			"protocol",
			`the digest covers ${record.stateByteLength} bytes of state, ${state.received} of ${state.total} arrived`,
		);
	if (record.pageCount !== state.pageCount)
		throw new MoveError("protocol", `the digest covers ${record.pageCount} pages, the target has ${state.pageCount}`);
	return { state: { name: "verifying" }, action: { do: "verify", record } } as const;
}
