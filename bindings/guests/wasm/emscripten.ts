/**
 * Emscripten-style packages as programs: JavaScript glue that compiles and instantiates its module itself, and keeps views
 * of the memory and functions of the instance. The glue must get the guest's own variant of the module; there are two ways
 * in, and a program takes the first that its package offers:
 *
 *   emscriptenOptions(context)      the package passes options to the glue: `instantiateWasm` is the glue's own hook
 *   interceptInstantiation(context) the package passes nothing: WebAssembly's functions are replaced while it starts
 */
import type { StartContext } from "./program.ts";

/** Options of Emscripten's `Module` object. */
export interface EmscriptenOptions {
	/** Called by the glue instead of fetching and compiling. */
	instantiateWasm(
		imports: WebAssembly.Imports,
		receive: (instance: WebAssembly.Instance, module: WebAssembly.Module | undefined) => void,
	): object;
	/** Bytes of the memory, for glue that makes it (an imported memory): never less than what the source has. */
	readonly INITIAL_MEMORY?: number;
	/** Fails the start; the glue itself would only log. */
	readonly failed: Promise<never>;
}

/**
 * Options for a package that passes them on to its glue.
 *
 * @example
 * ```ts ignore
 * const options = emscriptenOptions(context);
 * const module = await Promise.race([initSqlJs(options), options.failed]);
 * ```
 */
export function emscriptenOptions(context: StartContext): EmscriptenOptions {
	let fail: (error: unknown) => void = () => undefined;
	const failed = new Promise<never>((_, reject) => {
		fail = reject;
	});
	failed.catch(() => undefined); // whoever races the glue against `failed` sees it
	return {
		failed,
		instantiateWasm(imports, receive) {
			context.instantiate(imports).then((instance) => receive(instance, undefined), fail);
			return {};
		},
		...(context.minimumMemoryPages > 0 && { INITIAL_MEMORY: context.minimumMemoryPages * 65536 }),
	};
}

/**
 * Runs `load` while the first WebAssembly instantiation of this worker yields the guest's instance, whatever bytes the
 * glue found, and while every memory that JavaScript makes begins with the source's size. Later instantiations pass.
 *
 * @param load starts the package and resolves when its instance stands
 * @throws what `load` throws
 * @example
 * ```ts ignore
 * const lua = await interceptInstantiation(context, () => new LuaFactory().createEngine());
 * ```
 */
export async function interceptInstantiation<Loaded>(
	context: StartContext,
	load: () => Promise<Loaded>,
): Promise<Loaded> {
	const original = {
		instantiate: WebAssembly.instantiate,
		instantiateStreaming: WebAssembly.instantiateStreaming,
		Memory: WebAssembly.Memory,
	};
	let taken = false;
	/** @returns the guest's instance the first time, undefined after it */
	const takeOver = (imports: WebAssembly.Imports | undefined): Promise<WebAssembly.Instance> | undefined => {
		if (taken) return undefined;
		taken = true;
		return context.instantiate(imports ?? {});
	};
	const replacement = {
		instantiate: async (source: BufferSource | WebAssembly.Module, imports?: WebAssembly.Imports): Promise<unknown> => {
			const instance = await takeOver(imports);
			if (source instanceof WebAssembly.Module) return instance ?? original.instantiate(source, imports);
			return instance === undefined ? original.instantiate(source, imports) : { instance, module: undefined };
		},
		instantiateStreaming: async (
			source: Response | PromiseLike<Response>,
			imports?: WebAssembly.Imports,
		): Promise<unknown> => {
			const instance = await takeOver(imports);
			return instance === undefined ? original.instantiateStreaming(source, imports) : { instance, module: undefined };
		},
		Memory: class extends original.Memory {
			constructor(descriptor: WebAssembly.MemoryDescriptor) {
				super({ ...descriptor, initial: Math.max(descriptor.initial, context.minimumMemoryPages) });
			}
		},
	};
	Object.assign(WebAssembly, replacement);
	try {
		return await load();
	} finally {
		Object.assign(WebAssembly, original);
	}
}
