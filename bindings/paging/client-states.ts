/**
 * The target's side of paging as one step function: (state, record) → next state and what to do. No I/O, no clock.
 *
 *   paging ──(every page installed)──▶ completing ──accepted──▶ complete
 *    ▲ │ batch                             └──hashes──▶ naming ──hashes … all pages──▶ corrupt
 *    └─┘                                                 ▲ │ hashes
 *                                                        └─┘
 * Parenthesised arrows are this side's own events; `alive` may come at any time and changes nothing, and
 * so may `committed` where checkpoints go back. A record that a state does not allow is an error naming both.
 */
import { MoveError } from "../handover/move-error.ts";
import type { BatchRecord, HashesRecord, Record } from "../wire/records.ts";

const HASH_BYTES = 16;

/** See the head of this file. */
export type ClientState =
	| { readonly name: "paging" }
	| { readonly name: "completing" }
	| { readonly name: "naming"; readonly compared: number }
	| { readonly name: "complete" }
	| { readonly name: "corrupt" };

/** What the step function wants done. */
export type ClientAction =
	| { readonly do: "nothing" }
	| { readonly do: "install"; readonly record: BatchRecord }
	| { readonly do: "commit"; readonly epoch: number }
	| { readonly do: "compare"; readonly record: HashesRecord; readonly last: boolean }
	| { readonly do: "end" };

/** One step. @param checkpointing - this side's changes go back as checkpoints. @throws {MoveError} `protocol` for a record that the state does not allow or that leaves a gap. */
export function stepClient(
	state: ClientState,
	record: Record,
	pageCount: number,
	checkpointing = false,
): { readonly state: ClientState; readonly action: ClientAction } {
	if (record.type === "alive") return { state, action: { do: "nothing" } };
	if (checkpointing && record.type === "committed") return { state, action: { do: "commit", epoch: record.epoch } };
	if (state.name === "paging" && record.type === "batch") return { state, action: { do: "install", record } };
	if (state.name === "completing" && record.type === "accepted")
		return { state: { name: "complete" }, action: { do: "end" } };
	if ((state.name === "completing" || state.name === "naming") && record.type === "hashes") {
		const compared = state.name === "naming" ? state.compared : 0;
		const end = compared + record.hashes.byteLength / HASH_BYTES;
		if (record.firstPage !== compared || end > pageCount)
			throw new MoveError(
				"protocol",
				`hashes of pages ${record.firstPage} to ${end}, expected ${compared} of ${pageCount}`,
			);
		const last = end === pageCount;
		return {
			state: last ? { name: "corrupt" } : { name: "naming", compared: end },
			action: { do: "compare", record, last },
		};
	}
	throw new MoveError("protocol", `a target that is '${state.name}' cannot take the record '${record.type}'`);
}

/** Where a target goes once every page is installed: its own event. */
export function installedAll(state: ClientState): ClientState {
	if (state.name !== "paging")
		throw new MoveError("protocol", `a target that is '${state.name}' has installed all before`);
	return { name: "completing" };
}
