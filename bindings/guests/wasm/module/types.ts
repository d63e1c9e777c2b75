// Value types, function types and limits as plain data. A value type is its name in the text format: a string can be
// compared, sent and printed.
import { WasmModuleError } from "./errors.ts";
import type { ByteReader } from "./reader.ts";
import type { ByteWriter } from "./writer.ts";

/** `i32`, `funcref`, or a reference with its heap type spelled out: `(ref null 3)`, `(ref func)`. */
export type ValueType = string;

export interface FunctionType {
	readonly parameters: readonly ValueType[];
	readonly results: readonly ValueType[];
}

export interface Limits {
	readonly minimum: number;
	readonly maximum: number | null;
	readonly shared: boolean;
}

export const NUMBER_TYPES: ReadonlyMap<ValueType, number> = new Map([
	["i32", 0x7f],
	["i64", 0x7e],
	["f32", 0x7d],
	["f64", 0x7c],
	["v128", 0x7b],
]);
const NUMBER_NAMES = ["v128", "f64", "f32", "i64", "i32"];
const FIRST_NUMBER = 0x7b;
const REF_NULL = 0x63;
const REF = 0x64;
/** Abstract heap types of references to functions, host values and exceptions, by their byte. */
const HEAP_NAMES: ReadonlyMap<number, string> = new Map([
	[0x70, "func"],
	[0x73, "nofunc"],
	[0x6f, "extern"],
	[0x72, "noextern"],
	[0x69, "exn"],
	[0x74, "noexn"],
]);
/** Heap types whose objects the engine collects; they are refused by name. */
const COLLECTED_NAMES: ReadonlyMap<number, string> = new Map([
	[0x6e, "any"],
	[0x6d, "eq"],
	[0x6c, "i31"],
	[0x6b, "struct"],
	[0x6a, "array"],
	[0x71, "none"],
]);

/** What a reference type refers to: the kinds of reference that state capture tells apart. */
export type ReferenceKind = "function" | "host" | "exception";

/** @returns what a value of this type refers to, or null for a number or vector. */
export function referenceKind(type: ValueType): ReferenceKind | null {
	if (NUMBER_TYPES.has(type)) return null;
	if (/\b(?:no)?extern/.test(type)) return "host";
	if (/\b(?:no)?exn/.test(type)) return "exception";
	return "function";
}

/** @returns whether null is a value of this reference type. */
export function isNullable(type: ValueType): boolean {
	return !type.startsWith("(ref ") || type.startsWith("(ref null ");
}

/** @throws WasmModuleError for a type that is damaged, unknown or garbage-collected */
export function readValueType(reader: ByteReader): ValueType {
	const start = reader.offset;
	const byte = reader.byte();
	const number = NUMBER_NAMES[byte - FIRST_NUMBER];
	if (number !== undefined) return number;
	if (byte === REF_NULL) return `(ref null ${readHeapType(reader)})`;
	if (byte === REF) return `(ref ${readHeapType(reader)})`;
	return `${abstractHeapType(byte, reader, start)}ref`;
}

/** @returns an abstract heap type's name or the index of a type, as text. */
export function readHeapType(reader: ByteReader): string {
	const start = reader.offset;
	const type = reader.s33();
	return type >= 0 ? String(type) : abstractHeapType(type + 0x80, reader, start);
}

function abstractHeapType(byte: number, reader: ByteReader, offset: number): string {
	const name = HEAP_NAMES.get(byte);
	if (name !== undefined) return name;
	const collected = COLLECTED_NAMES.get(byte);
	if (collected === undefined) reader.malformed(`unknown type 0x${(byte & 0xff).toString(16)}`, offset);
	throw new WasmModuleError(
		"garbage-collection",
		`type ${collected}ref refers to garbage-collected objects, which live outside linear memory and cannot be moved; build the program for linear memory`,
		offset,
	);
}

const HAS_MAXIMUM = 1;
const SHARED = 2;
const INDEX64 = 4;

/**
 * Limits of a memory or table.
 * @throws WasmModuleError `memory64` for 64-bit indices, `unsupported` for custom page sizes
 */
export function readLimits(reader: ByteReader, of: "memory" | "table", most: number): Limits {
	const start = reader.offset;
	const flags = reader.byte();
	if ((flags & ~(HAS_MAXIMUM | SHARED | INDEX64)) !== 0)
		throw new WasmModuleError("unsupported", `a ${of} has limits of kind ${flags} (custom page sizes?)`, start);
	if ((flags & INDEX64) !== 0)
		throw new WasmModuleError("memory64", `its ${of} is indexed with 64 bits; build the program for wasm32`, start);
	const minimum = reader.u32();
	const maximum = (flags & HAS_MAXIMUM) === 0 ? null : reader.u32();
	if (minimum > most) throw new WasmModuleError("limit", `a ${of} of ${minimum} is over the limit of ${most}`, start);
	if (maximum !== null && maximum < minimum) reader.malformed(`a ${of}'s maximum is below its minimum`, start);
	return { minimum, maximum, shared: (flags & SHARED) !== 0 };
}

/** Limits of a memory or table that is not shared. */
export function writeLimits(writer: ByteWriter, { minimum, maximum }: Limits): void {
	writer.byte(maximum === null ? 0 : HAS_MAXIMUM).u32(minimum);
	if (maximum !== null) writer.u32(maximum);
}
