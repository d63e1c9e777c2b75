// Bytes → Module. Sections are found first, then read in the order of the format; the reading of each section must end
// exactly where the section ends. Instruction sequences are only measured here; `cursor.ts` walks them.
import { InstructionCursor } from "./cursor.ts";
import { WasmModuleError } from "./errors.ts";
import { BODY_BYTES, MEMORY_PAGES, MODULE_BYTES, SECTION_ENTRIES, TABLE_ENTRIES } from "./limits.ts";
import {
	EXTERNAL_KINDS,
	type Export,
	type Global,
	type Import,
	type Memory,
	type Module,
	SECTION,
	SECTION_IDS,
	SECTION_ORDER,
	type Section,
	type SectionId,
	type Segment,
	type SegmentMode,
	type Span,
	type Table,
} from "./model.ts";
import { opcodeOf } from "./opcodes.ts";
import { ByteReader } from "./reader.ts";
import { type FunctionType, readLimits, readValueType } from "./types.ts";

const MAGIC = [0x00, 0x61, 0x73, 0x6d];
const CORE_VERSION = [1, 0, 0, 0];
const REF_FUNC = opcodeOf("ref.func");
/** What a constant expression may hold; anything else there is no valid module. */
const CONSTANT_OPCODES: ReadonlySet<number> = new Set(
	[
		"i32.const i64.const f32.const f64.const v128.const global.get ref.null ref.func end",
		"i32.add i32.sub i32.mul i64.add i64.sub i64.mul",
	].flatMap((names) => names.split(" ").map(opcodeOf)),
);

/**
 * Takes a core module apart.
 * @throws WasmModuleError for bytes that are damaged, beyond engines' limits, or use what cannot be read
 */
export function decodeModule(bytes: Uint8Array): Module {
	return new ModuleDecoder(bytes).decode();
}

class ModuleDecoder {
	readonly #bytes: Uint8Array;
	readonly #types: FunctionType[] = [];
	readonly #imports: Import[] = [];
	readonly #functions: number[] = [];
	readonly #tables: Table[] = [];
	readonly #memories: Memory[] = [];
	readonly #globals: Global[] = [];
	readonly #exports: Export[] = [];
	readonly #elements: Segment[] = [];
	readonly #data: Segment[] = [];
	readonly #bodies: Span[] = [];
	readonly #referenced = new Set<number>();
	#importedFunctions = 0;
	#tags = 0;
	#dataCount = -1;
	#startFunction: number | null = null;

	constructor(bytes: Uint8Array) {
		this.#bytes = bytes;
	}

