// What is known about the values on top of the stack, as far as addresses need it: a value may be a local that has not
// changed since, or a constant. Nothing is known across the opening and closing of blocks, and below the values listed.
import { type BodyScan, isCall, NEVER } from "./body-scan.ts";
import type { InstructionCursor } from "./cursor.ts";
import { CONSTANT_BASE } from "./known-pages.ts";
import type { Module } from "./model.ts";
import { opcodeOf, POPS, PUSHES } from "./opcodes.ts";
import { CONTROL } from "./scopes.ts";

/** A value equal to a local until the local is next set, or a constant (`base` is CONSTANT_BASE). */
export interface Operand {
	readonly base: number;
	readonly constant: number;
	readonly expires: number;
}

/** Base of a value about which nothing is known. */
const UNKNOWN = -2;
const LOCAL_GET = opcodeOf("local.get");
const LOCAL_TEE = opcodeOf("local.tee");
const I32_CONST = opcodeOf("i32.const");
const BR_IF = opcodeOf("br_if");
const CALL = opcodeOf("call");
const CALL_INDIRECT = opcodeOf("call_indirect");

export class Operands {
	readonly #module: Module;
	readonly #scan: BodyScan;
	// One entry per value, in arrays that are only ever written over: an object per local.get was a sixth of the time.
	readonly #bases: number[] = [];
	readonly #constants: number[] = [];
	readonly #expires: number[] = [];
	#depth = 0;

	constructor(module: Module, scan: BodyScan) {
		this.#module = module;
		this.#scan = scan;
	}

	begin(): void {
		this.#depth = 0;
	}

	/** @returns the value below `above` others, or null when nothing is known about it at this place */
	below(above: number, place: number): Operand | null {
		const at = this.#depth - 1 - above;
		if (at < 0 || this.#bases[at] === UNKNOWN || this.#expires[at]! < place) return null;
		return { base: this.#bases[at]!, constant: this.#constants[at]!, expires: this.#expires[at]! };
	}

	/** Goes past an instruction; `scan` has already passed it. */
	pass(cursor: InstructionCursor): void {
		const { opcode } = cursor;
		const pops = POPS[opcode]!;
		if (opcode === LOCAL_GET) this.#push(cursor.index, 0, this.#scan.nextSetOf(cursor.index));
		else if (opcode === LOCAL_TEE) {
			this.#pop(1);
			this.#push(cursor.index, 0, this.#scan.nextSetOf(cursor.index));
		} else if (opcode === I32_CONST) this.#push(CONSTANT_BASE, cursor.constant >>> 0, NEVER);
		else if (pops >= 0) this.#change(pops, PUSHES[opcode]!);
		else if (opcode === BR_IF) this.#pop(1);
		else if (isCall(opcode) && CONTROL[opcode] === 0) this.#call(cursor);
		else this.#depth = 0;
	}

	#call(cursor: InstructionCursor): void {
		const { types, functions } = this.#module;
		const direct = cursor.opcode === CALL;
		const type = types[(direct ? functions[cursor.index] : cursor.index) ?? -1];
		if (type === undefined || (!direct && cursor.opcode !== CALL_INDIRECT)) this.#depth = 0;
		else this.#change(type.parameters.length + (direct ? 0 : 1), type.results.length);
	}

	#push(base: number, constant: number, expires: number): void {
		this.#bases[this.#depth] = base;
		this.#constants[this.#depth] = constant;
		this.#expires[this.#depth] = expires;
		this.#depth++;
	}

	#pop(count: number): void {
		this.#depth = Math.max(0, this.#depth - count);
	}

	#change(pops: number, pushes: number): void {
		this.#pop(pops);
		for (let i = 0; i < pushes; i++) this.#push(UNKNOWN, 0, NEVER);
	}
}
