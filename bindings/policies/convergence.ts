/**
 * When the live rounds of a pre-copy, a live save or a hybrid move should end. Pure: facts in, decision out.
 *
 * Xen's three conditions and the modern one (expected downtime under a limit) are separate policies; {@link firstOf}
 * combines them. A caller may write its own: it is only a function.
 */

/** What one round did. Round 1 sends everything; the final round runs while the guest is paused. */
export interface RoundFacts {
	/** From 1. */
	readonly index: number;
	/** Pages that were to be sent when the round began. */
	readonly toSendPages: number;
	/** Pages sent, each as often as it was sent. */
	readonly sentPages: number;
	/** Pages left out because the log already showed them dirty again. */
	readonly skippedPages: number;
	/** Bytes given to the link or file, batch tables included. */
	readonly sentBytes: number;
	readonly durationMs: number;
	/** Pages that became dirty while the round ran, as harvested at its end. Skipped ones are among them. */
	readonly dirtiedPages: number;
}

/** What a policy may look at. */
export interface ConvergenceFacts {
	/** Live rounds so far, oldest first; never empty. */
	readonly rounds: readonly RoundFacts[];
	readonly pageCount: number;
	/** Pages still owed if the guest were paused now. */
	readonly pendingPages: number;
	/** Pages sent in all rounds, duplicates counted. */
	readonly totalSentPages: number;
	/** Rate of the last round that sent anything, in bytes per ms; 0 if unknown. */
	readonly bandwidthBytesPerMs: number;
	/** Mean bytes per page sent so far, compression and tables included. */
	readonly bytesPerPage: number;
}

/** Why the live rounds ended. Open for the reasons of callers' own policies. */
export type StopReason =
	| "iterations"
	| "few-dirty-pages"
	| "sent-too-much"
	| "downtime-limit"
	| "rate-limit-reached"
	| "total-time-limit"
	| (string & {});

/** A policy's answer: the reason to stop, or `undefined` to go on with another live round. */
export type ConvergencePolicy = (facts: ConvergenceFacts) => StopReason | undefined;

/** Parameters of {@link xenConvergence}. */
export interface XenConvergenceOptions {
	/** Rounds including the final one. Xen's code runs 29 live rounds and the final one. */
	readonly maxIterations?: number;
	/** Stop when a round had fewer pages than this to deal with. */
	readonly minPages?: number;
	/** Stop when more than this many times the memory has been sent. */
	readonly maxFactor?: number;
}

/**
 * Xen's stop conditions, tested at the end of each round: 30 iterations; or sent + skipped in the round below 50 (these
 * are the pages dirtied in the round before); or more than three times the memory sent.
 *
 * Source: Hines et al., Post-Copy Live Migration of Virtual Machines, on Xen's pre-copy; Chuang and Huang use the same.
 */
export function xenConvergence(options: XenConvergenceOptions = {}): ConvergencePolicy {
	const { maxIterations = 30, minPages = 50, maxFactor = 3 } = options;
	requirePositive("maxIterations", maxIterations);
	requirePositive("minPages", minPages);
	requirePositive("maxFactor", maxFactor);
	return ({ rounds, pageCount, totalSentPages }) => {
		const last = rounds[rounds.length - 1]!;
		if (rounds.length >= maxIterations - 1) return "iterations";
		if (last.sentPages + last.skippedPages < minPages) return "few-dirty-pages";
		if (totalSentPages > maxFactor * pageCount) return "sent-too-much";
		return undefined;
	};
}

/**
 * The modern condition: stop as soon as what is still owed can be sent within the limit at the rate measured so far
 * (QEMU's and Cloud Hypervisor's default limit is 300 ms).
 * @param limitMs - accepted downtime for the rest of the pages, in ms.
 */
export function downtimeConvergence(limitMs = 300): ConvergencePolicy {
	requirePositive("limitMs", limitMs);
	return ({ pendingPages, bandwidthBytesPerMs, bytesPerPage }) => {
		if (pendingPages === 0) return "downtime-limit";
		if (bandwidthBytesPerMs <= 0) return undefined;
		return (pendingPages * bytesPerPage) / bandwidthBytesPerMs <= limitMs ? "downtime-limit" : undefined;
	};
}

/** The first policy that says stop. @throws TypeError if there is none. */
export function firstOf(...policies: readonly ConvergencePolicy[]): ConvergencePolicy {
	if (policies.length === 0) throw new TypeError("policies: at least one is needed, or the rounds would never end");
	return (facts) => {
		for (const policy of policies) {
			const reason = policy(facts);
			if (reason !== undefined) return reason;
		}
		return undefined;
	};
}

/** Milliseconds the rest would take at the measured rate: the downtime to expect if the guest were paused now. */
export function expectedDowntimeMs(
	facts: Pick<ConvergenceFacts, "pendingPages" | "bandwidthBytesPerMs" | "bytesPerPage">,
): number | undefined {
	if (facts.pendingPages === 0) return 0;
	if (facts.bandwidthBytesPerMs <= 0) return undefined;
	return (facts.pendingPages * facts.bytesPerPage) / facts.bandwidthBytesPerMs;
}

function requirePositive(name: string, value: number): void {
	if (!(value > 0)) throw new RangeError(`${name}: must be greater than 0, got ${value}`);
}