	decode(): Module {
		const sections = this.#findSections();
		for (const section of sections) {
			const reader = new ByteReader(this.#bytes, section.entries, section.end);
			this.#readSection(section, reader);
			if (section.id !== SECTION.custom && reader.offset !== section.end)
				reader.malformed(`section ${section.id} is longer than its content`);
		}
		const end = new ByteReader(this.#bytes, this.#bytes.length);
		if (this.#bodies.length !== this.#functions.length - this.#importedFunctions)
			end.malformed("the numbers of functions and bodies differ");
		if (this.#dataCount >= 0 && this.#dataCount !== this.#data.length)
			end.malformed("the announced number of data segments differs");
		this.#checkIndices(end);
		return {
			bytes: this.#bytes,
			sections,
			types: this.#types,
			imports: this.#imports,
			functions: this.#functions,
			importedFunctions: this.#importedFunctions,
			tables: this.#tables,
			memories: this.#memories,
			globals: this.#globals,
			exports: this.#exports,
			startFunction: this.#startFunction,
			elements: this.#elements,
			data: this.#data,
			bodies: this.#bodies,
			referencedFunctions: [...this.#referenced].sort((a, b) => a - b),
		};
	}

	#findSections(): Section[] {
		const reader = new ByteReader(this.#bytes);
		if (this.#bytes.length > MODULE_BYTES)
			throw new WasmModuleError("limit", `a module of ${this.#bytes.length} bytes; engines take at most 1 GiB`);
		const isAt = (expected: readonly number[], at: number) => expected.every((byte, i) => this.#bytes[at + i] === byte);
		if (!isAt(MAGIC, 0)) reader.malformed("it does not begin with \\0asm");
		if (!isAt(CORE_VERSION, 4)) {
			if (!isAt([0x0d, 0, 1, 0], 4)) reader.malformed("its version is not 1", 4);
			throw new WasmModuleError("component", "this is a component; extract its core module and use that", 4);
		}
		reader.offset = 8;
		const sections: Section[] = [];
		let place = -1;
		while (reader.offset < reader.end) {
			const start = reader.offset;
			const section = this.#readHeader(reader);
			if (section.id !== SECTION.custom) {
				const next = SECTION_ORDER.indexOf(section.id);
				if (next <= place) reader.malformed(`section ${section.id} is out of order or repeated`, start);
				place = next;
			}
			sections.push(section);
			reader.offset = section.end;
		}
		return sections;
	}

	#readHeader(reader: ByteReader): Section {
		const at = reader.offset;
		const number = reader.byte();
		const id = SECTION_IDS[number] ?? reader.malformed(`unknown section ${number}`, at);
		const length = reader.u32();
		const start = reader.offset;
		reader.skip(length);
		const content = new ByteReader(this.#bytes, start, reader.offset);
		const name = id === SECTION.custom ? content.name() : "";
		// The start section's one entry has no count before it; the data count is a count and nothing else.
		const counted = id !== SECTION.custom && id !== SECTION.start && id !== SECTION.dataCount;
		const count = counted ? content.count(SECTION_ENTRIES, `entries in section ${id}`) : 0;
		return { id, name, start, end: reader.offset, entries: content.offset, count };
	}

	#readSection(section: Section, reader: ByteReader): void {
		const readEntry = this.#entryReader(section.id);
		for (let i = 0; i < section.count; i++) readEntry(reader);
		if (section.id === SECTION.start) this.#startFunction = reader.u32();
		else if (section.id === SECTION.dataCount) this.#dataCount = reader.u32();
	}

	#entryReader(id: SectionId): (reader: ByteReader) => void {
		switch (id) {
			case SECTION.type:
				return (reader) => this.#readType(reader);
			case SECTION.import:
				return (reader) => this.#readImport(reader);
			case SECTION.function:
				return (reader) => this.#functions.push(reader.u32());
			case SECTION.table:
				return (reader) => this.#readTable(reader, null);
			case SECTION.memory:
				return (reader) => this.#readMemory(reader, null);
			case SECTION.tag:
				return (reader) => this.#readTag(reader);
			case SECTION.global:
				return (reader) => {
					this.#readGlobalType(reader, null);
					this.#constantExpression(reader);
				};
			case SECTION.export:
				return (reader) => {
					const name = reader.name();
					const kind = this.#externalKind(reader);
					this.#exports.push({ name, kind, index: reader.u32() });
				};
			case SECTION.element:
				return (reader) => this.#readElement(reader);
			case SECTION.code:
				return (reader) => this.#readBody(reader);
			case SECTION.data:
				return (reader) => this.#readData(reader);
			case SECTION.custom:
			case SECTION.start:
			case SECTION.dataCount:
				return (reader) => reader.malformed(`section ${id} has no entries`);
		}
	}

	#readType(reader: ByteReader): void {
		const start = reader.offset;
		let form = reader.byte();
		let members = 1;
		if (form === 0x4e) {
			members = reader.count(SECTION_ENTRIES, "types in a group");
			form = members > 0 ? reader.byte() : 0;
		}
		for (; members > 0; members--) {
			if (form === 0x50 || form === 0x4f) {
				for (let supertypes = reader.count(1, "supertypes"); supertypes > 0; supertypes--) reader.u32();
				form = reader.byte();
			}
			if (form === 0x5f || form === 0x5e)
				throw new WasmModuleError(
					"garbage-collection",
					`it declares a garbage-collected ${form === 0x5f ? "struct" : "array"} type; such objects live outside linear memory and cannot be moved`,
					start,
				);
			if (form !== 0x60) reader.malformed(`unknown form of type 0x${form.toString(16)}`, start);
			const parameters = this.#valueTypes(reader);
			this.#types.push({ parameters, results: this.#valueTypes(reader) });
			if (members > 1) form = reader.byte();
		}
	}

	#valueTypes(reader: ByteReader): string[] {
		return Array.from({ length: reader.count(1000, "values in a function type") }, () => readValueType(reader));
	}

	#externalKind(reader: ByteReader) {
		const kind = EXTERNAL_KINDS[reader.byte()];
		return kind ?? reader.malformed("an unknown kind of import or export", reader.offset - 1);
	}

	#readImport(reader: ByteReader): void {
		const start = reader.offset;
		const module = reader.name();
		const name = reader.name();
		const description = reader.offset;
		const kind = this.#externalKind(reader);
		const index = this.#importDescription(kind, reader, { module, name });
		this.#imports.push({ module, name, kind, index, start, end: reader.offset, description });
	}

	#importDescription(kind: Import["kind"], reader: ByteReader, name: { module: string; name: string }): number {
		switch (kind) {
			case "function":
				this.#importedFunctions++;
				return this.#functions.push(reader.u32()) - 1;
			case "table":
				return this.#readTable(reader, name);
			case "memory":
				return this.#readMemory(reader, name);
			case "global":
				return this.#readGlobalType(reader, name);
			case "tag":
				return this.#readTag(reader);
		}
	}

