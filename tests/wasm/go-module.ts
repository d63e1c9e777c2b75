// Modules on Go's runtime: a small one that imports what Go's do, and esbuild's own where a path to it is given.
import { existsSync, readFileSync } from "node:fs";
import { environment } from "../simulation/environment.ts";
import * as asm from "./assembler.ts";

const NAMES = ["runtime.wasmExit", "runtime.wasmWrite", "runtime.scheduleTimeoutEvent", "syscall/js.valueCall"];
const END = 0x0b;

/** Imports like Go's, exports `mem` and `getsp` like Go's. */
export function goModule(from: "gojs" | "go" = "gojs"): Uint8Array<ArrayBuffer> {
	return asm.wasm(
		asm.section(asm.SECTION_TYPE, asm.functionType([asm.I32]), asm.functionType([], [asm.I32])),
		asm.section(asm.SECTION_IMPORT, ...NAMES.map((name) => [...asm.text(from), ...asm.text(name), 0, 0])),
		asm.section(asm.SECTION_FUNCTION, [1]),
		asm.MEMORY,
		asm.section(asm.SECTION_GLOBAL, [asm.I32, 1, ...asm.constant(0), END]),
		asm.section(asm.SECTION_EXPORT, asm.exported("getsp", 0, NAMES.length), asm.exported("mem", 2, 0)),
		asm.section(asm.SECTION_CODE, asm.body([0x23, 0])),
	);
}

/** esbuild's module: from PAGEFERRY_ESBUILD_WASM, or from the package if somebody has installed it. */
export function esbuildModule(): Uint8Array<ArrayBuffer> | undefined {
	const path = environment("PAGEFERRY_ESBUILD_WASM") ?? "node_modules/esbuild-wasm/esbuild.wasm";
	return existsSync(path) ? Uint8Array.from(readFileSync(path)) : undefined;
}
