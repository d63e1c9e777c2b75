/** What paging reports: distributions of waits, and samples over time for plots. */
import type { FaultReport } from "../ports/faulting-guest.ts";
import { MAX_HISTOGRAM_BUCKETS } from "../wire/limits.ts";
import type { PagingReport } from "../wire/records.ts";

/** One moment of a paging conversation. Counts are totals so far. */
export interface PagingSample {
	/** ms since paging began. */
	readonly atMs: number;
	/** Pages still to come. */
	readonly missingPages: number;
	/** Pages that came because the guest waited for them. */
	readonly faultPages: number;
	/** Faults on pages that were in flight. */
	readonly inFlightWaits: number;
}

/** Most samples that are kept: enough for any plot. */
const MAX_SAMPLES = 512;

/** Samples at an even distance that doubles when there are too many of them: any length fits. */
export class Timeline {
	#samples: PagingSample[] = [];
	#stepMs = 1;

	/** Notes a moment; most are dropped. */
	note(sample: PagingSample): void {
		const last = this.#samples[this.#samples.length - 1];
		if (last !== undefined && sample.atMs - last.atMs < this.#stepMs) return;
		this.#samples.push(sample);
		if (this.#samples.length < MAX_SAMPLES) return;
		this.#samples = this.#samples.filter((_, i) => i % 2 === 0);
		this.#stepMs *= 2;
	}

	/** The samples, the present moment last. */
	end(now: PagingSample): readonly PagingSample[] {
		return [...this.#samples, now];
	}
}

/** A guest's fault report as it travels. */
export function summarizeFaults(report: FaultReport): PagingReport {
	const sorted = [...report.latenciesMs].sort((a, b) => a - b);
	const at = (share: number): number => sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? 0;
	const { faults, minorFaults, blockedMs, touchedPages } = report;
	return {
		faults,
		minorFaults,
		blockedMs,
		p50Ms: at(0.5),
		p90Ms: at(0.9),
		maximumMs: sorted[sorted.length - 1] ?? 0,
		histogram: histogramOf(sorted),
		...(touchedPages === undefined ? {} : { touchedPages }),
	};
}

/** Counts of waits of 2^i to 2^(i+1) µs; no empty buckets at the end. */
function histogramOf(latenciesMs: readonly number[]): number[] {
	const buckets: number[] = [];
	for (const latencyMs of latenciesMs) {
		const power = Math.floor(Math.log2(Math.max(1, latencyMs * 1000)));
		const bucket = Math.min(MAX_HISTOGRAM_BUCKETS - 1, power);
		while (buckets.length <= bucket) buckets.push(0);
		buckets[bucket]!++;
	}
	return buckets;
}
