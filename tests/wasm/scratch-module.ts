// A module small enough to see through: a memory to write to, a counter in a global, a trap, growth, a start function that
// counts how often it ran, and a table that `pick` swaps the entries of.
import * as asm from "./assembler.ts";

const I32_LOAD = [0x28, 2, 0];
const I32_STORE = [0x36, 2, 0];
const ADD = 0x6a;
const LOCAL_GET_0 = [0x20, 0];

/** Its memory is exported as `memory`, or imported as `env.memory`. At least one page of 64 KiB, at most 64. */
export function scratchModule(memory: "own" | "imported" | "shared"): Uint8Array<ArrayBuffer> {
	const [NOTHING_I32, NOTHING, I32_I32] = [0, 1, 2];
	return asm.wasm(
		asm.section(
			asm.SECTION_TYPE,
			asm.functionType([], [asm.I32]),
			asm.functionType(),
			asm.functionType([asm.I32], [asm.I32]),
		),
		...(memory === "imported"
			? [asm.section(asm.SECTION_IMPORT, [...asm.text("env"), ...asm.text("memory"), 2, 1, 1, 64])]
			: []),
		asm.section(asm.SECTION_FUNCTION, [NOTHING_I32], [NOTHING], [I32_I32], [NOTHING], [NOTHING]),
		...(memory === "imported" ? [] : [asm.section(asm.SECTION_MEMORY, [memory === "shared" ? 3 : 1, 1, 64])]),
		asm.section(asm.SECTION_GLOBAL, [asm.I32, 1, ...asm.constant(0), 0x0b]),
		asm.section(
			asm.SECTION_EXPORT,
			asm.exported("count", 0, 0),
			asm.exported("trap", 0, 1),
			asm.exported("grow", 0, 2),
			asm.exported("spin", 0, 4),
			...(memory === "imported" ? [] : [asm.exported("memory", 2, 0)]),
		),
		asm.rawSection(asm.SECTION_START, [3]),
		asm.section(
			asm.SECTION_CODE,
			asm.body([0x23, 0, ...asm.constant(1), ADD, 0x24, 0, 0x23, 0]),
			asm.body([0x00]),
			asm.body([...LOCAL_GET_0, 0x40, 0]),
			asm.body([...asm.constant(0), ...asm.constant(0), ...I32_LOAD, ...asm.constant(1), ADD, ...I32_STORE]),
			asm.body([0x03, 0x40, 0x0c, 0, 0x0b]),
		),
	);
}
