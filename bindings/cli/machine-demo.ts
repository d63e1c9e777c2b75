/** What the demos of whole machines share (`pageferry demo --guest v86|qemu`): what they work with, and how they ended. */
import type { MoveMetrics } from "../migration/metrics.ts";
import type { Platform } from "../ports/platform.ts";
import type { Display } from "./display.ts";
import { consoleChecks } from "./linux-console.ts";
import type { Check } from "./verdict.ts";

/** How long a machine may take until its programs have written what is waited for, in ms: it may have to boot first. */
export const PATIENCE_MS = 120_000;

/** What such a demo works with. */
export interface MachineDemoServices {
	readonly platform: Platform;
	/** Where the built entries lie. */
	readonly dist: URL;
	readonly display: Display;
	readonly signal: AbortSignal;
}

/** How it went. */
export interface MachineDemoResult {
	readonly outcome: string;
	readonly metrics: MoveMetrics;
	readonly checks: readonly Check[];
	readonly verified: boolean;
}

/** Without its Linux there is no demo. */
export class MissingLinuxError extends Error {
	override readonly name = "MissingLinuxError";
	readonly code = "missing";
}

/** Judges a move by what the machine's programs have written. */
export function machineResult(
	move: { readonly outcome: string; readonly metrics: MoveMetrics },
	text: { readonly before: string; readonly after: string },
): MachineDemoResult {
	const { outcome, metrics } = move;
	const checks = consoleChecks(text.before + text.after, text.after);
	return { outcome, metrics, checks, verified: outcome === "moved" && checks.every(({ ok }) => ok) };
}

/** @throws Error when it takes too long, the signal's reason */
export async function patiently({ clock }: Platform, signal: AbortSignal, done: () => boolean): Promise<void> {
	const limit = clock.now() + PATIENCE_MS;
	while (!done()) {
		if (clock.now() > limit) throw new Error("the programs in the guest do not work"); // allowed (bare-error): a broken demo, told as it is
		await clock.sleep(10, signal);
	}
}
