// A module that touches memory in every way a guest can, and has all the state that a change of code must carry over: a
// global, a table whose entries change, a segment that can be dropped.
import * as asm from "./assembler.ts";

const get = (local: number): number[] => [0x20, local];
const set = (local: number): number[] => [0x21, local];
const END = 0x0b;
const ADD = 0x6a;
const LOAD8 = [0x2d, 0, 0];
const LOAD32 = [0x28, 0, 0];
const LOAD64 = [0x29, 0, 0];
const STORE8 = [0x3a, 0, 0];
const STORE64 = [0x37, 0, 0];
const LT_U = 0x49;
const BR_IF = 0x0d;
const LOOP = [0x03, 0x40];
const PAGE = asm.constant(4096);
const ONE = asm.constant(1);

interface Function {
	readonly name: string;
	readonly parameters: asm.Bytes;
	readonly results: asm.Bytes;
	readonly code: asm.Bytes;
	readonly locals?: number;
}

const { I32, I64 } = asm;

/** `for (; local < limit; local += step) body`, which runs at least once. */
const loop = (local: number, limit: asm.Bytes, step: asm.Bytes, body: asm.Bytes): number[] => [
	...[...LOOP, ...body, ...get(local), ...step, ADD, ...set(local)],
	...[...get(local), ...limit, LT_U, BR_IF, 0, END],
];

/** Locals beyond the parameters: i32, from `first` on. */
const FUNCTIONS: readonly Function[] = [
	{ name: "load8", parameters: [I32], results: [I32], code: [...get(0), ...LOAD8] },
	{ name: "store8", parameters: [I32, I32], results: [], code: [...get(0), ...get(1), ...STORE8] },
	{ name: "load64", parameters: [I32], results: [I64], code: [...get(0), ...LOAD64] },
	{ name: "store64", parameters: [I32, I64], results: [], code: [...get(0), ...get(1), ...STORE64] },
	{
		name: "copy",
		parameters: [I32, I32, I32],
		results: [],
		code: [...get(0), ...get(1), ...get(2), 0xfc, 10, 0, 0],
	},
	{ name: "fill", parameters: [I32, I32, I32], results: [], code: [...get(0), ...get(1), ...get(2), 0xfc, 11, 0] },
	{ name: "grow", parameters: [I32], results: [I32], code: [...get(0), 0x40, 0] },
	{ name: "trap", parameters: [], results: [], code: [0] },
	/** spin(rounds): touches no memory. */
	{ name: "spin", parameters: [I32], results: [], locals: 1, code: loop(1, get(0), ONE, []) },
	/** sum(from, to, rounds): adds up words, many times over. */
	{
		name: "sum",
		parameters: [I32, I32, I32],
		results: [I32],
		locals: 3,
		code: [
			...loop(3, get(2), ONE, [
				...[...get(0), ...set(4)],
				...loop(4, get(1), asm.constant(4), [...get(5), ...get(4), ...LOAD32, ADD, ...set(5)]),
			]),
			...get(5),
		],
	},
	/** sweep(from, to, rounds): one byte of each page, and work between. */
	{
		name: "sweep",
		parameters: [I32, I32, I32],
		results: [I32],
		locals: 2,
		code: [
			...loop(0, get(1), PAGE, [
				...[...get(3), ...get(0), ...LOAD8, ADD, ...set(3), ...asm.constant(0), ...set(4)],
				...loop(4, get(2), ONE, []),
			]),
			...get(3),
		],
	},
	{ name: "count", parameters: [], results: [I32], code: [0x23, 0, ...ONE, ADD, 0x24, 0, 0x23, 0] },
	{ name: "one", parameters: [], results: [I32], code: asm.constant(1) },
	{ name: "two", parameters: [], results: [I32], code: asm.constant(2) },
	/** Calls what slot 0 of the table holds. */
	{ name: "picked", parameters: [], results: [I32], code: [...asm.constant(0), 0x11, 0, 0] },
	/** Exchanges slots 0 and 1. */
	{
		name: "exchange",
		parameters: [],
		results: [],
		code: [
			...[...asm.constant(0), ...asm.constant(1), 0x25, 0],
			...[...asm.constant(1), ...asm.constant(0), 0x25, 0, 0x26, 0, 0x26, 0],
		],
	},
	/** Copies the segment's 4 bytes to an address. */
	{
		name: "init",
		parameters: [I32],
		results: [],
		code: [...get(0), ...asm.constant(0), ...asm.constant(4), 0xfc, 8, 0, 0],
	},
	{ name: "dropSegment", parameters: [], results: [], code: [0xfc, 9, 0] },
];

/** Names of the module's functions. */
export type PagedFunction =
	| ("load8" | "store8" | "load64" | "store64" | "copy" | "fill" | "grow" | "trap" | "spin" | "sum" | "sweep")
	| ("count" | "one" | "two" | "picked" | "exchange" | "init" | "dropSegment");

/** @param wasmPages the memory's size, of 64 KiB; it may grow to 8192 (512 MiB) */
export function pagedModule(wasmPages = 16): Uint8Array<ArrayBuffer> {
	const index = (name: string): number => FUNCTIONS.findIndex((f) => f.name === name);
	return asm.wasm(
		asm.section(
			asm.SECTION_TYPE,
			asm.functionType([], [I32]),
			...FUNCTIONS.map(({ parameters, results }) => asm.functionType(parameters, results)),
		),
		asm.section(asm.SECTION_FUNCTION, ...FUNCTIONS.map((_, i) => asm.unsigned(i + 1))),
		asm.section(asm.SECTION_TABLE, [asm.FUNCREF, 0, 2]),
		asm.section(asm.SECTION_MEMORY, [1, ...asm.unsigned(wasmPages), ...asm.unsigned(8192)]),
		asm.section(asm.SECTION_GLOBAL, [I32, 1, ...asm.constant(0), END]),
		asm.section(
			asm.SECTION_EXPORT,
			...FUNCTIONS.map(({ name }, i) => asm.exported(name, 0, i)),
			asm.exported("memory", 2, 0),
			asm.exported("table", 1, 0),
		),
		asm.section(asm.SECTION_ELEMENT, [0, ...asm.constant(0), END, 2, index("one"), index("two")]),
		asm.rawSection(asm.SECTION_DATA_COUNT, [1]),
		asm.section(
			asm.SECTION_CODE,
			...FUNCTIONS.map(({ code, locals = 0 }) => asm.body(code, locals > 0 ? [[locals, I32]] : [])),
		),
		asm.section(asm.SECTION_DATA, [1, 4, 9, 8, 7, 6]),
	);
}
