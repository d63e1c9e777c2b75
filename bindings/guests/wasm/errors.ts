// What can go wrong with a call of a wasm guest.
import { type ErrorRecord, recordError, restoreError as restoreCommonError } from "../error-record.ts";
import { WasmModuleError } from "./module/errors.ts";

/** Where a call of a program failed. */
export type ProgramErrorCode = "threw" | "trap" | "unsendable";

/**
 * The program's own failure while it answered a call. The guest stays usable: it is for its client to judge what the
 * program's state is worth.
 *
 * | code | meaning |
 * | --- | --- |
 * | `threw` | the program threw, or its promise was rejected |
 * | `trap` | the module trapped (unreachable, out of bounds, stack overflow) |
 * | `unsendable` | the response cannot be cloned; the call itself has been executed |
 */
export class ProgramError extends Error {
	override readonly name = "ProgramError";
	readonly code: ProgramErrorCode;
	/** The thrown error's own name and stack, as text. */
	readonly causeName: string;
	readonly causeStack: string;
	constructor(code: ProgramErrorCode, message: string, causeName: string, causeStack: string) {
		super(message);
		this.code = code;
		this.causeName = causeName;
		this.causeStack = causeStack;
	}
}

/**
 * A call that this guest will not answer.
 *
 * | code | meaning |
 * | --- | --- |
 * | `moved` | the guest left while it was paused: the call was never started here; send it to where the guest runs now |
 * | `gone` | the guest ended while the call was under way, or may have been: it may or may not have been executed |
 */
export class CallError extends Error {
	override readonly name = "CallError";
	readonly code: "moved" | "gone";
	constructor(code: "moved" | "gone", message: string, cause?: unknown) {
		super(message, cause === undefined ? undefined : { cause });
		this.code = code;
	}
}

/** @returns the error that a record stands for: those of every guest, and the one class that is of wasm guests alone */
export function restoreError(record: ErrorRecord): Error {
	if (record.className !== "WasmModuleError") return restoreCommonError(record);
	// allowed (cast): `recordError` read it from an error of this class
	return new WasmModuleError(record.code as WasmModuleError["code"], record.message);
}

/** A failed call's record. */
export interface ProgramFailureRecord extends ErrorRecord {
	readonly code: ProgramErrorCode;
}

/** @returns the failure of a call, as a record that {@link programErrorOf} turns back */
export function recordProgramFailure(error: unknown): ProgramFailureRecord {
	const record = recordError(error);
	// A stack overflow inside the module is a RangeError in V8, a trap everywhere else.
	const trapped = error instanceof WebAssembly.RuntimeError || /call stack size/.test(record.message);
	return { ...record, code: trapped ? "trap" : "threw" };
}

export function programErrorOf({ code, message, className, stack }: ProgramFailureRecord): ProgramError {
	return new ProgramError(code, message, className, stack);
}
