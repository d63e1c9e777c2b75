// Programs around a module on Go's runtime. Their glue does nothing: what matters is what they declare.
import { type AccessDescriptor, declareImports } from "../../bindings/guests/wasm/host-access.ts";
import { defineProgram, type ProgramDefinition, type StartContext } from "../../bindings/guests/wasm/program.ts";
import { goModule } from "./go-module.ts";

/**
 * - `stock`: as Go's own glue is used; nothing is declared.
 * - `plain`: it says that it declares its host access, and gives plain functions.
 * - `described`: its imports are made by declareImports.
 * - `none`: it declares its host access and gives no imports.
 */
export type GoGlue = "stock" | "plain" | "described" | "none";

export function goProgram(glue: GoGlue): ProgramDefinition {
	return defineProgram({
		name: `go-${glue}`,
		version: "1",
		policy: { clock: "host", random: "host" },
		keepsMemoryViews: false,
		...(glue === "stock" ? {} : { hostAccess: "declared" as const }),
		moduleBytes: () => goModule(),
		async start(context) {
			const { exports } = await context.instantiate(importsOf(glue, context));
			return { call: () => (exports.getsp as () => number)() };
		},
	});
}

function importsOf(glue: GoGlue, { host, moduleBytes }: StartContext): WebAssembly.Imports {
	const imports: Record<string, WebAssembly.ModuleImports> = {};
	if (glue === "none") return imports;
	for (const { module, name } of WebAssembly.Module.imports(new WebAssembly.Module(moduleBytes)))
		imports[module] = { ...imports[module], [name]: () => undefined };
	if (glue !== "described") return imports;
	// Each of Go's imports takes the stack's pointer and reads its arguments there.
	const stack: readonly AccessDescriptor[] = [{ pointer: 0, byteLength: 64, writes: true }];
	for (const [module, functions] of Object.entries(imports)) {
		const descriptors = Object.fromEntries(Object.keys(functions).map((name) => [name, stack]));
		imports[module] = declareImports(host, functions as Record<string, () => undefined>, descriptors);
	}
	return imports;
}
