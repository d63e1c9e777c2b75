/**
 * The source's side of paging as one step function: (state, record) → next state and what to do. No I/O, no clock.
 *
 *   serving ──complete──▶ judging ──(same digest: accepted)────────▶ accepted
 *    ▲ │ fault, taken        └──(other digest: hashes)──▶ naming ──corrupt──▶ corrupt
 *    └─┘
 *
 * Parenthesised arrows are this side's own events; `alive` may come at any time and changes nothing, and so may parts of a
 * checkpoint where they were asked for, which the follower judges (epochs/). A record that a state does not allow is an error naming both.
 */
import { MoveError } from "../handover/move-error.ts";
import {
	type CheckpointPart,
	type CompleteRecord,
	type CorruptRecord,
	type FaultRecord,
	isCheckpointPart,
	type Record,
	type TakenRecord,
} from "../wire/records.ts";

/** See the head of this file. */
export type ServerState =
	| { readonly name: "serving" }
	| { readonly name: "judging" }
	| { readonly name: "naming" }
	| { readonly name: "accepted" }
	| { readonly name: "corrupt" };

/** What the step function wants done. */
export type ServerAction =
	| { readonly do: "nothing" }
	| { readonly do: "answer"; readonly record: FaultRecord }
	| { readonly do: "acknowledge"; readonly record: TakenRecord }
	| { readonly do: "judge"; readonly record: CompleteRecord }
	| { readonly do: "follow"; readonly record: CheckpointPart }
	| { readonly do: "end"; readonly record: CorruptRecord };

/** One step. @param following - the target's changes come back as checkpoints. @throws {MoveError} `protocol` for a record that the state does not allow. */
export function stepServer(
	state: ServerState,
	record: Record,
	following = false,
): { readonly state: ServerState; readonly action: ServerAction } {
	if (record.type === "alive") return { state, action: { do: "nothing" } };
	if (following && isCheckpointPart(record)) return { state, action: { do: "follow", record } };
	if (state.name === "serving") {
		if (record.type === "fault") return { state, action: { do: "answer", record } };
		if (record.type === "taken") return { state, action: { do: "acknowledge", record } };
		if (record.type === "complete") return { state: { name: "judging" }, action: { do: "judge", record } };
	}
	if (state.name === "naming" && record.type === "corrupt")
		return { state: { name: "corrupt" }, action: { do: "end", record } };
	throw new MoveError("protocol", `a source that is '${state.name}' cannot take the record '${record.type}'`);
}

/** Where a source goes once it has compared what arrived with what it has: its own event. */
export function judged(state: ServerState, same: boolean): ServerState {
	if (state.name !== "judging")
		throw new MoveError("protocol", `a source that is '${state.name}' has nothing to judge`);
	return { name: same ? "accepted" : "naming" };
}
