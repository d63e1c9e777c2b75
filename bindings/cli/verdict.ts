/**
 * Whether a move went unnoticed: the same numbered requests are sent to a fresh guest that nobody moves, and every answer
 * and the final state must be equal.
 */
import { ProgramError } from "../guests/wasm/errors.ts";
import { startWasmGuest } from "../guests/wasm/guest.ts";
import type { MoveMetrics } from "../migration/metrics.ts";
import type { Platform } from "../ports/platform.ts";
import { pagesFollow } from "./options.ts";
import type { Workload } from "./workloads.ts";

/** Requests under way in the undisturbed run. */
const WINDOW_REQUESTS = 8;

/** What a run has left behind. */
export interface RunTrace {
	/** By number, from 1, as JSON text. */
	readonly answers: readonly string[];
	/** SHA-256 of a dump of everything the requests have made, the answered numbers included. */
	readonly stateDigest: string;
}

/** One thing that was checked. */
export interface Check {
	readonly name: string;
	readonly ok: boolean;
	readonly detail: string;
}

/** What the request for a dump's digest looks like to the demo's programs. */
export const DIGEST_REQUEST = { digest: true } as const;

/** Runs the first `count` requests on a fresh guest in this process. @throws {GuestError}, the signal's reason */
export async function undisturbedRun(
	platform: Platform,
	program: { readonly url: string; readonly workload: Workload },
	count: number,
	signal: AbortSignal,
): Promise<RunTrace> {
	const { workers, clock } = platform;
	const guest = await startWasmGuest({ workers, clock, programUrl: program.url });
	const answers: string[] = [];
	let next = 1;
	const one = async (): Promise<void> => {
		for (let number = next++; number <= count; number = next++) {
			signal.throwIfAborted();
			const request = program.workload.request(number);
			answers[number] = await guest.call({ number, request }).then(JSON.stringify, (error: unknown) => {
				if (error instanceof ProgramError) return JSON.stringify({ failure: error.message });
				throw error;
			});
		}
	};
	try {
		await Promise.all(Array.from({ length: WINDOW_REQUESTS }, one));
		return { answers, stateDigest: String(await guest.call(DIGEST_REQUEST)) };
	} finally {
		await guest.discard();
	}
}

/** How a move that succeeded was verified, in words. */
export function howVerified({ technique, verification }: Pick<MoveMetrics, "technique" | "verification">): string {
	if (verification !== "full") return "each page hashed on its way";
	return pagesFollow(technique)
		? "each page hashed as it came, and compared with the source's at the end"
		: "memory and state hashed again at the pause";
}

/** Compares a run with the undisturbed one. */
export function compareRuns(run: RunTrace, undisturbed: RunTrace, count: number): readonly Check[] {
	let equal = 0;
	let different: number | undefined;
	for (let number = 1; number <= count; number++)
		if (run.answers[number] !== undefined && run.answers[number] === undisturbed.answers[number]) equal++;
		else different ??= number;
	const detail =
		different === undefined
			? `${equal} of ${count} equal to an undisturbed run`
			: `number ${different}: ${brief(run.answers[different])}, undisturbed ${brief(undisturbed.answers[different])}`;
	const sameState = run.stateDigest === undisturbed.stateDigest;
	return [
		{ name: "answers", ok: different === undefined, detail },
		{
			name: "final state",
			ok: sameState,
			detail: sameState
				? `SHA-256 ${run.stateDigest.slice(0, 16)}…, as in the undisturbed run`
				: `SHA-256 ${run.stateDigest.slice(0, 16)}…, undisturbed ${undisturbed.stateDigest.slice(0, 16)}…`,
		},
	];
}

function brief(text: string | undefined): string {
	if (text === undefined) return "no answer";
	return text.length > 60 ? `${text.slice(0, 60)}…` : text;
}
