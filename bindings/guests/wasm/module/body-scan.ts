// What must be known about a function body before its first instruction is rewritten: where locals are set, where calls
// are, and where loops end. One walk; afterwards everything is asked for at the walk's current place, in order, so each
// answer is one array access. Buffers are kept from body to body.
import { InstructionCursor } from "./cursor.ts";
import type { Span } from "./model.ts";
import { opcodeOf, opcodeSet } from "./opcodes.ts";

export const NEVER: number = Number.POSITIVE_INFINITY;

const LOCAL_SET = opcodeOf("local.set");
const LOCAL_TEE = opcodeOf("local.tee");
const LOOP = opcodeOf("loop");
const CALLS = opcodeSet(
	...["call", "call_indirect", "call_ref", "return_call", "return_call_indirect", "return_call_ref"],
);

/** @returns whether an instruction runs other code, and so possibly the host's */
export function isCall(opcode: number): boolean {
	return CALLS[opcode] === 1;
}

export class BodyScan {
	/** Local set and place, in the order of the code. */
	readonly #setLocal: number[] = [];
	readonly #setPlace: number[] = [];
	/** The next set of the same local, by the set's number. */
	readonly #nextSet: number[] = [];
	/** The first set not yet passed, by local, or -1 as at the end of every walk. */
	readonly #first: number[] = [];
	readonly #calls: number[] = [];
	#callsPassed = 0;
	/** Where each loop ends, in the order in which they begin. */
	readonly loopEnds: number[] = [];

	/** Walks a body and stands at its beginning again. */
	begin(bytes: Uint8Array, code: Span): void {
		this.#setLocal.length = 0;
		this.#setPlace.length = 0;
		this.#calls.length = 0;
		this.#callsPassed = 0;
		this.loopEnds.length = 0;
		this.#collect(bytes, code);
		this.#nextSet.length = this.#setLocal.length;
		for (let i = this.#setLocal.length - 1; i >= 0; i--) {
			const local = this.#setLocal[i]!;
			this.#nextSet[i] = this.#first[local] ?? -1;
			this.#first[local] = i;
		}
	}

	#collect(bytes: Uint8Array, code: Span): void {
		const cursor = new InstructionCursor(bytes, code.start, code.end);
		/** Number of the loop that each open block is, or -1. */
		const open: number[] = [-1];
		while (cursor.next()) {
			const { opcode } = cursor;
			if (opcode === LOCAL_SET || opcode === LOCAL_TEE) {
				this.#setLocal.push(cursor.index);
				this.#setPlace.push(cursor.start);
			} else if (isCall(opcode)) this.#calls.push(cursor.start);
			else if (cursor.depth > open.length) open.push(opcode === LOOP ? this.loopEnds.push(0) - 1 : -1);
			else if (cursor.depth < open.length) {
				const loop = open.pop()!;
				if (loop >= 0) this.loopEnds[loop] = cursor.end;
			}
		}
	}

	/** @returns where a local is next set at or after the current place */
	nextSetOf(local: number): number {
		const next = this.#first[local] ?? -1;
		return next < 0 ? NEVER : this.#setPlace[next]!;
	}

	/** @returns where the next call stands, at or after the current place */
	nextCall(): number {
		return this.#calls[this.#callsPassed] ?? NEVER;
	}

	/** The walk has come past this instruction. */
	pass(cursor: InstructionCursor): void {
		const { opcode, index } = cursor;
		if (opcode === LOCAL_SET || opcode === LOCAL_TEE) this.#first[index] = this.#nextSet[this.#first[index]!]!;
		else if (isCall(opcode)) this.#callsPassed++;
	}
}
