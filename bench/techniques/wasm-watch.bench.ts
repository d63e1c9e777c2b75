// What watching a guest's memory costs: its programs in code with a write barrier, with presence checks (everything is
// there, so that the checks alone are timed), and with both, against the same work in plain code. And what rewriting
// the modules costs. *Edges*: as while pages are fetched on demand alone, where next to each page that is here one is
// missing. Needs a second memory: on Node 20 only plain rewriting is timed.

import { tableFunction } from "../../bindings/guests/wasm/live-code.ts";
import { WATCHED } from "../../bindings/guests/wasm/module/instrument.ts";
import {
	EDGE,
	MAP_BYTES,
	MISSING_OFFSET,
	supportsInstrumentation,
} from "../../bindings/guests/wasm/module/page-map.ts";
import { type RewriteOptions, rewriteModule } from "../../bindings/guests/wasm/module/rewrite.ts";
import { LIVE_PROGRAMS, type LiveInstance } from "../../tests/wasm/live-programs.ts";
import { programBytes } from "../../tests/wasm/programs.ts";
import type { BenchOptions, Row } from "../row.ts";

export const title = "wasm guests in watched code";

const EDGES = "presence checks, every page an edge";
const VARIANTS: Readonly<Record<string, RewriteOptions>> = {
	"write barrier": { trackWrites: true },
	"presence checks": { checkPresence: true },
	[EDGES]: { checkPresence: true },
	both: { trackWrites: true, checkPresence: true },
};
/** Presence may cost 2.6 times the plain time: a ratio of 0.385. */
const PRESENCE_GOAL = 0.385;
const REWRITE_GOAL_MS_PER_MB = 150;

function median(values: readonly number[]): number {
	return values.toSorted((a, b) => a - b)[values.length >> 1]!;
}

function timed(work: () => unknown): number {
	const start = performance.now();
	work();
	return performance.now() - start;
}

async function slowDown(name: keyof typeof LIVE_PROGRAMS, variant: string, rounds: number): Promise<Row> {
	const plain = await LIVE_PROGRAMS[name]({});
	const watched = await LIVE_PROGRAMS[name](VARIANTS[variant]!);
	if (variant === EDGES) makeEdges(watched.live);
	// Both have the same history, so each round must give both the same answer; the first ones warm the engine up.
	const round = () => {
		let [expected, actual] = [0, 0];
		const theirs = timed(() => (expected = plain.work()));
		const ours = timed(() => (actual = watched.work()));
		if (expected !== actual) throw new Error(`${name} with ${variant}: ${actual} instead of ${expected}`);
		return { theirs, ours };
	};
	for (let i = 0; i < Math.min(3, rounds); i++) round();
	const times = Array.from({ length: rounds }, round);
	return {
		name: `${name}, ${variant}`,
		value: median(times.map(({ ours }) => ours)),
		unit: "ms",
		peer: "plain code",
		peerValue: median(times.map(({ theirs }) => theirs)),
		ratio: median(times.map(({ ours, theirs }) => theirs / ours)),
		...(variant === "presence checks" || variant === EDGES ? { goal: PRESENCE_GOAL } : {}),
	};
}

/** What goes on behind the end of a page finds the next one there, once it asks. */
function makeEdges({ exports }: LiveInstance): void {
	const { [WATCHED.map]: map, [WATCHED.arrive]: table } = exports;
	if (!(map instanceof WebAssembly.Memory) || !(table instanceof WebAssembly.Table)) throw new Error("not watched");
	const pages = new Uint8Array(map.buffer, MISSING_OFFSET, MAP_BYTES).fill(EDGE);
	table.set(
		0,
		tableFunction((page) => {
			pages[page] = 0;
		}),
	);
}

/** From code that waits for pages back to plain code, at a call boundary: globals, tables and dropped segments. */
async function swapBack(name: keyof typeof LIVE_PROGRAMS, rounds: number): Promise<Row> {
	const { live, work } = await LIVE_PROGRAMS[name]({});
	const plain = live.exports;
	const watched = live.prepare({ checkPresence: true });
	const times: number[] = [];
	for (let i = 0; i < rounds; i++) {
		live.takeOver(watched);
		work();
		times.push(timed(() => live.takeOver(plain)));
	}
	const value = median(times);
	return { name: `${name}, back to plain code`, value, unit: "ms", peer: null, peerValue: null, ratio: null };
}

function rewriting(name: keyof typeof LIVE_PROGRAMS, variant: string, options: RewriteOptions, rounds: number): Row {
	const bytes = programBytes(name);
	let length = 0;
	const once = () => {
		length = rewriteModule(bytes, options).bytes.length;
	};
	once();
	const milliseconds = median(Array.from({ length: rounds }, () => timed(once)));
	const megabytes = bytes.length / 1e6;
	return {
		name: `${name}, rewriting for ${variant} (code × ${(length / bytes.length).toFixed(2)})`,
		value: milliseconds / megabytes,
		unit: "ms per MB",
		peer: "goal",
		peerValue: REWRITE_GOAL_MS_PER_MB,
		ratio: REWRITE_GOAL_MS_PER_MB / (milliseconds / megabytes),
		goal: 1,
	};
}

export async function rows({ smoke }: BenchOptions): Promise<Row[]> {
	const names = smoke ? (["lua"] as const) : (["sqlite", "quickjs", "lua", "zstd"] as const);
	const rounds = smoke ? 1 : 21;
	const all: Row[] = [];
	for (const name of names) {
		all.push(rewriting(name, "exposed state", {}, rounds));
		if (!supportsInstrumentation()) continue;
		all.push(await swapBack(name, rounds));
		for (const [variant, options] of Object.entries(VARIANTS)) {
			all.push(await slowDown(name, variant, rounds));
			if (variant !== EDGES) all.push(rewriting(name, variant, options, rounds));
		}
	}
	return all;
}
