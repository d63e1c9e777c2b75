// Looks instructions up in the opcode table. An opcode is one number: a plain byte as it is, a prefixed one as
// (prefix - 0xfa) * 512 + its number, so that every fact about it is one array access.
import { WasmModuleError } from "./errors.ts";
import { IMMEDIATES, type Immediates, OPCODE_RUNS } from "./opcode-table.ts";

const NUMBERS_PER_PREFIX = 512;
const FIRST_PREFIX = 0xfb;
const LAST_PREFIX = 0xfe;
const OPCODES = (LAST_PREFIX - FIRST_PREFIX + 2) * NUMBERS_PER_PREFIX;
const UNKNOWN = 255;

const names: string[] = new Array(OPCODES).fill("");
const byName = new Map<string, number>();
const immediatesOf: (Immediates | typeof UNKNOWN)[] = new Array(OPCODES).fill(UNKNOWN);
/** Values an opcode pops, or -1 where that depends on types or control flow. */
export const POPS: Int8Array = new Int8Array(OPCODES).fill(-1);
/** Values an opcode pushes, or -1 likewise. */
export const PUSHES: Int8Array = new Int8Array(OPCODES).fill(-1);

for (const [prefix, first, immediates, effect, run] of OPCODE_RUNS) {
	const base = prefix === 0 ? 0 : (prefix - FIRST_PREFIX + 1) * NUMBERS_PER_PREFIX;
	for (const [i, name] of run.split(" ").entries()) {
		if (name === "-") continue;
		const opcode = base + first + i;
		// allowed (bare-error): a slip in the table, seen by the first test that loads it
		if (names[opcode] !== "" || byName.has(name)) throw new Error(`the opcode table names ${name} twice`);
		names[opcode] = name;
		byName.set(name, opcode);
		immediatesOf[opcode] = IMMEDIATES[immediates];
		if (effect !== null) [POPS[opcode], PUSHES[opcode]] = effect;
	}
}

/** @returns the opcode of an instruction by its name in the text format. */
export function opcodeOf(name: string): number {
	const opcode = byName.get(name);
	if (opcode === undefined) throw new RangeError(`no instruction is named ${name}`);
	return opcode;
}

export function opcodeName(opcode: number): string {
	return names[opcode] ?? "";
}

/** @returns a table, indexed by opcode, that is 1 for the instructions named: a test per instruction costs one load */
export function opcodeSet(...instructions: string[]): Uint8Array {
	const table = new Uint8Array(OPCODES);
	for (const name of instructions) table[opcodeOf(name)] = 1;
	return table;
}

/** Every opcode the table knows, those refused included. */
export function knownOpcodes(): number[] {
	return [...byName.values()];
}

/** @returns the opcode's bytes as they stand in code. */
export function opcodeBytes(opcode: number): number[] {
	if (opcode < NUMBERS_PER_PREFIX) return [opcode];
	const number = opcode % NUMBERS_PER_PREFIX;
	const prefix = Math.floor(opcode / NUMBERS_PER_PREFIX) + FIRST_PREFIX - 1;
	return number < 0x80 ? [prefix, number] : [prefix, (number & 0x7f) | 0x80, number >> 7];
}

/** @returns whether a first byte announces a number that says which instruction is meant. */
export function isPrefix(byte: number): boolean {
	return byte >= FIRST_PREFIX && byte <= LAST_PREFIX;
}

/**
 * @returns the opcode of a prefixed instruction
 * @throws WasmModuleError `unknown-opcode`
 */
export function prefixedOpcode(prefix: number, number: number, offset: number): number {
	if (number >= NUMBERS_PER_PREFIX) throw unknownOpcode(prefix, number, offset);
	return (prefix - FIRST_PREFIX + 1) * NUMBERS_PER_PREFIX + number;
}

/**
 * What follows `opcode` in the code.
 * @throws WasmModuleError `unknown-opcode` or `garbage-collection`, naming the instruction
 */
export function immediatesAfter(opcode: number, offset: number): Immediates {
	const immediates = immediatesOf[opcode]!;
	if (immediates !== UNKNOWN && immediates !== IMMEDIATES.collected) return immediates;
	if (immediates === IMMEDIATES.collected)
		throw new WasmModuleError(
			"garbage-collection",
			`instruction ${names[opcode]} works on garbage-collected objects, which live outside linear memory and cannot be moved; build the program for linear memory`,
			offset,
		);
	const [first, ...rest] = opcodeBytes(opcode);
	const number = rest.length === 0 ? 0 : opcode % NUMBERS_PER_PREFIX;
	throw unknownOpcode(first!, rest.length === 0 ? -1 : number, offset);
}

function unknownOpcode(byte: number, number: number, offset: number): WasmModuleError {
	const hex = `0x${byte.toString(16).padStart(2, "0")}`;
	const named = number < 0 ? hex : `${hex} ${number}`;
	return new WasmModuleError(
		"unknown-opcode",
		`unknown instruction ${named}: what it changes cannot be seen; build the program without experimental features, or report this opcode`,
		offset,
	);
}
