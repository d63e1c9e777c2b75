// Small WebAssembly modules for tests, byte by byte: what a test wants to be wrong can be written wrong.

export type Bytes = readonly number[];

export const I32 = 0x7f;
export const I64 = 0x7e;
export const F32 = 0x7d;
export const F64 = 0x7c;
export const V128 = 0x7b;
export const FUNCREF = 0x70;
export const EXTERNREF = 0x6f;

export function unsigned(value: number): number[] {
	const bytes: number[] = [];
	let rest = value;
	for (; rest >= 0x80; rest = Math.floor(rest / 128)) bytes.push((rest % 128) | 0x80);
	return [...bytes, rest];
}

export function text(value: string): number[] {
	const bytes = [...new TextEncoder().encode(value)];
	return [...unsigned(bytes.length), ...bytes];
}

export function vector(...entries: Bytes[]): number[] {
	return [...unsigned(entries.length), ...entries.flat()];
}

/** A section with whatever content. */
export function rawSection(id: number, content: Bytes): number[] {
	return [id, ...unsigned(content.length), ...content];
}

/** A section that is a vector of entries. */
export function section(id: number, ...entries: Bytes[]): number[] {
	return rawSection(id, vector(...entries));
}

export function custom(name: string, content: Bytes = []): number[] {
	return rawSection(0, [...text(name), ...content]);
}

export function wasm(...sections: Bytes[]): Uint8Array<ArrayBuffer> {
	return Uint8Array.from([0, 0x61, 0x73, 0x6d, 1, 0, 0, 0, ...sections.flat()]);
}

/** `(parameters) -> (results)` */
export function functionType(parameters: Bytes = [], results: Bytes = []): number[] {
	return [0x60, ...unsigned(parameters.length), ...parameters, ...unsigned(results.length), ...results];
}

/** A function body without the last `end`; `locals` are pairs of count and type. */
export function body(code: Bytes, locals: (readonly [count: number, type: number])[] = []): number[] {
	const content = [...vector(...locals.map(([count, type]) => [...unsigned(count), type])), ...code, 0x0b];
	return [...unsigned(content.length), ...content];
}

export function exported(name: string, kind: number, index: number): number[] {
	return [...text(name), kind, ...unsigned(index)];
}

export const SECTION_TYPE = 1;
export const SECTION_IMPORT = 2;
export const SECTION_FUNCTION = 3;
export const SECTION_TABLE = 4;
export const SECTION_MEMORY = 5;
export const SECTION_GLOBAL = 6;
export const SECTION_EXPORT = 7;
export const SECTION_START = 8;
export const SECTION_ELEMENT = 9;
export const SECTION_CODE = 10;
export const SECTION_DATA = 11;
export const SECTION_DATA_COUNT = 12;
export const SECTION_TAG = 13;

/** The memory section that a guest needs: one page, at most four. */
export const MEMORY: Bytes = section(SECTION_MEMORY, [1, 1, 4]);

/** `i32.const value` for values below 8192 either side of 0. */
export function constant(value: number): number[] {
	return value < 64 && value >= -64 ? [0x41, value & 0x7f] : [0x41, (value & 0x7f) | 0x80, (value >> 7) & 0x7f];
}
