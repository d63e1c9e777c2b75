// A module with what a move must either carry or refuse: waits and notifications on a memory that is not shared, a table
// and a global that can hold objects of the host.
import * as asm from "./assembler.ts";

const get = (local: number): number[] => [0x20, local];
const END = 0x0b;
const { I32, I64, EXTERNREF } = asm;

interface Function {
	readonly name: string;
	readonly parameters: asm.Bytes;
	readonly results: asm.Bytes;
	readonly code: asm.Bytes;
}

/** Addresses, values and places come as parameters. */
const FUNCTIONS: readonly Function[] = [
	{ name: "notify", parameters: [I32, I32], results: [I32], code: [...get(0), ...get(1), 0xfe, 0x00, 2, 0] },
	{
		name: "wait32",
		parameters: [I32, I32, I64],
		results: [I32],
		code: [...get(0), ...get(1), ...get(2), 0xfe, 0x01, 2, 0],
	},
	{
		name: "wait64",
		parameters: [I32, I64, I64],
		results: [I32],
		code: [...get(0), ...get(1), ...get(2), 0xfe, 0x02, 3, 0],
	},
	{
		name: "add",
		parameters: [I32, I32],
		results: [I32],
		code: [...get(0), ...get(1), 0xfe, 0x1e, 2, 0, 0xfe, 0x03, 0],
	},
	{ name: "place", parameters: [I32, EXTERNREF], results: [], code: [...get(0), ...get(1), 0x26, 0] },
	{ name: "placed", parameters: [I32], results: [EXTERNREF], code: [...get(0), 0x25, 0] },
	{ name: "hold", parameters: [EXTERNREF], results: [], code: [...get(0), 0x24, 0] },
	{ name: "held", parameters: [], results: [EXTERNREF], code: [0x23, 0] },
];

/** Its table of two host objects is exported as `objects`. */
export function referencesModule(wasmPages = 4): Uint8Array<ArrayBuffer> {
	return asm.wasm(
		asm.section(asm.SECTION_TYPE, ...FUNCTIONS.map(({ parameters, results }) => asm.functionType(parameters, results))),
		asm.section(asm.SECTION_FUNCTION, ...FUNCTIONS.map((_, i) => asm.unsigned(i))),
		asm.section(asm.SECTION_TABLE, [EXTERNREF, 0, 2]),
		asm.section(asm.SECTION_MEMORY, [1, ...asm.unsigned(wasmPages), 64]),
		asm.section(asm.SECTION_GLOBAL, [EXTERNREF, 1, 0xd0, EXTERNREF, END]),
		asm.section(
			asm.SECTION_EXPORT,
			...FUNCTIONS.map(({ name }, i) => asm.exported(name, 0, i)),
			asm.exported("objects", 1, 0),
		),
		asm.section(asm.SECTION_CODE, ...FUNCTIONS.map(({ code }) => asm.body(code))),
	);
}
