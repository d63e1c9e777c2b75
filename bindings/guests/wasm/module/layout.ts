// What the rest of the guest needs to know about a module, as plain data: it can be sent, stored and compared.
// The refusals of modules that cannot be guests live here too: a layout exists only for a module that can.
import { walkCode } from "./code.ts";
import { decodeModule } from "./decode.ts";
import { WasmModuleError } from "./errors.ts";
import type { Export, ExternalKind, ImportName, Module } from "./model.ts";
import { opcodeOf } from "./opcodes.ts";
import { referenceKind, type ValueType } from "./types.ts";

export interface MemoryLayout {
	/** In WebAssembly's pages of 64 KiB. */
	readonly minimumPages: number;
	/** In WebAssembly's pages of 64 KiB; null where the module sets none (65536 then). */
	readonly maximumPages: number | null;
	readonly imported: ImportName | null;
}

export interface GlobalLayout {
	readonly index: number;
	readonly type: ValueType;
	readonly imported: ImportName | null;
}

export interface TableLayout {
	readonly index: number;
	readonly type: ValueType;
	readonly minimumLength: number;
	readonly maximumLength: number | null;
	readonly imported: ImportName | null;
}

export interface ImportLayout extends ImportName {
	readonly kind: ExternalKind;
	/** Index in its kind's index space. */
	readonly index: number;
}

export interface ModuleLayout {
	readonly memory: MemoryLayout;
	/** Mutable globals, imported ones included, by ascending index: those that are state. */
	readonly globals: readonly GlobalLayout[];
	readonly tables: readonly TableLayout[];
	/** How many functions the module has, imported ones included. */
	readonly functionCount: number;
	/** Functions that a table or global can hold: named by a segment, by `ref.func` or by an export. Ascending. */
	readonly reachableFunctions: readonly number[];
	/** Data and element segments that code can drop, ascending. */
	readonly droppableData: readonly number[];
	readonly droppableElements: readonly number[];
	readonly startFunction: number | null;
	readonly imports: readonly ImportLayout[];
	readonly exports: readonly Export[];
}

/**
 * Facts about a module, without rewriting it.
 * @throws WasmModuleError for bytes that are no core module, and for a module that cannot be a guest
 */
export function describeModule(bytes: Uint8Array): ModuleLayout {
	return layoutOf(decodeModule(bytes));
}

const REF_FUNC = opcodeOf("ref.func");
const DATA_DROP = opcodeOf("data.drop");
const ELEM_DROP = opcodeOf("elem.drop");

/** @throws WasmModuleError for a module that cannot be a guest */
export function layoutOf(module: Module): ModuleLayout {
	const memory = theMemory(module);
	checkReferences(module);
	const reachable = new Set(module.referencedFunctions);
	const droppedData = new Set<number>();
	const droppedElements = new Set<number>();
	walkCode(module, (cursor) => {
		if (cursor.opcode === REF_FUNC) reachable.add(cursor.index);
		else if (cursor.opcode === DATA_DROP) droppedData.add(cursor.index);
		else if (cursor.opcode === ELEM_DROP) droppedElements.add(cursor.index);
	});
	for (const { kind, index } of module.exports) if (kind === "function") reachable.add(index);
	return {
		memory,
		globals: module.globals.flatMap(({ type, mutable, imported }, index) =>
			mutable ? [{ index, type, imported }] : [],
		),
		tables: module.tables.map(({ type, limits, imported }, index) => ({
			index,
			type,
			minimumLength: limits.minimum,
			maximumLength: limits.maximum,
			imported,
		})),
		functionCount: module.functions.length,
		reachableFunctions: below(reachable, module.functions.length, "function"),
		droppableData: passiveOnly(droppedData, module.data, "data"),
		droppableElements: passiveOnly(droppedElements, module.elements, "element"),
		startFunction: module.startFunction,
		imports: module.imports.map(({ module: from, name, kind, index }) => ({ module: from, name, kind, index })),
		exports: module.exports,
	};
}

function below(indices: ReadonlySet<number>, size: number, what: string): number[] {
	const sorted = [...indices].sort((a, b) => a - b);
	const last = sorted.at(-1) ?? -1;
	if (last >= size) throw new WasmModuleError("malformed", `code names ${what} ${last}; there are ${size}`);
	return sorted;
}

/** Segments that are not passive are dropped by instantiation, in every instance alike: no state. */
function passiveOnly(dropped: ReadonlySet<number>, segments: Module["data"], what: string): number[] {
	return below(dropped, segments.length, `${what} segment`).filter((index) => segments[index]!.mode === "passive");
}

function theMemory(module: Module): MemoryLayout {
	const [memory, second] = module.memories;
	if (memory === undefined)
		throw new WasmModuleError("no-memory", "it has no memory, so there is nothing to move page by page");
	if (second !== undefined)
		throw new WasmModuleError(
			"multiple-memories",
			`it has ${module.memories.length} memories; only programs with one can be moved: link it to a single memory`,
		);
	const { limits, imported } = memory;
	if (limits.shared)
		throw new WasmModuleError(
			"shared-memory",
			"its memory is shared: other threads would go on writing while the guest is paused; build the program without threads",
			memory.start,
		);
	return { minimumPages: limits.minimum, maximumPages: limits.maximum, imported };
}

function checkReferences(module: Module): void {
	const held = [
		...module.globals.map(({ type, mutable }, i) => ({ type, what: `global ${i}`, state: mutable })),
		...module.tables.map(({ type }, i) => ({ type, what: `table ${i}`, state: true })),
	];
	for (const { type, what, state } of held)
		if (state && referenceKind(type) === "exception")
			throw new WasmModuleError(
				"exception-reference",
				`${what} holds exceptions (${type}), which cannot be read from outside; keep them in locals`,
			);
}
