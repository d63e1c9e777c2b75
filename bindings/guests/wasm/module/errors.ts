// Why a WebAssembly module was refused. Every refusal names what it met and where, and says what to do about it.

/**
 * - `malformed`: the bytes are no WebAssembly module, or a damaged one.
 * - `component`: a component-model binary; its core modules can be guests.
 * - `limit`: well-formed so far, but beyond a limit that engines share (`limits.ts`).
 * - `unknown-opcode`: an instruction this rewriter does not know, so it cannot see what state it touches.
 * - `memory64`, `no-memory`, `multiple-memories`, `shared-memory`: memories that cannot be moved page by page from here.
 * - `memory-limit`: the memory asked for is beyond the module's own maximum.
 * - `garbage-collection`, `exception-reference`: state that would live outside linear memory.
 * - `reserved-name`: an import or export already uses the reserved prefix.
 * - `no-second-memory`: this engine cannot run instrumented code.
 * - `unsupported`: any other feature, named in the message.
 */
export type WasmModuleErrorCode =
	| "malformed"
	| "component"
	| "limit"
	| "unknown-opcode"
	| "memory64"
	| "no-memory"
	| "multiple-memories"
	| "shared-memory"
	| "memory-limit"
	| "garbage-collection"
	| "exception-reference"
	| "reserved-name"
	| "no-second-memory"
	| "unsupported";

/** A module that cannot be read, or cannot be a guest. Nothing was changed; the module's bytes are as they were. */
export class WasmModuleError extends Error {
	override readonly name: string = "WasmModuleError";
	readonly code: WasmModuleErrorCode;
	/** Where in the module's bytes, or -1 when the refusal concerns the module as a whole. */
	readonly offset: number;

	constructor(code: WasmModuleErrorCode, message: string, offset = -1) {
		super(offset < 0 ? message : `${message} (at byte ${offset} of the module)`);
		this.code = code;
		this.offset = offset;
	}
}
