// Runs passes over the code. A body is written anew only if a pass changes it; what no pass touches is copied in spans.
import { InstructionCursor } from "./cursor.ts";
import type { ModuleEdit } from "./edit.ts";
import { WasmModuleError } from "./errors.ts";
import { BODY_BYTES, LOCALS } from "./limits.ts";
import { type Module, SECTION, type Span } from "./model.ts";
import { ByteReader } from "./reader.ts";
import { NUMBER_TYPES, readValueType, type ValueType } from "./types.ts";
import { ByteWriter } from "./writer.ts";

/** One kind of change to code. Passes run in their order on each instruction; only one may replace it. */
export interface CodePass {
	/** A new body begins. */
	begin?(body: BodyEdit): void;
	/** Called on every instruction, in order. Writing goes through `body.before()`, `body.replace()`, `body.after()`. */
	instruction(cursor: InstructionCursor, body: BodyEdit): void;
}

/** One body being rewritten. */
export class BodyEdit {
	/** Index of the function in the module. */
	functionIndex = 0;
	/** Parameters and locals the body had. */
	locals = 0;
	/** Its instructions, in the module's bytes. */
	code: Span = { start: 0, end: 0 };
	changed = false;
	readonly #source: Uint8Array;
	readonly #out = new ByteWriter(1 << 16);
	/** By type and use: no key is put together for each of a module's million accesses. */
	readonly #added: Map<ValueType, Map<string, number>> = new Map();
	readonly #addedTypes: ValueType[] = [];
	/** Everything before this offset of the source was written or replaced. */
	#copied = 0;

	constructor(source: Uint8Array) {
		this.#source = source;
	}

	begin(functionIndex: number, locals: number, code: Span): void {
		this.functionIndex = functionIndex;
		this.locals = locals;
		this.code = code;
		this.changed = false;
		this.#out.clear();
		for (const uses of this.#added.values()) uses.clear();
		this.#addedTypes.length = 0;
		this.#copied = code.start;
	}

	#copyTo(offset: number): void {
		if (offset > this.#copied) this.#out.copy(this.#source, this.#copied, offset);
		this.#copied = Math.max(this.#copied, offset);
	}

	/** @returns where to write code that runs before the instruction. */
	before(cursor: InstructionCursor): ByteWriter {
		this.changed = true;
		this.#copyTo(cursor.start);
		return this.#out;
	}

	/** @returns where to write code that runs after the instruction. */
	after(cursor: InstructionCursor): ByteWriter {
		this.changed = true;
		this.#copyTo(cursor.end);
		return this.#out;
	}

	/** @returns where to write what stands in the instruction's place. */
	replace(cursor: InstructionCursor): ByteWriter {
		const out = this.before(cursor);
		this.#copied = cursor.end;
		return out;
	}

	/** @returns the index of a local of the pass's own; the same one for the same type and use within a body. */
	local(type: ValueType, use: string): number {
		const uses = this.#added.get(type) ?? new Map<string, number>();
		const known = uses.get(use);
		if (known !== undefined) return known;
		this.#added.set(type, uses);
		const index = this.locals + this.#addedTypes.push(type) - 1;
		uses.set(use, index);
		return index;
	}

	/** @throws WasmModuleError `limit` when what was added makes the body larger than engines take */
	#checkSize(): void {
		const locals = this.locals + this.#addedTypes.length;
		if (locals <= LOCALS && this.#out.length <= BODY_BYTES) return;
		throw new WasmModuleError(
			"limit",
			`function ${this.functionIndex} would have ${locals} locals and ${this.#out.length} bytes once it is watched, more than engines take (${LOCALS}, ${BODY_BYTES}): use the scan tracker and pre-copy for this program`,
			this.code.start,
		);
	}

	/** Writes the whole body, `declared` being the old local declarations and their number. */
	write(writer: ByteWriter, span: Span, declared: Span & { readonly count: number }): void {
		this.#copyTo(span.end);
		this.#checkSize();
		writer.sized(() => {
			writer.u32(declared.count + this.#addedTypes.length).copy(this.#source, declared.start, declared.end);
			for (const type of this.#addedTypes) writer.u32(1).byte(NUMBER_TYPES.get(type)!);
			writer.copy(this.#out.written());
		});
	}
}

/** Reads a body's local declarations. @returns where they stand, how many there are, and how many locals they make */
export function readLocals(module: Module, body: Span): Span & { readonly count: number; readonly locals: number } {
	const reader = new ByteReader(module.bytes, body.start, body.end);
	const count = reader.count(LOCALS, "local declarations", 2);
	const start = reader.offset;
	let locals = 0;
	for (let i = 0; i < count; i++) {
		locals += reader.u32();
		if (locals > LOCALS) reader.malformed(`a function with more than ${LOCALS} locals`);
		readValueType(reader);
	}
	return { count, locals, start, end: reader.offset };
}

/** Visits every instruction of the module's own functions without changing anything. */
export function walkCode(module: Module, visit: (cursor: InstructionCursor) => void): void {
	for (const body of module.bodies) {
		const cursor = new InstructionCursor(module.bytes, readLocals(module, body).end, body.end);
		while (cursor.next()) visit(cursor);
	}
}

/** Runs the passes over every body and has the edit write the result. */
export function rewriteCode(edit: ModuleEdit, passes: readonly CodePass[]): void {
	const { module } = edit;
	// Room is only taken as it is written to, and growing would copy what there is: 2.5 times the code was seen.
	const rewritten = new ByteWriter(module.bytes.length * 3);
	const body = new BodyEdit(module.bytes);
	for (const [i, span] of module.bodies.entries()) {
		const index = module.importedFunctions + i;
		const declared = readLocals(module, span);
		const parameters = module.types[module.functions[index]!]!.parameters.length;
		body.begin(index, parameters + declared.locals, { start: declared.end, end: span.end });
		for (const pass of passes) pass.begin?.(body);
		const cursor = new InstructionCursor(module.bytes, declared.end, span.end);
		while (cursor.next()) for (const pass of passes) pass.instruction(cursor, body);
		if (body.changed) {
			edit.bodiesChanged = true;
			body.write(rewritten, span, declared);
		} else rewritten.u32(span.end - span.start).copy(module.bytes, span.start, span.end);
	}
	if (edit.bodiesChanged) edit.replace(SECTION.code, (writer) => writer.copy(rewritten.written()), rewritten.length);
}
