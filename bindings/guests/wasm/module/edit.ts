// What passes add to a module, and how it is put together again. Invariant: nothing the module holds changes its index.
// New types, functions, tables, memories, globals, exports and segments only ever go behind the old ones; imports are
// added only for what stops being the module's own (`attach.ts`), in the same order.
import { WasmModuleError } from "./errors.ts";
import {
	EXTERNAL_KINDS,
	type ExternalKind,
	type Module,
	SECTION,
	SECTION_ORDER,
	type Section,
	type SectionId,
} from "./model.ts";
import { NUMBER_TYPES, type ValueType } from "./types.ts";
import { ByteWriter } from "./writer.ts";

const FUNCTION_FORM = 0x60;
const FUNCREF = 0x70;
const END = 0x0b;

type Content = (writer: ByteWriter) => void;

/** Rewrites a section's old entries, its count excluded. */
export type EntriesRewriter = (writer: ByteWriter, section: Section) => void;

export class ModuleEdit {
	readonly module: Module;
	readonly #added: Map<SectionId, Content[]> = new Map();
	readonly #replaced: Map<SectionId, EntriesRewriter | null> = new Map();
	readonly #typeIndices: Map<string, number> = new Map();
	#replacedBytes = 0;
	#types: number;
	#functions: number;
	#tables: number;
	#memories: number;
	#globals: number;
	/** Whether bodies differ from the module's: then custom sections about places in the code no longer hold. */
	bodiesChanged = false;

	constructor(module: Module) {
		this.module = module;
		this.#types = module.types.length;
		this.#functions = module.functions.length;
		this.#tables = module.tables.length;
		this.#memories = module.memories.length;
		this.#globals = module.globals.length;
	}

