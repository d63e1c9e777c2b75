// Language runtimes that keep much of a program's state in JavaScript, told by what their modules import. A program on one
// of them is moved by an adapter of its own (docs/programs.md, "Programs whose host state is large"), or refused with the
// runtime's name.
import { GuestError } from "../../ports/guest.ts";
import { isDeclaredImport } from "./host-access.ts";
import type { ModuleLayout } from "./module/layout.ts";

type FunctionImports = readonly ModuleLayout["imports"][number][];

/** Where docs/programs.md says what such a program needs. */
const WHERE = 'docs/programs.md, "Programs whose host state is large"';
/** Imports named in a message. */
const NAMED = 3;

/** Go's own compiler and TinyGo import from `gojs`, before Go 1.21 from `go`. Source: `lib/wasm/wasm_exec.js` of Go. */
const GO_NAMES = /^(?:runtime|syscall\/js)\./;

/** What a module imports from Go's JavaScript, if it does. */
function goImports({ imports }: ModuleLayout): FunctionImports {
	return imports.filter(
		({ module, name, kind }) => kind === "function" && (module === "gojs" || module === "go") && GO_NAMES.test(name),
	);
}

/** Why a program that does not declare its host access cannot run while pages are missing. */
export function whyUndeclared(program: string, layout: ModuleLayout): string {
	const imports = goImports(layout);
	if (imports.length === 0)
		return (
			`the program ${program} does not declare its host access, and JavaScript that reads guest memory by itself would ` +
			"read zeros without an error (docs/programs.md says how to declare it)"
		);
	return (
		`the program ${program} does not declare its host access, and its module runs on Go's runtime (${some(imports)}): ` +
		"that keeps values, callbacks and timers in JavaScript and reads guest memory in each import. It needs imports that " +
		`are declared, and a capture() that carries what JavaScript keeps, which other techniques need as well (${WHERE})`
	);
}

/**
 * A program that declares its host access must have declared the imports of such a runtime: its stock glue would fail at
 * its first look at the memory, in the middle of a call.
 * @throws GuestError `incompatible`, naming the runtime and the imports; nothing has been instantiated
 */
export function requireDeclaredRuntime(program: string, layout: ModuleLayout, imports: WebAssembly.Imports): void {
	const undeclared = goImports(layout).filter(({ module, name }) => !isDeclaredImport(imports[module]?.[name]));
	if (undeclared.length === 0) return;
	throw new GuestError(
		"incompatible",
		`the program ${program} declares its host access, but not what its module's imports for Go's runtime touch ` +
			`(${some(undeclared)}): make them with declareImports, or leave hostAccess out and move by pre-copy (${WHERE})`,
	);
}

function some(imports: FunctionImports): string {
	const named = imports.slice(0, NAMED).map(({ module, name }) => `${module}.${name}`);
	const more = imports.length - named.length;
	return `imports ${named.join(", ")}${more > 0 ? ` and ${more} more` : ""}`;
}
