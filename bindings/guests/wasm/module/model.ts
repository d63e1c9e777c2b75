// A core module taken apart as far as the passes need: its sections with their places in the bytes, and the entries
// that indices refer to. Nothing is copied; bodies and expressions stay spans of the module's bytes.
import type { FunctionType, Limits, ValueType } from "./types.ts";

/** Section numbers of the binary format, and the order in which they stand. */
export const SECTION = {
	custom: 0,
	type: 1,
	import: 2,
	function: 3,
	table: 4,
	memory: 5,
	global: 6,
	export: 7,
	start: 8,
	element: 9,
	code: 10,
	data: 11,
	dataCount: 12,
	tag: 13,
} as const;
export type SectionId = (typeof SECTION)[keyof typeof SECTION];
/** By its number. */
export const SECTION_IDS: readonly SectionId[] = [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13];
export const SECTION_ORDER: readonly SectionId[] = [1, 2, 3, 4, 5, 13, 6, 7, 8, 9, 12, 10, 11];

export interface Span {
	readonly start: number;
	readonly end: number;
}

export interface Section extends Span {
	readonly id: SectionId;
	/** Name of a custom section, else empty. */
	readonly name: string;
	/** Where the entries begin, after their count (or after a custom section's name). */
	readonly entries: number;
	readonly count: number;
}

export type ExternalKind = "function" | "table" | "memory" | "global" | "tag";
export const EXTERNAL_KINDS: readonly ExternalKind[] = ["function", "table", "memory", "global", "tag"];

export interface ImportName {
	readonly module: string;
	readonly name: string;
}

export interface Import extends ImportName, Span {
	readonly kind: ExternalKind;
	/** Index in its kind's index space. */
	readonly index: number;
	/** Where the description after the two names begins. */
	readonly description: number;
}

export interface Export {
	readonly name: string;
	readonly kind: ExternalKind;
	readonly index: number;
}

export interface Table extends Span {
	readonly type: ValueType;
	readonly limits: Limits;
	readonly imported: ImportName | null;
	/** Its type and limits, without the form and the initial value that an own table may have. */
	readonly declared: Span;
}

export interface Memory extends Span {
	readonly limits: Limits;
	readonly imported: ImportName | null;
}

export interface Global {
	readonly type: ValueType;
	readonly mutable: boolean;
	readonly imported: ImportName | null;
}

export type SegmentMode = "active" | "passive" | "declarative";

export interface Segment extends Span {
	readonly mode: SegmentMode;
	/** The segment's own bytes (data) or entries with their count (elements), after mode, place and type. */
	readonly content: number;
	/** Flags as they stand in the bytes. */
	readonly flags: number;
	/** An element segment's kind or type as it stands in the bytes; empty where the flags imply it, and for data. */
	readonly type: Span;
}

export interface Module {
	readonly bytes: Uint8Array;
	/** Every section in the order of the bytes, custom ones included. */
	readonly sections: readonly Section[];
	readonly types: readonly FunctionType[];
	readonly imports: readonly Import[];
	/** Type index of each function, imported ones first. */
	readonly functions: readonly number[];
	readonly importedFunctions: number;
	readonly tables: readonly Table[];
	readonly memories: readonly Memory[];
	readonly globals: readonly Global[];
	readonly exports: readonly Export[];
	readonly startFunction: number | null;
	readonly elements: readonly Segment[];
	readonly data: readonly Segment[];
	/** Bodies of the module's own functions: locals and code. */
	readonly bodies: readonly Span[];
	/** Functions named by element segments and constant expressions, each once, ascending. */
	readonly referencedFunctions: readonly number[];
}
