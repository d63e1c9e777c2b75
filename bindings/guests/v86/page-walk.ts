// Puts a step before v86's page walk: the one function that fills its translation buffer (TLB).
//
//   every access to memory ─▶ TLB hit ─▶ memory
//                               └ miss ─▶ do_page_walk := [ report the address │ walk │ mark what may be written now ]
//
// The walk gives a page it was asked to read a read-only entry, so the first write to each page after the TLB was cleared
// comes through here. A tracker therefore reads and clears the marks, then clears the TLB. What the walk itself writes
// (accessed and dirty bits in page directory and page table) is marked as well.
//
// The original body moves to a new function at the end, and nothing else gets another number. Page tables are read in their
// 32-bit form only: with PAE the marks would miss the tables, so guests with PAE are scanned instead.

import { Place } from "./emulator.ts";
import {
	appended,
	entryCount,
	joined,
	readSections,
	type Section,
	SectionId,
	SectionReader,
	signed,
	unsigned,
	writeSections,
} from "./wasm-sections.ts";

/** Where the functions of interest are. */
interface Found {
	/** Index of the page walk, imports counted. */
	readonly walk: number;
	/** Its type's index. */
	readonly type: number;
	/** Imported functions. */
	readonly imports: number;
	/** Index of the import that reports an address. */
	readonly report: number;
}

/** Where a message's length would be: the import that writes messages reports addresses as well. */
export const WALK = -1;

const I32 = 0x7f;
/** Mutable global of type i32 that begins as 0. */
const ZERO_GLOBAL = [I32, 1, 0x41, 0, 0x0b];
const GLOBAL_NAMES = ["pageferry_written", "pageferry_ram", "pageferry_walks"] as const;

// Opcodes (WebAssembly Core Specification 2.0, section 5.4).
const IF = [0x04, 0x40];
const END = [0x0b];
const RETURN = [0x0f];
const call = (index: number): number[] => [0x10, ...unsigned(index)];
const get = (local: number): number[] => [0x20, local];
const set = (local: number): number[] => [0x21, local];
const tee = (local: number): number[] => [0x22, local];
const global = (index: number): number[] => [0x23, ...unsigned(index)];
const constant = (value: number): number[] => [0x41, ...signed(value)];
/** The 32-bit word at the address on the stack. */
const LOAD = [0x28, 2, 0];
const STORE_BYTE = [0x3a, 0, 0];
const EQZ = [0x45];
const EQ = [0x46];
const NE = [0x47];
const LESS_SIGNED = [0x48];
const LESS = [0x49];
const ADD = [0x6a];
const SUBTRACT = [0x6b];
const AND = [0x71];
const XOR = [0x73];
const SHIFT_LEFT = [0x74];
const SHIFT_RIGHT = [0x76];
/** The word at a fixed place. */
const word = (place: number): number[] => [...constant(0), 0x28, 2, ...unsigned(place)];

/**
 * The module with the step put in, or `undefined` where the page walk cannot be found: another build of v86.
 *
 * @param module - the bytes of v86.wasm
 */
export function patchPageWalk(module: Uint8Array): Uint8Array<ArrayBuffer> | undefined {
	const sections = readSections(module);
	const section = (id: number): Section | undefined => sections.find((each) => each.id === id);
	const [functions, globals, exports, code] = [
		section(SectionId.function),
		section(SectionId.global),
		section(SectionId.export),
		section(SectionId.code),
	];
	const found = find(sections);
	if (found === undefined || !functions || !globals || !exports || !code) return undefined;
	const firstGlobal = entryCount(globals);
	const moved = found.imports + entryCount(functions);
	const replaced = new Map<number, Section>([
		[SectionId.function, appended(functions, [unsigned(found.type)])],
		[
			SectionId.global,
			appended(
				globals,
				GLOBAL_NAMES.map(() => ZERO_GLOBAL),
			),
		],
		[
			SectionId.export,
			appended(
				exports,
				GLOBAL_NAMES.map((name, i) => exportEntry(name, firstGlobal + i)),
			),
		],
		[SectionId.code, withStep(code, found, moved, firstGlobal)],
	]);
	return writeSections(
		module,
		sections.map((each) => replaced.get(each.id) ?? each),
	);
}

const GLOBAL_EXPORT = 3;

function exportEntry(name: string, index: number): number[] {
	return [...unsigned(name.length), ...new TextEncoder().encode(name), GLOBAL_EXPORT, ...unsigned(index)];
}

/** The code section with the step in the walk's place and the walk at the end. */
function withStep(code: Section, found: Found, moved: number, firstGlobal: number): Section {
	const reader = new SectionReader(code.content);
	const count = reader.unsigned();
	const parts: Uint8Array[] = [Uint8Array.from(unsigned(count + 1))];
	let walk: Uint8Array | undefined;
	for (let index = 0; index < count; index++) {
		const from = reader.at;
		reader.take(reader.unsigned());
		let body = code.content.subarray(from, reader.at);
		if (index === found.walk - found.imports) {
			walk = body;
			const step = stepBody(found.report, moved, firstGlobal);
			body = Uint8Array.from([...unsigned(step.length), ...step]);
		}
		parts.push(body);
	}
	return { id: code.id, content: joined([...parts, walk!]) };
}

// Locals: 0 address, 1 for writing, 2 user, 3 from compiled code, 4 with side effects; then ours.
const Local = { address: 0, forWriting: 1, entry: 5, page: 6, directoryEntry: 7 } as const;

