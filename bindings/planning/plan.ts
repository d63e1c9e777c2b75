/**
 * What each technique would cost a guest, predicted from a recording of its dirty pages. Pure: a trace and a path in, figures
 * out.
 *
 *   D(t) = different pages dirtied in a window of t ms, over all windows of the trace: their mean, and the 10th and 90th
 *          percentile for the interval; beyond the trace's length the curve goes on as it ends, up to all pages
 *   round 1 sends every page; each later round what D says of the one before; it ends as the technique's policy would
 *
 *   a page costs its bytes on the link or its CPU time, whichever is longer; with a sample of the guest both are measured
 *
 * Not in it: pages that skip a round because they are dirty again, and what the link shares with others.
 */
import type { ConvergencePolicy, RoundFacts } from "../policies/convergence.ts";
import { downtimeConvergence, firstOf, xenConvergence } from "../policies/convergence.ts";
import { PAGE_BYTES } from "../ports/guest.ts";
import type { DirtyTrace } from "./dirty-trace.ts";
import type { GuestSample } from "./sample.ts";

/** The path and what is wanted of it. */
export interface PlanOptions {
	/** What the link carries, in bytes per ms. */
	readonly bytesPerMs: number;
	/** One way; 0 if left out. */
	readonly latencyMs?: number;
	/** A downtime that is accepted: 300 ms if left out. */
	readonly downtimeLimitMs?: number;
	/** What a page costs, measured on this guest: see {@link sampleGuest}. Without it a page is a raw one and costs no time. */
	readonly sample?: GuestSample;
	/** Bytes of a page on the wire: the sample's, or a raw one with its table entry, if left out. */
	readonly bytesPerPage?: number;
	/** Whether the paused guest is hashed once more; as for moves, `full` for guests with a scan tracker, is the caller's to say. */
	readonly verification?: "full" | "transport";
	/** What the handover costs beside its journeys, in ms: pause point, state, the target's start; 0 if left out. */
	readonly handoverMs?: number;
	/** Pages in use, where others are zero and cost nothing; all if left out. */
	readonly usedPages?: number;
	/** Whether the guest can run while pages are missing. */
	readonly canWaitForPages?: boolean;
}

/** A figure with the interval in which it is expected. */
export interface Prediction {
	readonly expected: number;
	readonly low: number;
	readonly high: number;
}

/** What one technique would cost. */
export interface TechniquePlan {
	readonly technique: "stop-and-copy" | "pre-copy" | "post-copy" | "hybrid";
	readonly totalMs: Prediction;
	readonly downtimeMs: Prediction;
	readonly pages: Prediction;
	/** Whether live rounds come to an end by themselves; techniques without rounds always do. */
	readonly converges: boolean;
}

/** See the head of this file. */
export interface Plan {
	readonly techniques: readonly TechniquePlan[];
	readonly recommended: TechniquePlan["technique"];
	readonly reason: string;
}

/** Beside the pages: state, digest, ready, go, running are a few journeys. */
const HANDOVER_JOURNEYS = 4;
const RAW_PAGE_BYTES: number = PAGE_BYTES + 24;
const CONVERGED: ReadonlySet<string> = new Set(["downtime-limit", "few-dirty-pages"]);

interface Outcome {
	readonly totalMs: number;
	readonly downtimeMs: number;
	readonly pages: number;
	readonly converges: boolean;
}

/** Different pages dirtied in a window of so many ms. */
type DirtyCurve = (windowMs: number) => number;

/**
 * @throws RangeError for a rate that is not above 0, or a trace without steps.
 *
 * @example
 * ```ts ignore
 * const trace = await recordDirtyTrace(guest, clock, { durationMs: 10_000 });
 * const { recommended, reason, techniques } = plan(trace, { bytesPerMs: 117_000 });
 * ```
 */
