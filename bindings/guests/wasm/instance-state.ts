// State of a WebAssembly instance outside its memory: mutable globals, tables and dropped segments. The instance must
// come from a rewritten module (`module/expose.ts`) and be at a call boundary, where no value lives on a stack.
//
// A reference to one of the module's own functions is kept as the function's index and told by *identity*: an exported
// function's name is its index too, but another instance's function can carry the same number. A reference to anything
// else is *foreign* (a function that JavaScript put there, say by Emscripten's addFunction): at restore, the same place
// must hold a foreign function again, or a hook must supply it.
//
// Restoring is all or nothing: everything is looked up and checked first, then tables grow, then values are written.
import { EXPOSED, type SegmentKind } from "./module/expose.ts";
import type { GlobalLayout, ModuleLayout, TableLayout } from "./module/layout.ts";
import { isNullable, referenceKind } from "./module/types.ts";

/** A place that holds null, or a function that is not the module's own; any other entry is a function's index. */
export const NULL_ENTRY = -1;
export const FOREIGN_ENTRY = -2;

/** Floats and vectors as raw bits, so that a NaN's payload survives. */
export type GlobalState =
	| { readonly type: "i32" | "f32"; readonly bits: number }
	| { readonly type: "i64" | "f64"; readonly bits: bigint }
	| { readonly type: "v128"; readonly low: bigint; readonly high: bigint }
	| { readonly type: "reference"; readonly entry: number };

export interface InstanceState {
	/** In the order of `ModuleLayout.globals`. */
	readonly globals: readonly GlobalState[];
	/** In the order of `ModuleLayout.tables`; each entry a function's index, `NULL_ENTRY` or `FOREIGN_ENTRY`. */
	readonly tables: readonly Int32Array[];
	/** Segments that were dropped, ascending. */
	readonly droppedData: readonly number[];
	readonly droppedElements: readonly number[];
}

/**
 * - `not-exposed`: the instance lacks exports of a rewritten module.
 * - `host-reference`: a table or global holds a host object, which cannot be carried to another process.
 * - `foreign-entry`: a place held a function of the host's, the target's does not, and no hook supplied one.
 * - `table-length`: the target's table cannot take the source's length.
 * - `mismatch`: the state belongs to another module.
 * - `malformed`: encoded state that is damaged.
 */
export type InstanceStateErrorCode =
	| "not-exposed"
	| "host-reference"
	| "foreign-entry"
	| "table-length"
	| "mismatch"
	| "malformed";

/** State that could not be captured, decoded or restored. The instance is as it was before the call. */
export class InstanceStateError extends Error {
	override readonly name: string = "InstanceStateError";
	readonly code: InstanceStateErrorCode;

	constructor(code: InstanceStateErrorCode, message: string, options?: ErrorOptions) {
		super(message, options);
		this.code = code;
	}
}

export interface RestoreOptions {
	/**
	 * Supplies the function for a place that held a foreign one at the source: an exported WebAssembly function, since a
	 * table takes no other. Null keeps the foreign function the target already holds there. `global` places are asked as
	 * table -1 with the global's index as slot.
	 */
	readonly foreignEntry?: (table: number, slot: number) => CallableFunction | null;
}

/** A table as it is used here: any function or null goes in and out. */
interface AnyTable {
	readonly length: number;
	get(index: number): CallableFunction | null;
	set(index: number, value: unknown): void;
	grow(entries: number, value?: unknown): number;
}

/** The functions a reference can name, by index and back. Reading them costs microseconds each the first time. */
class OwnFunctions {
	readonly byIndex: Map<number, CallableFunction> = new Map();
	readonly indices: Map<unknown, number> = new Map();

	constructor(exports: WebAssembly.Exports, layout: ModuleLayout) {
		const table = exposedTable(exports, EXPOSED.functions);
		for (const [slot, index] of layout.reachableFunctions.entries()) {
			const own = table.get(slot);
			if (own === null) throw missing(EXPOSED.functions);
			this.byIndex.set(index, own);
			// One function imported twice has one identity and two indices; either restores the same behaviour.
			if (!this.indices.has(own)) this.indices.set(own, index);
		}
	}

	entryOf(value: unknown): number {
		return value === null ? NULL_ENTRY : (this.indices.get(value) ?? FOREIGN_ENTRY);
	}
}

const ownFunctions: WeakMap<WebAssembly.Exports, OwnFunctions> = new WeakMap();

/**
 * Looks up an instance's functions ahead of time, so that the first capture or restore does not pay for it while the
 * guest is paused.
 */
export function prepareInstance(exports: WebAssembly.Exports, layout: ModuleLayout): void {
	functionsOf(exports, layout);
}

