// Module bytes in, guest module bytes out. The passes that can be asked for, and the order in which they apply.
import { type CodePass, rewriteCode } from "./code.ts";
import { decodeModule } from "./decode.ts";
import { checkNames, ModuleEdit } from "./edit.ts";
import { WasmModuleError } from "./errors.ts";
import { exposeState } from "./expose.ts";
import { layoutOf, type ModuleLayout } from "./layout.ts";
import { MEMORY_PAGES } from "./limits.ts";
import { type Module, SECTION } from "./model.ts";
import { ByteReader } from "./reader.ts";
import type { Limits } from "./types.ts";
import type { ByteWriter } from "./writer.ts";

export interface RewriteOptions {
	/** Raises the memory's minimum to this many WebAssembly pages of 64 KiB: the size a restored memory had grown to. */
	readonly minimumMemoryPages?: number;
	/** Leaves out the start function: at a restore it has already run, at the source. */
	readonly dropStart?: boolean;
}

export interface RewrittenModule {
	readonly bytes: Uint8Array;
	/** Facts about the module as it came; the rewritten one has the same indices. */
	readonly layout: ModuleLayout;
}

/**
 * Rewrites a module so that all its state can be captured and restored (see `expose.ts` for what is added).
 * @throws WasmModuleError for bytes that are no core module, for a module that cannot be a guest, and for options that
 *   the module's limits do not allow
 * @throws RangeError for a number of pages that is no page count
 */
export function rewriteModule(bytes: Uint8Array, options: RewriteOptions = {}): RewrittenModule {
	const { minimumMemoryPages = 0, dropStart = false } = options;
	if (!Number.isInteger(minimumMemoryPages) || minimumMemoryPages < 0 || minimumMemoryPages > MEMORY_PAGES)
		throw new RangeError(`minimumMemoryPages must be an integer from 0 to ${MEMORY_PAGES}, not ${minimumMemoryPages}`);
	const module = decodeModule(bytes);
	const layout = layoutOf(module);
	checkNames(module);
	const edit = new ModuleEdit(module);
	const passes: CodePass[] = [];
	if (minimumMemoryPages > layout.memory.minimumPages) raiseMemory(edit, layout, minimumMemoryPages);
	if (dropStart) edit.replace(SECTION.start, null);
	const flags = exposeState(edit, layout);
	if (flags !== null) passes.push(flags);
	if (passes.length > 0) rewriteCode(edit, passes);
	return { bytes: edit.encode(), layout };
}

function raiseMemory(edit: ModuleEdit, layout: ModuleLayout, pages: number): void {
	const { module } = edit;
	const { maximumPages } = layout.memory;
	if (maximumPages !== null && pages > maximumPages)
		throw new WasmModuleError(
			"memory-limit",
			`a memory of ${pages} pages was asked for, but the module allows ${maximumPages}; the state comes from another build`,
		);
	const limits = { ...module.memories[0]!.limits, minimum: pages };
	if (layout.memory.imported === null) edit.replace(SECTION.memory, (writer) => writeLimits(writer, limits));
	else edit.replace(SECTION.import, (writer) => writeImports(writer, module, limits));
}

function writeLimits(writer: ByteWriter, limits: Limits): void {
	writer.byte(limits.maximum === null ? 0 : 1).u32(limits.minimum);
	if (limits.maximum !== null) writer.u32(limits.maximum);
}

/** The imports as they were, but for the memory's limits. */
function writeImports(writer: ByteWriter, module: Module, limits: Limits): void {
	for (const { kind, start, end, description } of module.imports)
		if (kind !== "memory") writer.copy(module.bytes, start, end);
		else {
			const reader = new ByteReader(module.bytes, description, end);
			reader.byte();
			writer.copy(module.bytes, start, reader.offset);
			writeLimits(writer, limits);
		}
}