/** do_page_walk(address, for_writing, user, jit, side_effects) → entry (0 when it faulted). */
function stepBody(report: number, walk: number, firstGlobal: number): number[] {
	const [written, ram, walks] = [firstGlobal, firstGlobal + 1, firstGlobal + 2];
	/** Marks the page of the physical address in local `page`. */
	const mark = [
		...[...global(written), ...get(Local.page), ...constant(12), ...SHIFT_RIGHT, ...ADD],
		...[...constant(1), ...STORE_BYTE],
	];
	const FRAME = constant(-4096);
	const PRESENT_AND_SIZE = constant(0x81);
	return [
		...[1, 3, I32], // one group of locals: three i32
		...[...global(walks), ...IF, ...get(Local.address), ...constant(WALK), ...call(report), ...END],
		...[...get(0), ...get(1), ...get(2), ...get(3), ...get(4), ...call(walk), ...set(Local.entry)],
		...[...global(written), ...EQZ, ...IF, ...get(Local.entry), ...RETURN, ...END],
		// Paging is on (CR0 is negative): directory CR3, entry address >> 22; unless it is a 4 MB page, its table.
		...[...word(Place.controlRegisters), ...constant(0), ...LESS_SIGNED, ...IF],
		...[...word(Place.controlRegisters + 12), ...FRAME, ...AND, ...set(Local.page), ...mark],
		...[...global(ram), ...get(Local.page), ...ADD],
		...[...get(Local.address), ...constant(22), ...SHIFT_RIGHT, ...constant(2), ...SHIFT_LEFT, ...ADD, ...LOAD],
		...[...tee(Local.directoryEntry), ...PRESENT_AND_SIZE, ...AND, ...constant(1), ...EQ, ...IF],
		...[...get(Local.directoryEntry), ...FRAME, ...AND, ...set(Local.page), ...mark, ...END],
		...END,
		// The walk did not fault and is for writing: the entry is (RAM + physical page) xor virtual page, flags below.
		...[...get(Local.entry), ...constant(0), ...NE, ...get(Local.forWriting), ...AND, ...IF],
		...[...get(Local.entry), ...get(Local.address), ...XOR, ...FRAME, ...AND, ...global(ram), ...SUBTRACT],
		...[...tee(Local.page), ...word(Place.memoryByteLength), ...LESS, ...IF, ...mark, ...END, ...END],
		...[...get(Local.entry), ...END],
	];
}

function find(sections: readonly Section[]): Found | undefined {
	const walk = functionNamed(sections, "12do_page_walk");
	const importSection = sections.find(({ id }) => id === SectionId.import);
	const functionSection = sections.find(({ id }) => id === SectionId.function);
	if (walk === undefined || importSection === undefined || functionSection === undefined) return undefined;
	const imported = importedFunctions(importSection);
	const report = imported.indexOf("console_log_from_wasm");
	if (imported.length === 0 || report < 0 || walk < imported.length) return undefined;
	const reader = new SectionReader(functionSection.content);
	const count = reader.unsigned();
	let type: number | undefined;
	for (let index = 0; index < count; index++) {
		const each = reader.unsigned();
		if (index === walk - imported.length) type = each;
	}
	if (type === undefined || !isWalkType(sections, type)) return undefined;
	return { walk, type, imports: imported.length, report };
}

/** Whether the type takes five i32 and gives one. */
function isWalkType(sections: readonly Section[], wanted: number): boolean {
	const section = sections.find(({ id }) => id === SectionId.type);
	if (section === undefined) return false;
	const reader = new SectionReader(section.content);
	const count = reader.unsigned();
	for (let index = 0; index < count; index++) {
		reader.byte(); // the form: a function
		const parameters = reader.take(reader.unsigned());
		const results = reader.take(reader.unsigned());
		if (index === wanted)
			return (
				parameters.length === 5 && results.length === 1 && [...parameters, ...results].every((type) => type === I32)
			);
	}
	return false;
}

/** Names of the imported functions in order; empty when something else than functions, memories and tables is imported. */
function importedFunctions(section: Section): string[] {
	const reader = new SectionReader(section.content);
	const names: string[] = [];
	for (let left = reader.unsigned(); left > 0; left--) {
		reader.name();
		const name = reader.name();
		const kind = reader.byte();
		if (kind === 0) {
			reader.unsigned();
			names.push(name);
		} else if (kind === 1 || kind === 2) {
			if (kind === 1) reader.byte();
			const limits = reader.byte();
			reader.unsigned();
			if ((limits & 1) !== 0) reader.unsigned();
		} else return [];
	}
	return names;
}

const FUNCTION_NAMES = 1;

/** The index of the function whose mangled name contains these characters, from the module's name section. */
function functionNamed(sections: readonly Section[], part: string): number | undefined {
	for (const { id, content } of sections) {
		if (id !== SectionId.custom) continue;
		const reader = new SectionReader(content);
		if (reader.name() !== "name") continue;
		while (!reader.atEnd) {
			const kind = reader.byte();
			const names = new SectionReader(reader.take(reader.unsigned()));
			if (kind !== FUNCTION_NAMES) continue;
			for (let left = names.unsigned(); left > 0; left--) {
				const index = names.unsigned();
				if (names.name().includes(part)) return index;
			}
		}
	}
	return undefined;
}