	#readTable(reader: ByteReader, imported: Table["imported"]): number {
		const start = reader.offset;
		// An own table may begin with 0x40 0x00: a type followed by the value that fills it.
		const initialised = imported === null && this.#bytes[start] === 0x40;
		if (initialised) {
			reader.byte();
			if (reader.byte() !== 0) reader.malformed("an unknown form of table", start);
		}
		const declaredStart = reader.offset;
		const type = readValueType(reader);
		const limits = readLimits(reader, "table", TABLE_ENTRIES);
		const declared = { start: declaredStart, end: reader.offset };
		if (initialised) this.#constantExpression(reader);
		return this.#tables.push({ type, limits, imported, declared, start, end: reader.offset }) - 1;
	}

	#readMemory(reader: ByteReader, imported: Memory["imported"]): number {
		const start = reader.offset;
		const limits = readLimits(reader, "memory", MEMORY_PAGES);
		return this.#memories.push({ limits, imported, start, end: reader.offset }) - 1;
	}

	#readTag(reader: ByteReader): number {
		if (reader.byte() !== 0) reader.malformed("an unknown kind of tag", reader.offset - 1);
		reader.u32();
		return this.#tags++;
	}

	#readGlobalType(reader: ByteReader, imported: Global["imported"]): number {
		const type = readValueType(reader);
		const mutability = reader.byte();
		if (mutability > 1)
			throw new WasmModuleError("unsupported", `a global of kind ${mutability} (shared?)`, reader.offset - 1);
		return this.#globals.push({ type, mutable: mutability === 1, imported }) - 1;
	}

	#constantExpression(reader: ByteReader): void {
		const cursor = new InstructionCursor(reader.bytes, reader.offset, reader.end);
		do {
			cursor.next();
			if (!CONSTANT_OPCODES.has(cursor.opcode)) reader.malformed("no constant expression", cursor.start);
			if (cursor.opcode === REF_FUNC) this.#referenced.add(cursor.index);
		} while (cursor.depth > 0);
		reader.offset = cursor.end;
	}

	/** The eight forms of an element segment: bit 0 not active, bit 1 place or mode spelled out, bit 2 expressions. */
	#readElement(reader: ByteReader): void {
		const start = reader.offset;
		const flags = reader.u32();
		if (flags > 7) reader.malformed(`an element segment of unknown form ${flags}`, start);
		const mode: SegmentMode = (flags & 1) === 0 ? "active" : (flags & 2) === 0 ? "passive" : "declarative";
		if (mode === "active") {
			if ((flags & 2) !== 0) reader.u32();
			this.#constantExpression(reader);
		}
		const expressions = (flags & 4) !== 0;
		const typeStart = reader.offset;
		if ((flags & 3) !== 0) {
			if (expressions) readValueType(reader);
			else if (reader.byte() !== 0) reader.malformed("an unknown kind of element", reader.offset - 1);
		}
		const content = reader.offset;
		for (let entries = reader.count(TABLE_ENTRIES, "elements"); entries > 0; entries--)
			if (expressions) this.#constantExpression(reader);
			else this.#referenced.add(reader.u32());
		const type = { start: typeStart, end: content };
		this.#elements.push({ mode, flags, type, content, start, end: reader.offset });
	}

	#readBody(reader: ByteReader): void {
		const length = reader.count(BODY_BYTES, "bytes in a function body");
		const start = reader.offset;
		reader.skip(length);
		this.#bodies.push({ start, end: reader.offset });
	}

	#readData(reader: ByteReader): void {
		const start = reader.offset;
		const flags = reader.u32();
		if (flags > 2) reader.malformed(`a data segment of unknown form ${flags}`, start);
		if (flags === 2) reader.u32();
		if (flags !== 1) this.#constantExpression(reader);
		const content = reader.offset;
		reader.skip(reader.u32());
		const type = { start: content, end: content };
		const mode = flags === 1 ? "passive" : "active";
		this.#data.push({ mode, flags, type, content, start, end: reader.offset });
	}

	/** Every index the passes look up is in range; the engine's own validation sees to the others. */
	#checkIndices(end: ByteReader): void {
		const sizes = {
			function: this.#functions.length,
			table: this.#tables.length,
			memory: this.#memories.length,
			global: this.#globals.length,
			tag: this.#tags,
		};
		for (const { name, kind, index } of this.#exports)
			if (index >= sizes[kind]) end.malformed(`export "${name}" names ${kind} ${index}, which does not exist`);
		for (const type of this.#functions)
			if (type >= this.#types.length) end.malformed(`a function has type ${type}, which does not exist`);
		for (const index of this.#referenced)
			if (index >= sizes.function) end.malformed(`a reference to function ${index}, which does not exist`);
		if (this.#startFunction !== null && this.#startFunction >= sizes.function)
			end.malformed(`its start function ${this.#startFunction} does not exist`);
	}
}
