// Errors as they cross from a guest's worker to its host: structured cloning drops classes and codes.
import { BatchError } from "../engine/batch.ts";
import { GuestError, type GuestErrorCode } from "../ports/guest.ts";

/** An error as it crosses the worker's boundary. */
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
			// allowed (cast): `recordError` read it from an error of this class; so in the next
			return new GuestError(code as GuestErrorCode, message);
		case "RangeError":
			return new RangeError(message);
		case "TypeError":
			return new TypeError(message);
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
