/**
 * A timeline of dirty pages, recorded from a running guest and replayed in the lab under any technique. `docs/trace-format.md`
 * is normative for its text.
 */
import type { Clock } from "../ports/clock.ts";
import { type Guest, PAGE_BYTES, type PageBits } from "../ports/guest.ts";

/** Pages that became dirty in one interval: runs [first, count, first, count, …], ascending. */
export interface TraceStep {
	/** End of the interval, in ms since the recording began. */
	readonly atMs: number;
	readonly runs: readonly number[];
}

/** See the head of this file. */
export interface DirtyTrace {
	readonly pageCount: number;
	readonly steps: readonly TraceStep[];
}

/** How to record. */
export interface RecordOptions {
	readonly durationMs: number;
	/** Time between two looks at the dirty log; 100 ms by default. A page written twice between two looks counts once. */
	readonly intervalMs?: number;
	readonly signal?: AbortSignal;
}

const FORMAT = "pageferry-dirty-trace";
const VERSION = 1;
/** Longest text of a trace that is read: a day at 100 ms with a kilobyte a step. */
const MAX_TRACE_CHARACTERS = 2 ** 30;

/**
 * Records which pages a guest dirties. It has a cursor of its own: other work on the guest is not disturbed.
 * @throws RangeError; whatever the guest's log throws.
 */
export async function recordDirtyTrace(guest: Guest, clock: Clock, options: RecordOptions): Promise<DirtyTrace> {
	const { durationMs, intervalMs = 100, signal } = options;
	if (!(intervalMs > 0)) throw new RangeError(`intervalMs: must be above 0, got ${intervalMs}`);
	const cursor = await guest.dirty.open();
	try {
		const startedMs = clock.now();
		const steps: TraceStep[] = [];
		let pageCount = guest.pages.pageCount;
		while (clock.now() - startedMs < durationMs) {
			await clock.sleep(intervalMs, signal);
			const dirty = await cursor.harvest();
			pageCount = dirty.pageCount;
			steps.push({ atMs: clock.now() - startedMs, runs: runsOf(dirty.bits, dirty.pageCount) });
		}
		return { pageCount, steps };
	} finally {
		await cursor.close();
	}
}

/** A trace as text: a header line, then one line a step. */
export function encodeTrace({ pageCount, steps }: DirtyTrace): string {
	const header = { format: FORMAT, version: VERSION, pageBytes: PAGE_BYTES, pageCount };
	return `${[header, ...steps].map((line) => JSON.stringify(line)).join("\n")}\n`;
}

/** Reads a trace. @throws RangeError for anything that is none. */
export function decodeTrace(text: string): DirtyTrace {
	if (text.length > MAX_TRACE_CHARACTERS) throw new RangeError(`text: more than ${MAX_TRACE_CHARACTERS} characters`);
	const [first = "", ...lines] = text.trimEnd().split("\n");
	const header = parse(first, 1);
	const { format, version, pageBytes, pageCount } = header;
	if (format !== FORMAT || version !== VERSION || pageBytes !== PAGE_BYTES)
		throw new RangeError(`text: line 1 is no header of a trace of version ${VERSION}`);
	if (!isCount(pageCount) || pageCount < 1) throw new RangeError("text: line 1 has no pageCount");
	let lastMs = 0;
	const steps = lines.map((line, i) => {
		const { atMs, runs } = parse(line, i + 2);
		if (typeof atMs !== "number" || !(atMs >= lastMs) || !isRuns(runs, pageCount))
			throw new RangeError(`text: line ${i + 2} is no step of a trace of ${pageCount} pages`);
		lastMs = atMs;
		return { atMs, runs };
	});
	return { pageCount, steps };
}

function parse(line: string, number: number): Record<string, unknown> {
	try {
		const value: unknown = JSON.parse(line);
		if (typeof value === "object" && value !== null) return { ...value };
	} catch (cause) {
		throw new RangeError(`text: line ${number} is no JSON`, { cause });
	}
	throw new RangeError(`text: line ${number} is no object`);
}

function isCount(value: unknown): value is number {
	return typeof value === "number" && Number.isInteger(value) && value >= 0 && value <= 0xffff_ffff;
}

function isRuns(value: unknown, pageCount: number): value is number[] {
	if (!Array.isArray(value) || value.length % 2 !== 0) return false;
	let least = 0;
	for (let i = 0; i < value.length; i += 2) {
		const [first, count]: unknown[] = [value[i], value[i + 1]];
		if (!isCount(first) || !isCount(count) || first < least || count < 1 || first + count > pageCount) return false;
		least = first + count;
	}
	return true;
}

function runsOf(bits: PageBits, pageCount: number): number[] {
	const runs: number[] = [];
	for (let page = 0; page < pageCount; ) {
		if (bits[page >>> 3] === 0) page = (page | 7) + 1;
		else if ((bits[page >>> 3]! & (1 << (page & 7))) === 0) page++;
		else {
			const first = page;
			while (page < pageCount && (bits[page >>> 3]! & (1 << (page & 7))) !== 0) page++;
			runs.push(first, page - first);
		}
	}
	return runs;
}