function functionsOf(exports: WebAssembly.Exports, layout: ModuleLayout): OwnFunctions {
	const known = ownFunctions.get(exports);
	if (known !== undefined) return known;
	const functions = new OwnFunctions(exports, layout);
	ownFunctions.set(exports, functions);
	return functions;
}

/**
 * Reads the state of a paused instance. The memory is not part of it.
 * @throws InstanceStateError `not-exposed`, or `host-reference` naming the place
 */
export function captureInstance(exports: WebAssembly.Exports, layout: ModuleLayout): InstanceState {
	const functions = functionsOf(exports, layout);
	return {
		globals: layout.globals.map((global) => captureGlobal(exports, global, functions)),
		tables: layout.tables.map((table) => captureTable(exports, table, functions)),
		droppedData: layout.droppableData.filter((index) => isDropped(exports, "data", index)),
		droppedElements: layout.droppableElements.filter((index) => isDropped(exports, "elements", index)),
	};
}

function captureGlobal(exports: WebAssembly.Exports, global: GlobalLayout, functions: OwnFunctions): GlobalState {
	const { index, type } = global;
	switch (type) {
		case "i32":
			return { type, bits: exposedGlobal(exports, EXPOSED.global(index)).value };
		case "i64":
			return { type, bits: exposedGlobal(exports, EXPOSED.global(index)).value };
		case "f32":
		case "f64":
			return { type, bits: exposedFunction(exports, EXPOSED.readBits(index))() };
		case "v128": {
			const low: bigint = exposedFunction(exports, EXPOSED.readBits(index, "low"))();
			const high: bigint = exposedFunction(exports, EXPOSED.readBits(index, "high"))();
			return { type, low, high };
		}
		default: {
			const { value } = exposedGlobal(exports, EXPOSED.global(index));
			refuseHostObject(type, value, `global ${index}`);
			return { type: "reference", entry: functions.entryOf(value) };
		}
	}
}

function captureTable(exports: WebAssembly.Exports, { index, type }: TableLayout, functions: OwnFunctions): Int32Array {
	const table = exposedTable(exports, EXPOSED.table(index));
	const entries = new Int32Array(table.length);
	for (let slot = 0; slot < entries.length; slot++) {
		const value = table.get(slot);
		if (value === null) entries[slot] = NULL_ENTRY;
		else {
			refuseHostObject(type, value, `slot ${slot} of table ${index}`);
			entries[slot] = functions.entryOf(value);
		}
	}
	return entries;
}

function refuseHostObject(type: string, value: unknown, place: string): void {
	if (value === null || referenceKind(type) === "function") return;
	throw new InstanceStateError(
		"host-reference",
		`${place} (${type}) holds a host object, which cannot be carried to another process; have the program release it before the capture`,
	);
}

function isDropped(exports: WebAssembly.Exports, kind: SegmentKind, index: number): boolean {
	return exposedGlobal(exports, EXPOSED.dropped(kind, index)).value === 1;
}

/**
 * Writes captured state into a fresh instance of the same module. The memory is not part of it.
 * @throws InstanceStateError and leaves the instance as it was
 */
export function restoreInstance(
	exports: WebAssembly.Exports,
	layout: ModuleLayout,
	state: InstanceState,
	options: RestoreOptions = {},
): void {
	checkShape(state, layout);
	const functions = functionsOf(exports, layout);
	const resolve = placeResolver(functions, options);
	const globals = layout.globals.map((global, i) => globalWriter(exports, global, state.globals[i]!, resolve));
	const tables = layout.tables.map((table, i) => tableWriter(exports, table, state.tables[i]!, functions, resolve));
	for (const table of tables) table.grow();
	for (const table of tables) table.write();
	for (const write of globals) write();
	for (const index of state.droppedData) exposedFunction(exports, EXPOSED.drop("data", index))();
	for (const index of state.droppedElements) exposedFunction(exports, EXPOSED.drop("elements", index))();
}

type Resolve = (entry: number, current: unknown, table: number, slot: number) => unknown;

/** @returns what a place must hold: the function for an entry, given what the target holds there now */
function placeResolver(functions: OwnFunctions, { foreignEntry }: RestoreOptions): Resolve {
	return (entry, current, table, slot) => {
		if (entry === NULL_ENTRY) return null;
		if (entry !== FOREIGN_ENTRY) {
			const own = functions.byIndex.get(entry);
			if (own !== undefined) return own;
			throw new InstanceStateError(
				"mismatch",
				`the state refers to function ${entry}, which no reference can name here`,
			);
		}
		const supplied = foreignEntry?.(table, slot) ?? null;
		if (supplied !== null) return exportedFunction(supplied, table, slot);
		if (typeof current === "function" && functions.entryOf(current) === FOREIGN_ENTRY) return current;
		throw new InstanceStateError(
			"foreign-entry",
			`${placeName(table, slot)} held a function that JavaScript had put there, and the target's host has put none; set the host up alike, or supply the function by the hook foreignEntry`,
		);
	};
}

