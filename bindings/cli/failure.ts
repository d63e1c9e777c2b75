/** Errors in words, as they cross a process boundary or reach a person. */
import type { FailureReport } from "./messages.ts";

/** Why a host cannot do what it was told. */
export class HostError extends Error {
	override readonly name = "HostError";
	readonly code: "no-guest" | "has-guest" | "no-pages";
	constructor(code: HostError["code"], message: string) {
		super(message);
		this.code = code;
	}
}

/** What of an error can be sent. */
export function reportFailure(error: unknown): FailureReport {
	return { code: word(error, "code") ?? "failed", phase: word(error, "phase"), message: messageWithCauses(error) };
}

/** The message, and what its causes add to it. */
export function messageWithCauses(error: unknown): string {
	if (!(error instanceof Error)) return String(error);
	if (error.cause === undefined) return error.message;
	const cause = messageWithCauses(error.cause);
	return error.message.includes(cause) ? error.message : `${error.message} (${cause})`;
}

function word(error: unknown, field: "code" | "phase"): string | undefined {
	if (typeof error !== "object" || error === null || !(field in error)) return undefined;
	const value: unknown = Reflect.get(error, field);
	return typeof value === "string" ? value : undefined;
}