export function plan(trace: DirtyTrace, options: PlanOptions): Plan {
	const { bytesPerMs, canWaitForPages = false, downtimeLimitMs = 300 } = options;
	if (!(bytesPerMs > 0)) throw new RangeError(`bytesPerMs: must be above 0, got ${bytesPerMs}`);
	if (trace.steps.length === 0) throw new RangeError("trace: has no steps");
	const curves = [0.5, 0.1, 0.9].map((share) => dirtyCurve(trace, share));
	const predict = (technique: TechniquePlan["technique"], run: (curve: DirtyCurve) => Outcome): TechniquePlan => {
		const outcomes = curves.map(run);
		const of = (value: (outcome: Outcome) => number): Prediction => {
			const values = outcomes.map(value);
			return { expected: values[0]!, low: Math.min(...values), high: Math.max(...values) };
		};
		return {
			technique,
			totalMs: of(({ totalMs }) => totalMs),
			downtimeMs: of(({ downtimeMs }) => downtimeMs),
			pages: of(({ pages }) => pages),
			converges: outcomes[0]!.converges,
		};
	};
	const path = pathOf(trace, options);
	const policy = firstOf(downtimeConvergence(downtimeLimitMs), xenConvergence());
	const techniques = [
		predict("stop-and-copy", () => once(path, path.pages, path.pageMs)),
		predict("pre-copy", (curve) => preCopied(path, curve, policy)),
		predict("post-copy", () => ({
			...once(path, 0, 0),
			totalMs: path.pages * path.pageMs + path.verifyMs + path.handoverMs,
			downtimeMs: path.handoverMs,
			pages: path.pages,
		})),
		predict("hybrid", (curve) => hybridOf(path, curve)),
	];
	return { techniques, ...recommend(techniques, downtimeLimitMs, canWaitForPages) };
}

interface Path {
	readonly pages: number;
	/** Of a page that goes for the first time, and of one that goes again. */
	readonly pageMs: number;
	readonly pageAgainMs: number;
	readonly handoverMs: number;
	/** In the pause before anything is sent: the last look for dirty pages; hashing all memory, if that is wanted. */
	readonly scanMs: number;
	readonly verifyMs: number;
	readonly bytesPerPage: number;
	readonly bytesPerPageAgain: number;
}

function pathOf(trace: DirtyTrace, options: PlanOptions): Path {
	const { bytesPerMs, latencyMs = 0, sample, usedPages = trace.pageCount, handoverMs = 0 } = options;
	const bytesPerPage = options.bytesPerPage ?? sample?.bytesPerPage ?? RAW_PAGE_BYTES;
	const bytesPerPageAgain = options.bytesPerPage ?? sample?.bytesPerPageAgain ?? RAW_PAGE_BYTES;
	const cpuMs = sample?.encodeMsPerPage ?? 0;
	return {
		pages: usedPages,
		pageMs: Math.max(bytesPerPage / bytesPerMs, cpuMs),
		pageAgainMs: Math.max(bytesPerPageAgain / bytesPerMs, cpuMs),
		handoverMs: handoverMs + HANDOVER_JOURNEYS * latencyMs,
		scanMs: sample?.scanMs ?? 0,
		verifyMs: options.verification === "full" ? trace.pageCount * (sample?.hashMsPerPage ?? 0) : 0,
		bytesPerPage,
		bytesPerPageAgain,
	};
}

/** All of these pages in the downtime. */
function once({ verifyMs, handoverMs }: Path, pages: number, pageMs: number): Outcome {
	const downtimeMs = pages * pageMs + verifyMs + handoverMs;
	return { totalMs: downtimeMs, downtimeMs, pages, converges: true };
}

function preCopied(path: Path, curve: DirtyCurve, policy: ConvergencePolicy): Outcome {
	const rounds: RoundFacts[] = [];
	let pending = path.pages;
	let sent = 0;
	let liveMs = 0;
	let bytes = 0;
	for (;;) {
		const isFirst = rounds.length === 0;
		const durationMs = pending * (isFirst ? path.pageMs : path.pageAgainMs) + path.scanMs;
		const sentBytes = pending * (isFirst ? path.bytesPerPage : path.bytesPerPageAgain);
		bytes += sentBytes;
		const dirtiedPages = Math.min(path.pages, Math.round(curve(durationMs)));
		sent += pending;
		liveMs += durationMs;
		rounds.push({
			...{ index: rounds.length + 1, toSendPages: pending, sentPages: pending, skippedPages: 0 },
			...{ sentBytes, durationMs, dirtiedPages },
		});
		pending = dirtiedPages;
		const bytesPerPage = bytes / sent;
		const bandwidthBytesPerMs = sentBytes / durationMs;
		const facts = {
			pageCount: path.pages,
			pendingPages: pending,
			totalSentPages: sent,
			bandwidthBytesPerMs,
			bytesPerPage,
		};
		const reason = policy({ rounds, ...facts });
		if (reason === undefined) continue;
		const rest = once(path, pending, path.pageAgainMs);
		return {
			totalMs: liveMs + rest.downtimeMs + path.scanMs,
			downtimeMs: rest.downtimeMs + path.scanMs,
			pages: sent + pending,
			converges: CONVERGED.has(reason),
		};
	}
}