function placeName(table: number, slot: number): string {
	return table < 0 ? `global ${slot}` : `slot ${slot} of table ${table}`;
}

/** @returns the function, once the engine has agreed to hold it in a table */
function exportedFunction(supplied: CallableFunction, table: number, slot: number): CallableFunction {
	try {
		new WebAssembly.Table({ element: "anyfunc", initial: 1 }).set(0, supplied);
		return supplied;
	} catch (cause) {
		throw new InstanceStateError(
			"foreign-entry",
			`the hook foreignEntry gave no exported WebAssembly function for ${placeName(table, slot)}`,
			{ cause },
		);
	}
}

function globalWriter(
	exports: WebAssembly.Exports,
	{ index }: GlobalLayout,
	state: GlobalState,
	resolve: Resolve,
): () => void {
	switch (state.type) {
		case "f32":
		case "f64": {
			const write = exposedFunction(exports, EXPOSED.writeBits(index));
			return () => write(state.bits);
		}
		case "v128": {
			const write = exposedFunction(exports, EXPOSED.writeBits(index));
			return () => write(state.low, state.high);
		}
		default: {
			const global = exposedGlobal(exports, EXPOSED.global(index));
			const value = state.type === "reference" ? resolve(state.entry, global.value, -1, index) : state.bits;
			return () => {
				global.value = value;
			};
		}
	}
}

interface TableWriter {
	grow(): void;
	write(): void;
}

function tableWriter(
	exports: WebAssembly.Exports,
	{ index, maximumLength, type }: TableLayout,
	entries: Int32Array,
	functions: OwnFunctions,
	resolve: Resolve,
): TableWriter {
	const table = exposedTable(exports, EXPOSED.table(index));
	const before = table.length;
	if (entries.length < before || (maximumLength !== null && entries.length > maximumLength))
		throw new InstanceStateError(
			"table-length",
			`table ${index} had ${entries.length} entries and the target's has ${before} (maximum ${maximumLength ?? "none"}); tables can grow but not shrink: set the host up alike`,
		);
	const changes: (readonly [slot: number, value: unknown])[] = [];
	for (const [slot, entry] of entries.entries()) {
		const current = slot < before ? table.get(slot) : null;
		if (entry !== FOREIGN_ENTRY && slot < before && functions.entryOf(current) === entry) continue;
		const value = resolve(entry, current, index, slot);
		if (value !== current) changes.push([slot, value]);
	}
	return {
		grow() {
			if (entries.length === before) return;
			try {
				// A table of non-null references cannot grow by nulls; its first own function stands in until it is written.
				if (isNullable(type)) table.grow(entries.length - before);
				else table.grow(entries.length - before, table.get(0));
			} catch (cause) {
				throw new InstanceStateError("table-length", `table ${index} did not grow to ${entries.length} entries`, {
					cause,
				});
			}
		},
		write() {
			for (const [slot, value] of changes) table.set(slot, value);
		},
	};
}

function checkShape(state: InstanceState, layout: ModuleLayout): void {
	const droppableData = new Set(layout.droppableData);
	const droppableElements = new Set(layout.droppableElements);
	const same =
		state.globals.length === layout.globals.length &&
		state.tables.length === layout.tables.length &&
		state.globals.every(({ type }, i) => type === stateType(layout.globals[i]!)) &&
		state.droppedData.every((index) => droppableData.has(index)) &&
		state.droppedElements.every((index) => droppableElements.has(index));
	if (!same)
		throw new InstanceStateError("mismatch", "the state's globals, tables or segments are not those of this module");
}

/** @returns the type under which a global's state is kept */
export function stateType({ type }: GlobalLayout): GlobalState["type"] {
	return type === "i32" || type === "i64" || type === "f32" || type === "f64" || type === "v128" ? type : "reference";
}

function missing(name: string): InstanceStateError {
	return new InstanceStateError(
		"not-exposed",
		`the instance has no export "${name}": instantiate the module that rewriteModule returned, with this layout`,
	);
}

function exposedTable(exports: WebAssembly.Exports, name: string): AnyTable {
	const table = exports[name];
	if (table instanceof WebAssembly.Table) return table;
	throw missing(name);
}

function exposedGlobal(exports: WebAssembly.Exports, name: string): WebAssembly.Global {
	const global = exports[name];
	if (global instanceof WebAssembly.Global) return global;
	throw missing(name);
}

function exposedFunction(exports: WebAssembly.Exports, name: string): CallableFunction {
	const accessor = exports[name];
	if (typeof accessor === "function") return accessor;
	throw missing(name);
}
