// The variant of a module that takes over from a running instance of itself, at a call boundary: it imports the other
// instance's memory and tables instead of having its own, writes nothing into them when it is instantiated, and runs no
// start function. What is left, mutable globals, dropped segments and the functions in the tables, is carried over by
// `captureInstance` and `restoreInstance` (the tables are the same objects; their entries become the new instance's).
// So a watched instance gives way to plain code, and plain code to a watched instance, in the middle of its life.
//
// Indices stay: memory and tables become the last imports of their kind, in their order. Segments stay as many as they
// were: active data become passive and empty, active elements declarative; either is what a dropped segment is.
import type { ModuleEdit } from "./edit.ts";
import { RESERVED_PREFIX } from "./edit.ts";
import { EXPOSED } from "./expose.ts";
import type { ModuleLayout } from "./layout.ts";
import { type Module, SECTION } from "./model.ts";
import { type Limits, writeLimits } from "./types.ts";
import type { ByteWriter } from "./writer.ts";

const ATTACH_MODULE = `${RESERVED_PREFIX}attach`;
const PASSIVE_DATA = 1;
/** Declarative elements: 3 with a kind, 7 with a type. */
const DECLARATIVE = 3;
const WITH_TYPE = 4;
const FUNCREF = 0x70;

/** Turns the module into its attaching variant. */
export function attach(edit: ModuleEdit, memory: Limits): void {
	const { module } = edit;
	edit.replace(SECTION.start, null);
	edit.replace(SECTION.table, null);
	for (const [index, table] of module.tables.entries())
		if (table.imported === null)
			edit.addImport(ATTACH_MODULE, EXPOSED.table(index), "table", (writer) =>
				writer.copy(module.bytes, table.declared.start, table.declared.end),
			);
	if (module.memories[0]?.imported === null) {
		edit.replace(SECTION.memory, null);
		edit.addImport(ATTACH_MODULE, EXPOSED.memory, "memory", (writer) => writeLimits(writer, memory));
	}
	edit.replace(SECTION.element, (writer) => writeElements(writer, module));
	edit.replace(SECTION.data, (writer) => writeData(writer, module));
}

function writeElements(writer: ByteWriter, { bytes, elements }: Module): void {
	for (const segment of elements) {
		if (segment.mode !== "active") {
			writer.copy(bytes, segment.start, segment.end);
			continue;
		}
		writer.byte(DECLARATIVE | (segment.flags & WITH_TYPE));
		const { start, end } = segment.type;
		if (end > start) writer.copy(bytes, start, end);
		else writer.byte((segment.flags & WITH_TYPE) === 0 ? 0 : FUNCREF);
		writer.copy(bytes, segment.content, segment.end);
	}
}

function writeData(writer: ByteWriter, { bytes, data }: Module): void {
	for (const segment of data)
		if (segment.mode === "active") writer.byte(PASSIVE_DATA).u32(0);
		else writer.copy(bytes, segment.start, segment.end);
}

/**
 * What an attaching instance imports from the instance it takes over from, beside the program's own imports.
 * @param exports those of an instance of the same module, rewritten by `rewriteModule`
 */
export function attachImports(exports: WebAssembly.Exports, layout: ModuleLayout): WebAssembly.Imports {
	const names = layout.tables.filter(({ imported }) => imported === null).map(({ index }) => EXPOSED.table(index));
	if (layout.memory.imported === null) names.push(EXPOSED.memory);
	const taken: WebAssembly.ModuleImports = {};
	for (const name of names) taken[name] = exports[name]!;
	return { [ATTACH_MODULE]: taken };
}