function hybridOf(path: Path, curve: DirtyCurve): Outcome {
	const liveMs = path.pages * path.pageMs;
	const owed = Math.min(path.pages, curve(liveMs));
	return {
		totalMs: liveMs + path.scanMs + path.handoverMs + path.verifyMs + owed * path.pageMs,
		downtimeMs: path.scanMs + path.handoverMs,
		pages: path.pages + Math.round(owed),
		converges: true,
	};
}

function recommend(
	techniques: readonly TechniquePlan[],
	limitMs: number,
	canWait: boolean,
): Pick<Plan, "recommended" | "reason"> {
	const [, pre, post, hybrid] = techniques;
	const downtime = `${Math.round(pre!.downtimeMs.expected)} ms`;
	if (pre!.converges && pre!.downtimeMs.high <= limitMs * 1.25)
		return {
			recommended: "pre-copy",
			reason: `it converges: a downtime of ${downtime}, and the guest is safe until the switch`,
		};
	if (!canWait)
		return {
			recommended: "pre-copy",
			reason: `it does not converge and ends with a downtime of ${downtime}, but this guest cannot run while pages are missing`,
		};
	const rewritten = hybrid!.pages.expected - post!.pages.expected;
	return rewritten < post!.pages.expected / 2
		? {
				recommended: "hybrid",
				reason: "pre-copy would not converge; after one live round few pages are left to wait for",
			}
		: {
				recommended: "post-copy",
				reason: "pre-copy would not converge, and a live round would be sent for nothing: most pages change meanwhile",
			};
}

/** D(t) at a percentile of the windows, from windows of 1, 2, 4, … intervals; linear between them. */
function dirtyCurve(trace: DirtyTrace, share: number): DirtyCurve {
	const { steps, pageCount } = trace;
	const stepMs = steps[steps.length - 1]!.atMs / steps.length;
	const points: [number, number][] = [[0, 0]];
	for (let width = 1; width <= steps.length; width *= 2) {
		const counts: number[] = [];
		for (let first = 0; first + width <= steps.length; first += Math.max(1, width >> 1))
			counts.push(distinct(trace, first, width));
		counts.sort((a, b) => a - b);
		const value =
			share === 0.5 ? mean(counts) : counts[Math.min(counts.length - 1, Math.floor(counts.length * share))]!;
		points.push([width * stepMs, value]);
	}
	return (windowMs) => {
		const next = points.findIndex(([ms]) => ms >= windowMs);
		const [fromMs, from] = points[next === -1 ? points.length - 2 : next - 1] ?? [0, 0];
		const [toMs, to] = points[next === -1 ? points.length - 1 : next]!;
		if (windowMs <= 0) return 0;
		return Math.min(pageCount, Math.max(0, from + ((to - from) * (windowMs - fromMs)) / (toMs - fromMs)));
	};
}

function distinct({ steps, pageCount }: DirtyTrace, first: number, width: number): number {
	const seen = new Uint8Array(pageCount);
	let count = 0;
	for (const { runs } of steps.slice(first, first + width))
		for (let i = 0; i < runs.length; i += 2)
			for (let page = runs[i]!; page < runs[i]! + runs[i + 1]!; page++) {
				if (seen[page] === 1) continue;
				seen[page] = 1;
				count++;
			}
	return count;
}

function mean(values: readonly number[]): number {
	return values.reduce((sum, value) => sum + value, 0) / values.length;
}
