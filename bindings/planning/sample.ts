/**
 * What a guest's pages cost on this machine, measured on the running guest in a few hundred milliseconds: bytes on the wire for
 * a page that goes for the first time and for one that goes again, CPU time of a page, and time of a scan. Nothing is sent and
 * the guest is not paused. For {@link plan}, which otherwise counts raw pages that cost nothing but the link.
 */
import type { Clock } from "../ports/clock.ts";
import { isDeltaGuest } from "../ports/delta-guest.ts";
import type { Guest } from "../ports/guest.ts";
import type { DirtyTrace } from "./dirty-trace.ts";

/** See the head of this file. */
export interface GuestSample {
	/** Mean bytes of a page that is sent for the first time, table included; zero pages count. */
	readonly bytesPerPage: number;
	/** Mean bytes of a page that is sent again after the guest has written it: less, where deltas are sent. */
	readonly bytesPerPageAgain: number;
	/** CPU time of one page at the source, in ms: hash, compression, copy. The target's is about as long, beside it. */
	readonly encodeMsPerPage: number;
	/** Hashing one page, in ms: what full verification costs each page of the paused guest. */
	readonly hashMsPerPage: number;
	/** One look for dirty pages over all memory, in ms: what a pause waits for with a scan tracker. */
	readonly scanMs: number;
}

/** How to measure. */
export interface SampleOptions {
	/** What the link will carry, in bytes per ms: it decides whether pages are compressed. */
	readonly linkBytesPerMs: number;
	/** Which pages are written: those are sent again. Without one, any. */
	readonly trace?: DirtyTrace;
	readonly signal?: AbortSignal;
}

/** Pages that are encoded to learn what a page costs. */
const SAMPLE_PAGES = 1024;
/** Pages of one encoding. */
const BATCH_PAGES = 256;
/** Time in which the guest changes what is then sent again, in ms. */
const BETWEEN_MS = 100;
/** Scans that are timed; the least counts, because anything else on this machine only adds. */
const SCANS = 3;

/**
 * Measures a running guest.
 * @throws RangeError for a rate that is not above 0; whatever the guest throws.
 *
 * @example
 * ```ts ignore
 * const trace = await recordDirtyTrace(guest, clock, { durationMs: 5000 });
 * const sample = await sampleGuest(guest, clock, { linkBytesPerMs: 20_000, trace });
 * console.log(plan(trace, { bytesPerMs: 20_000, sample }).reason);
 * ```
 */
export async function sampleGuest(guest: Guest, clock: Clock, options: SampleOptions): Promise<GuestSample> {
	const { linkBytesPerMs, trace, signal } = options;
	if (!(linkBytesPerMs > 0)) throw new RangeError(`linkBytesPerMs: must be above 0, got ${linkBytesPerMs}`);
	const { pageCount } = guest.pages;
	const everywhere = spread(pageCount, Math.min(SAMPLE_PAGES, pageCount));
	const first = await encodeAll(guest, clock, everywhere, linkBytesPerMs);
	const written = trace === undefined ? everywhere : pagesOf(trace, pageCount);
	const again = written.length === 0 ? first : await encodeAgain(guest, clock, written, linkBytesPerMs, signal);
	const hashed = Math.min(SAMPLE_PAGES, pageCount);
	const hashStartMs = clock.now();
	await guest.pages.hashes(0, hashed);
	return {
		bytesPerPage: first.bytes / everywhere.length,
		bytesPerPageAgain: again.bytes / Math.max(1, written.length === 0 ? everywhere.length : written.length),
		encodeMsPerPage: first.ms / everywhere.length,
		hashMsPerPage: (clock.now() - hashStartMs) / hashed,
		scanMs: await timeScan(guest, clock),
	};
}

interface Cost {
	readonly bytes: number;
	readonly ms: number;
}

async function encodeAll(guest: Guest, clock: Clock, pages: Uint32Array, linkBytesPerMs: number): Promise<Cost> {
	let bytes = 0;
	const startedMs = clock.now();
	for (let from = 0; from < pages.length; from += BATCH_PAGES) {
		const some = pages.slice(from, from + BATCH_PAGES);
		const batch = await guest.pages.encode(some, { compress: true, linkBytesPerMs });
		bytes += batch.wireByteLength;
		batch.release();
	}
	return { bytes, ms: clock.now() - startedMs };
}

/** The same pages as they are now and a little later, as a move's later rounds send them. */
async function encodeAgain(
	guest: Guest,
	clock: Clock,
	pages: Uint32Array,
	linkBytesPerMs: number,
	signal: AbortSignal | undefined,
): Promise<Cost> {
	if (!isDeltaGuest(guest)) return encodeAll(guest, clock, pages, linkBytesPerMs);
	const sender = await guest.deltas.open(Math.max(1, pages.length));
	try {
		let cost: Cost = { bytes: 0, ms: 0 };
		for (const generation of [2, 3]) {
			if (generation > 2) await clock.sleep(BETWEEN_MS, signal);
			let bytes = 0;
			const startedMs = clock.now();
			for (let from = 0; from < pages.length; from += BATCH_PAGES) {
				const options = { compress: true, linkBytesPerMs, generation, remember: true };
				const batch = await sender.encode(pages.slice(from, from + BATCH_PAGES), options);
				bytes += batch.wireByteLength;
				batch.release();
			}
			cost = { bytes, ms: clock.now() - startedMs };
		}
		return cost;
	} finally {
		await sender.close();
	}
}

async function timeScan(guest: Guest, clock: Clock): Promise<number> {
	const cursor = await guest.dirty.open();
	try {
		let leastMs = Number.POSITIVE_INFINITY;
		for (let i = 0; i < SCANS; i++) {
			const startedMs = clock.now();
			await cursor.harvest();
			leastMs = Math.min(leastMs, clock.now() - startedMs);
		}
		return leastMs;
	} finally {
		await cursor.close();
	}
}

/** So many pages, evenly spread. */
function spread(pageCount: number, count: number): Uint32Array<ArrayBuffer> {
	return Uint32Array.from({ length: count }, (_, i) => Math.floor((i * pageCount) / count));
}

/** Pages that the trace's last interval with any has, and those before it, up to the sample's size. */
function pagesOf({ steps }: DirtyTrace, pageCount: number): Uint32Array<ArrayBuffer> {
	const pages = new Set<number>();
	for (let step = steps.length - 1; step >= 0 && pages.size < SAMPLE_PAGES; step--) {
		const { runs } = steps[step]!;
		for (let i = 0; i < runs.length; i += 2)
			for (let page = runs[i]!; page < runs[i]! + runs[i + 1]! && pages.size < SAMPLE_PAGES; page++)
				if (page < pageCount) pages.add(page);
	}
	return Uint32Array.from(pages).sort();
}
