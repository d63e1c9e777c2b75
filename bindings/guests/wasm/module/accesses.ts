// Which instructions read or write linear memory at an address they take from the stack, as data derived from the
// opcode table's names. Not among them: `memory.atomic.notify`, which reads no memory, and the waits, which always trap
// on a memory that is not shared.
import { IMMEDIATES } from "./opcode-table.ts";
import { immediatesAfter, knownOpcodes, opcodeName, POPS } from "./opcodes.ts";
import type { ValueType } from "./types.ts";

export interface MemoryAccess {
	readonly writes: boolean;
	/** Types of the operands above the address, the topmost last. */
	readonly operands: readonly ValueType[];
}

/** The access that an opcode is, or null; by opcode. */
export const ACCESSES: readonly (MemoryAccess | null)[] = Array.from({ length: POPS.length }, () => null);
for (const opcode of knownOpcodes()) Object.assign(ACCESSES, { [opcode]: accessOf(opcode) });

function accessOf(opcode: number): MemoryAccess | null {
	const name = opcodeName(opcode);
	const parts = /^(i32|i64|f32|f64|v128)\.(?:atomic\.)?(load|store|rmw)/.exec(name);
	if (parts === null) return null;
	const [, type = "", kind] = parts;
	const writes = kind !== "load";
	const lane = immediatesAfter(opcode, 0) === IMMEDIATES.memoryLane;
	const operands = name.includes("cmpxchg") ? [type, type] : writes || lane ? [type] : [];
	return { writes, operands };
}
