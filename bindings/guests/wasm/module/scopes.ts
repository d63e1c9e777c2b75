// Which facts hold where, by dominance. Facts are learnt in the order of the code and kept on a trail; the facts that
// hold at a place are a prefix of the trail. This file keeps that prefix's length through structured control flow.
//
// A fact learnt at P may be used at Q only if every path to Q passes P. Where paths join, only what all of them know is
// left: the smallest length among the branches to the label and the code that falls through. A loop's header is joined
// by its back edges only with itself, so what was known before the loop still dominates it; whether it still *holds*
// there (a local changed further down in the loop) is for `known-pages.ts`, which looks at places, to tell.
import { NEVER } from "./body-scan.ts";
import type { InstructionCursor } from "./cursor.ts";
import { opcodeOf, opcodeSet } from "./opcodes.ts";

interface Scope {
	readonly isLoop: boolean;
	/** Trail length when the block was opened. */
	readonly opened: number;
	/** Smallest trail length at the branches to its end so far; NEVER when there was none. */
	joined: number;
	/** An `if` without a second arm so far: its end is joined by what was known before it. */
	skips: boolean;
	/** Smallest length the trail was cut to while the block was open: entries above it may have been replaced. */
	cut: number;
}

const BLOCK = opcodeOf("block");
const LOOP = opcodeOf("loop");
const IF = opcodeOf("if");
const ELSE = opcodeOf("else");
const END = opcodeOf("end");
const TRY = opcodeOf("try");
const TRY_TABLE = opcodeOf("try_table");
const DELEGATE = opcodeOf("delegate");
const BR_TABLE = opcodeOf("br_table");
const CATCHES = opcodeSet("catch", "catch_all");
const BRANCHES = opcodeSet("br", "br_if", "br_on_null", "br_on_non_null");
/** Instructions behind which the code does not go on. */
const LEAVES = opcodeSet(
	...["br", "br_table", "return", "unreachable", "throw", "rethrow", "throw_ref"],
	...["return_call", "return_call_indirect", "return_call_ref"],
);
/** Instructions that open, close or leave blocks. */
export const CONTROL: Uint8Array = opcodeSet(
	...["block", "loop", "if", "else", "end", "try", "try_table", "catch", "catch_all", "delegate"],
	...["br", "br_if", "br_on_null", "br_on_non_null", "br_table", "return", "unreachable"],
	...["throw", "rethrow", "throw_ref", "return_call", "return_call_indirect", "return_call_ref"],
);

export class Scopes {
	readonly #open: Scope[] = [];
	#reachable = true;

	begin(): void {
		this.#open.length = 0;
		this.#reachable = true;
		this.#enter(BLOCK, 0);
	}

	/**
	 * Goes past a control instruction.
	 * @param length the trail's length before it
	 * @returns the trail's length after it
	 */
	pass(cursor: InstructionCursor, length: number): number {
		const { opcode } = cursor;
		switch (opcode) {
			case BLOCK:
			case LOOP:
			case IF:
			case TRY:
				this.#enter(opcode, length);
				return length;
			case TRY_TABLE:
				// Its clauses branch to labels outside it, knowing what was known before it.
				for (const label of cursor.labels) this.#branch(label, length);
				this.#enter(opcode, length);
				return length;
			case ELSE:
				return this.#otherwise(length);
			case END:
			case DELEGATE:
				return this.#leave(length);
		}
		if (CATCHES[opcode] === 1) return this.#otherwise(length);
		if (BRANCHES[opcode] === 1) this.#branch(cursor.index, length);
		else if (opcode === BR_TABLE) for (const label of cursor.labels) this.#branch(label, length);
		if (LEAVES[opcode] === 1) this.#reachable = false;
		return length;
	}

	#enter(opcode: number, length: number): void {
		this.#open.push({ isLoop: opcode === LOOP, opened: length, joined: NEVER, cut: NEVER, skips: opcode === IF });
	}

	#branch(label: number, length: number): void {
		const target = this.#open[this.#open.length - 1 - label];
		if (target !== undefined && !target.isLoop) target.joined = Math.min(target.joined, length);
	}

	/** The second arm of an `if`, or a handler: begins with what was known when the block was opened. */
	#otherwise(length: number): number {
		const scope = this.#open.at(-1)!;
		if (this.#reachable) scope.joined = Math.min(scope.joined, length);
		this.#reachable = true;
		scope.skips = false;
		scope.cut = Math.min(scope.cut, scope.opened);
		return scope.opened;
	}

	#leave(length: number): number {
		const scope = this.#open.pop();
		if (scope === undefined) return 0;
		const branched = scope.joined === NEVER ? NEVER : Math.min(scope.joined, scope.cut);
		const joined = scope.skips ? scope.opened : branched;
		const fallen = this.#reachable ? length : NEVER;
		const left = Math.min(joined, fallen);
		this.#reachable = left !== NEVER;
		// Behind code that nothing reaches, nothing needs to be known.
		const after = left === NEVER ? scope.opened : left;
		const outer = this.#open.at(-1);
		if (outer !== undefined) outer.cut = Math.min(outer.cut, scope.cut, after < length ? after : NEVER);
		return after;
	}
}
