// What can go wrong with a call, and how errors cross from the worker to the host without losing their class.
import { BatchError } from "../../engine/batch.ts";
import { GuestError, type GuestErrorCode } from "../../ports/guest.ts";
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

/** An error as it crosses the worker's boundary: structured cloning drops classes and codes. */
export interface ErrorRecord {
	readonly className: string;
	readonly message: string;
	readonly stack: string;
	readonly code?: string;
	readonly position?: number;
	readonly pageIndex?: number;
	readonly offset?: number;
}

/** @returns what crosses */
export function recordError(error: unknown): ErrorRecord {
	if (!(error instanceof Error)) return { className: "Error", message: String(error), stack: "" };
	const { name, message, stack = "" } = error;
	return {
		className: name,
		message,
		stack,
		...("code" in error && typeof error.code === "string" && { code: error.code }),
		...("position" in error && typeof error.position === "number" && { position: error.position }),
		...("pageIndex" in error && typeof error.pageIndex === "number" && { pageIndex: error.pageIndex }),
		...("offset" in error && typeof error.offset === "number" && { offset: error.offset }),
	};
}

/** @returns what was thrown, as text */
export function messageOf(error: unknown): string {
	return error instanceof Error ? error.message : String(error);
}

/** An error of a class that no caller tells apart, under its own name. */
class RemoteError extends Error {
	constructor({ className, message, stack }: ErrorRecord) {
		super(message);
		this.name = className;
		this.stack = stack;
	}
}

/** @returns the error that a record stands for; a class that no caller tells apart becomes an Error of that name */
export function restoreError(record: ErrorRecord): Error {
	const { className, message, code, position, pageIndex } = record;
	switch (className) {
		case "GuestError":
			// allowed (cast): `recordError` read it from an error of this class; so in the next two
			return new GuestError(code as GuestErrorCode, message);
		case "RangeError":
			return new RangeError(message);
		case "TypeError":
			return new TypeError(message);
		case "WasmModuleError":
			// allowed (cast): see above
			return new WasmModuleError(code as WasmModuleError["code"], message);
		case "BatchError":
			return new BatchError(
				// allowed (cast): see above
				code as BatchError["code"],
				position === undefined || pageIndex === undefined ? undefined : { position, pageIndex },
			);
		default:
			return new RemoteError(record);
	}
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