	#append(id: SectionId, content: Content): void {
		const added = this.#added.get(id);
		if (added === undefined) this.#added.set(id, [content]);
		else added.push(content);
	}

	/** @returns the index of a function type over numbers and vectors; the same one when asked again. */
	type(parameters: readonly ValueType[], results: readonly ValueType[]): number {
		const key = `${parameters} ${results}`;
		const known = this.#typeIndices.get(key);
		if (known !== undefined) return known;
		this.#append(SECTION.type, (writer) => {
			writer.byte(FUNCTION_FORM);
			for (const types of [parameters, results]) {
				writer.u32(types.length);
				for (const type of types) writer.byte(NUMBER_TYPES.get(type)!);
			}
		});
		this.#typeIndices.set(key, this.#types);
		return this.#types++;
	}

	/** Adds a function; `code` writes its instructions without the last `end`. @returns its index */
	addFunction(
		parameters: readonly ValueType[],
		results: readonly ValueType[],
		code: Content,
		locals: readonly ValueType[] = [],
	): number {
		const type = this.type(parameters, results);
		this.#append(SECTION.function, (writer) => writer.u32(type));
		this.#append(SECTION.code, (writer) =>
			writer.sized(() => {
				writer.u32(locals.length);
				for (const local of locals) writer.u32(1).byte(NUMBER_TYPES.get(local)!);
				code(writer);
				writer.byte(END);
			}),
		);
		return this.#functions++;
	}

	/** Adds a mutable i32 global. @returns its index */
	addGlobal(initial: number): number {
		this.#append(SECTION.global, (writer) =>
			writer.byte(NUMBER_TYPES.get("i32")!).byte(1).byte(0x41).s32(initial).byte(END),
		);
		return this.#globals++;
	}

	/** Adds a table of function references of a fixed size. @returns its index */
	addTable(size: number): number {
		this.#append(SECTION.table, (writer) => writer.byte(FUNCREF).byte(1).u32(size).u32(size));
		return this.#tables++;
	}

	/** Adds a memory of a fixed number of WebAssembly pages. @returns its index */
	addMemory(pages: number): number {
		this.#append(SECTION.memory, (writer) => writer.byte(1).u32(pages).u32(pages));
		return this.#memories++;
	}

	/** Fills a table from slot 0 when the module is instantiated. */
	addElements(table: number, functions: readonly number[]): void {
		this.#append(SECTION.element, (writer) => {
			writer.byte(2).u32(table).byte(0x41).s32(0).byte(END).byte(0).u32(functions.length);
			for (const index of functions) writer.u32(index);
		});
	}

	addExport(name: string, kind: ExternalKind, index: number): void {
		this.#append(SECTION.export, (writer) => writer.name(name).byte(EXTERNAL_KINDS.indexOf(kind)).u32(index));
	}

	addImport(module: string, name: string, kind: ExternalKind, description: Content): void {
		this.#append(SECTION.import, (writer) => {
			writer.name(module).name(name).byte(EXTERNAL_KINDS.indexOf(kind));
			description(writer);
		});
	}

	/**
	 * Writes a section's old entries anew, or leaves the old section out (`null`).
	 * @param byteLength what will be written, if it is much
	 */
	replace(id: SectionId, rewrite: EntriesRewriter | null, byteLength = 0): void {
		this.#replacedBytes += byteLength;
		// allowed (bare-error): two passes of ours that do not go together
		if (this.#replaced.has(id)) throw new Error(`two passes rewrite section ${id}`);
		this.#replaced.set(id, rewrite);
	}

	/** @returns the module's bytes with everything that was added and replaced */
	encode(): Uint8Array {
		const { module } = this;
		const writer = new ByteWriter(Math.ceil(module.bytes.length * 1.25) + this.#replacedBytes + 1024);
		writer.copy(module.bytes, 0, 8);
		const known = new Map<SectionId, Section>();
		const customAfter = new Map<SectionId, Section[]>();
		let last: SectionId = SECTION.custom;
		for (const section of module.sections) {
			if (section.id === SECTION.custom) {
				const following = customAfter.get(last) ?? [];
				customAfter.set(last, following);
				following.push(section);
			} else {
				known.set(section.id, section);
				last = section.id;
			}
		}
		this.#writeCustom(writer, customAfter.get(SECTION.custom));
		for (const id of SECTION_ORDER) {
			this.#writeSection(writer, id, known.get(id));
			this.#writeCustom(writer, customAfter.get(id));
		}
		return writer.written();
	}

	#writeCustom(writer: ByteWriter, sections: readonly Section[] = []): void {
		for (const section of sections) {
			if (this.bodiesChanged && section.name.startsWith("metadata.code.")) continue;
			writer
				.byte(SECTION.custom)
				.u32(section.end - section.start)
				.copy(this.module.bytes, section.start, section.end);
		}
	}

	#writeSection(writer: ByteWriter, id: SectionId, section: Section | undefined): void {
		const added = this.#added.get(id) ?? [];
		const rewrite = this.#replaced.get(id);
		const old = rewrite === null ? undefined : section;
		if (old === undefined && added.length === 0) return;
		writer.byte(id);
		if (old !== undefined && added.length === 0 && rewrite === undefined) {
			writer.u32(old.end - old.start).copy(this.module.bytes, old.start, old.end);
			return;
		}
		writer.sized(() => {
			writer.u32((old?.count ?? 0) + added.length);
			if (old !== undefined) {
				if (rewrite) rewrite(writer, old);
				else writer.copy(this.module.bytes, old.entries, old.end);
			}
			for (const content of added) content(writer);
		});
	}
}

/** Prefix of everything the passes export or import, so that it never meets a name of the program's own. */
export const RESERVED_PREFIX = "pageferry:";

/**
 * @throws WasmModuleError `reserved-name` when the module already uses the prefix: it was rewritten before, or collides
 */
export function checkNames(module: Module): void {
	const taken = [...module.imports.map((entry) => entry.module), ...module.exports.map((entry) => entry.name)];
	const name = taken.find((entry) => entry.startsWith(RESERVED_PREFIX));
	if (name !== undefined)
		throw new WasmModuleError(
			"reserved-name",
			`its import or export "${name}" begins with the reserved "${RESERVED_PREFIX}"; give the original module, not a rewritten one`,
		);
}
