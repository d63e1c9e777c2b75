// Module bytes in, guest module bytes out. The passes that can be asked for, and the order in which they apply.
import { attach } from "./attach.ts";
import { type CodePass, rewriteCode } from "./code.ts";
import { decodeModule } from "./decode.ts";
import { checkNames, ModuleEdit } from "./edit.ts";
import { WasmModuleError } from "./errors.ts";
import { exposeState } from "./expose.ts";
import { watchMemory } from "./instrument.ts";
import { layoutOf, type ModuleLayout } from "./layout.ts";
import { MEMORY_PAGES } from "./limits.ts";
import { type Module, SECTION } from "./model.ts";
import { requireInstrumentation } from "./page-map.ts";
import { ByteReader } from "./reader.ts";
import { type Limits, writeLimits } from "./types.ts";
import type { ByteWriter } from "./writer.ts";

export interface RewriteOptions {
	/** Raises the memory's minimum to this many WebAssembly pages of 64 KiB: the size a restored memory had grown to. */
	readonly minimumMemoryPages?: number;
	/** Leaves out the start function: at a restore it has already run, at the source. */
	readonly dropStart?: boolean;
	/** Imports memory and tables of a running instance, to take over from it (`attach.ts`); implies `dropStart`. */
	readonly attach?: boolean;
	/** Marks pages that are written to: the dirty map of `page-map.ts`. Needs a second memory. */
	readonly trackWrites?: boolean;
	/** Waits for pages that are missing: the missing map of `page-map.ts`. Needs a second memory. */
	readonly checkPresence?: boolean;
}

export interface RewrittenModule {
	readonly bytes: Uint8Array;
	/** Facts about the module as it came; the rewritten one has the same indices. */
	readonly layout: ModuleLayout;
}

/**
 * Rewrites a module so that all its state can be captured and restored (see `expose.ts` for what is added), and, if
 * asked, so that its memory is watched (`instrument.ts`).
 * @throws WasmModuleError for bytes that are no core module, for a module that cannot be a guest, for options that the
 *   module's limits do not allow, and for watching where the engine has no second memory
 * @throws RangeError for a number of pages that is no page count
 */
export function rewriteModule(bytes: Uint8Array, options: RewriteOptions = {}): RewrittenModule {
	const { minimumMemoryPages = 0, trackWrites = false, checkPresence = false } = options;
	if (!Number.isInteger(minimumMemoryPages) || minimumMemoryPages < 0 || minimumMemoryPages > MEMORY_PAGES)
		throw new RangeError(`minimumMemoryPages must be an integer from 0 to ${MEMORY_PAGES}, not ${minimumMemoryPages}`);
	const watched = trackWrites || checkPresence;
	if (watched) requireInstrumentation();
	const module = decodeModule(bytes);
	const layout = layoutOf(module);
	checkNames(module);
	const edit = new ModuleEdit(module);
	const limits = memoryLimits(module, layout, minimumMemoryPages);
	if (limits.minimum !== layout.memory.minimumPages) raiseMemory(edit, layout, limits, options.attach ?? false);
	if (options.attach) attach(edit, limits);
	else if (options.dropStart) edit.replace(SECTION.start, null);
	const passes: CodePass[] = [];
	const flags = exposeState(edit, layout);
	if (flags !== null) passes.push(flags);
	if (watched) passes.push(watchMemory(edit, { writes: trackWrites, presence: checkPresence }));
	if (passes.length > 0) rewriteCode(edit, passes);
	return { bytes: edit.encode(), layout };
}

function memoryLimits(module: Module, { memory }: ModuleLayout, pages: number): Limits {
	const { maximumPages } = memory;
	if (maximumPages !== null && pages > maximumPages)
		throw new WasmModuleError(
			"memory-limit",
			`a memory of ${pages} pages was asked for, but the module allows ${maximumPages}; the state comes from another build`,
		);
	const { limits } = module.memories[0]!;
	return { ...limits, minimum: Math.max(limits.minimum, pages) };
}

function raiseMemory(edit: ModuleEdit, layout: ModuleLayout, limits: Limits, attaching: boolean): void {
	if (layout.memory.imported !== null)
		edit.replace(SECTION.import, (writer) => writeImports(writer, edit.module, limits));
	else if (!attaching) edit.replace(SECTION.memory, (writer) => writeLimits(writer, limits));
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
