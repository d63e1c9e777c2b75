// The pass that makes all state outside memory reachable: what capture reads and restore writes. It adds exports, a
// hidden table of every function that a reference can name (a function read from any table is then told by identity),
// accessors for values JavaScript would change or cannot read, and a flag for each segment that code can drop.
import type { BodyEdit, CodePass } from "./code.ts";
import type { InstructionCursor } from "./cursor.ts";
import type { ModuleEdit } from "./edit.ts";
import { RESERVED_PREFIX } from "./edit.ts";
import type { ModuleLayout } from "./layout.ts";
import { opcodeBytes, opcodeOf } from "./opcodes.ts";
import type { ValueType } from "./types.ts";
import type { ByteWriter } from "./writer.ts";

export type SegmentKind = "data" | "elements";

/** Names of the exports this pass adds. */
export const EXPOSED: {
	readonly memory: string;
	/** Table of all reachable functions, in the order of `ModuleLayout.reachableFunctions`. */
	readonly functions: string;
	readonly table: (index: number) => string;
	/** A global whose value JavaScript reads and writes exactly: i32, i64, references. */
	readonly global: (index: number) => string;
	/** Accessors by raw bits for f32 (i32), f64 (i64) and v128 (two i64: `low`, `high`). */
	readonly readBits: (index: number, half?: "low" | "high") => string;
	readonly writeBits: (index: number) => string;
	/** An i32 global: 1 once the segment was dropped. */
	readonly dropped: (kind: SegmentKind, index: number) => string;
	/** A function that drops the segment and sets its flag. */
	readonly drop: (kind: SegmentKind, index: number) => string;
} = {
	memory: `${RESERVED_PREFIX}memory`,
	functions: `${RESERVED_PREFIX}functions`,
	table: (index) => `${RESERVED_PREFIX}table:${index}`,
	global: (index) => `${RESERVED_PREFIX}global:${index}`,
	readBits: (index, half = "low") => `${RESERVED_PREFIX}read:${index}:${half}`,
	writeBits: (index) => `${RESERVED_PREFIX}write:${index}`,
	dropped: (kind, index) => `${RESERVED_PREFIX}dropped:${kind}:${index}`,
	drop: (kind, index) => `${RESERVED_PREFIX}drop:${kind}:${index}`,
};

const GLOBAL_GET = opcodeOf("global.get");
const GLOBAL_SET = opcodeOf("global.set");
const LOCAL_GET = opcodeOf("local.get");
const I32_CONST = opcodeOf("i32.const");
const I64X2_SPLAT = opcodeBytes(opcodeOf("i64x2.splat"));
const I64X2_EXTRACT = opcodeBytes(opcodeOf("i64x2.extract_lane"));
const I64X2_REPLACE = opcodeBytes(opcodeOf("i64x2.replace_lane"));
const DROP = { data: opcodeOf("data.drop"), elements: opcodeOf("elem.drop") } as const;

/** Adds the exports. @returns the code pass that sets the flags, or null when no segment can be dropped */
export function exposeState(edit: ModuleEdit, layout: ModuleLayout): CodePass | null {
	edit.addExport(EXPOSED.memory, "memory", 0);
	for (const { index } of layout.tables) edit.addExport(EXPOSED.table(index), "table", index);
	const functions = edit.addTable(layout.reachableFunctions.length);
	edit.addElements(functions, layout.reachableFunctions);
	edit.addExport(EXPOSED.functions, "table", functions);
	for (const { index, type } of layout.globals) exposeGlobal(edit, index, type);
	const flags = new Map<number, Map<number, number>>();
	for (const kind of ["data", "elements"] as const)
		flags.set(
			DROP[kind],
			exposeSegments(edit, kind, kind === "data" ? layout.droppableData : layout.droppableElements),
		);
	const droppable = layout.droppableData.length + layout.droppableElements.length;
	return droppable === 0 ? null : new DropFlagPass(flags);
}

function exposeGlobal(edit: ModuleEdit, index: number, type: ValueType): void {
	const read = (result: ValueType, half: "low" | "high", convert: readonly number[]) => {
		const accessor = edit.addFunction([], [result], (code) => bytes(code.byte(GLOBAL_GET).u32(index), convert));
		edit.addExport(EXPOSED.readBits(index, half), "function", accessor);
	};
	const write = (parameters: readonly ValueType[], value: (code: ByteWriter) => void) => {
		const accessor = edit.addFunction(parameters, [], (code) => {
			value(code.byte(LOCAL_GET).u32(0));
			code.byte(GLOBAL_SET).u32(index);
		});
		edit.addExport(EXPOSED.writeBits(index), "function", accessor);
	};
	if (type === "f32") {
		// A NaN's payload survives as bits only: engines may change it where JavaScript holds it as a number.
		read("i32", "low", [opcodeOf("i32.reinterpret_f32")]);
		write(["i32"], (code) => code.byte(opcodeOf("f32.reinterpret_i32")));
	} else if (type === "f64") {
		read("i64", "low", [opcodeOf("i64.reinterpret_f64")]);
		write(["i64"], (code) => code.byte(opcodeOf("f64.reinterpret_i64")));
	} else if (type === "v128") {
		read("i64", "low", [...I64X2_EXTRACT, 0]);
		read("i64", "high", [...I64X2_EXTRACT, 1]);
		write(["i64", "i64"], (code) => bytes(bytes(code, I64X2_SPLAT).byte(LOCAL_GET).u32(1), [...I64X2_REPLACE, 1]));
	} else edit.addExport(EXPOSED.global(index), "global", index);
}

/** @returns the flag's global index for each segment */
function exposeSegments(edit: ModuleEdit, kind: SegmentKind, segments: readonly number[]): Map<number, number> {
	const flags = new Map<number, number>();
	for (const segment of segments) {
		const flag = edit.addGlobal(0);
		flags.set(segment, flag);
		edit.addExport(EXPOSED.dropped(kind, segment), "global", flag);
		const drop = edit.addFunction([], [], (code) => setFlag(bytes(code, opcodeBytes(DROP[kind])).u32(segment), flag));
		edit.addExport(EXPOSED.drop(kind, segment), "function", drop);
	}
	return flags;
}

function setFlag(code: ByteWriter, flag: number): void {
	code.byte(I32_CONST).s32(1).byte(GLOBAL_SET).u32(flag);
}

function bytes(code: ByteWriter, values: readonly number[]): ByteWriter {
	for (const value of values) code.byte(value);
	return code;
}

/** Sets a segment's flag right after the instruction that drops it. */
class DropFlagPass implements CodePass {
	/** Drop instruction → segment → flag. */
	readonly #flags: ReadonlyMap<number, ReadonlyMap<number, number>>;

	constructor(flags: ReadonlyMap<number, ReadonlyMap<number, number>>) {
		this.#flags = flags;
	}

	instruction(cursor: InstructionCursor, body: BodyEdit): void {
		if (cursor.opcode !== DROP.data && cursor.opcode !== DROP.elements) return;
		const flag = this.#flags.get(cursor.opcode)?.get(cursor.index);
		if (flag !== undefined) setFlag(body.after(cursor), flag);
	}
}
