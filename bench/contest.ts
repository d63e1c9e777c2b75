// Takes ratios: all contenders work on the same bytes, many short rounds long, in an order that turns around each round, and
// a ratio is taken per round; what disturbs the machine for a while then disturbs both sides. The median of the rounds'
// ratios is the result.
import { Bench } from "tinybench";
import type { BenchOptions, Row } from "./row.ts";

/** Something that does the work in this process. */
export interface Contender {
	readonly name: string;
	/** One sample's work. @returns what it computed, so that the work cannot be optimised away */
	readonly run: () => number;
	/** Puts the input back; not timed. */
	readonly before?: () => void;
}

/** Something that does the work elsewhere and takes its own time. */
export interface RemoteContender {
	readonly name: string;
	/** @returns the median time of a sample, and what was computed */
	readonly measure: (samples: number) => Promise<{ readonly ms: number; readonly result: number }>;
}

/** One of our figures against its peers. */
export interface Contest {
	readonly name: string;
	/** What one sample handles: bytes for GB/s, anything for its own unit. */
	readonly amount: number;
	/** `GB/s` by default: amount is bytes. `ns`: the time of one of `amount` things, less is better. */
	readonly unit?: "GB/s" | "ns";
	readonly ours: Contender;
	readonly peers: readonly Peer[];
}

/** A peer, and what is wanted of ours beside it. */
export interface Peer {
	readonly contender: Contender | RemoteContender;
	/** Ratio wanted at least. */
	readonly goal?: number;
	/** Its result is another thing than ours (an order of its own, another size): not compared. */
	readonly differs?: boolean;
}

const ROUNDS = 31;
const SAMPLES = 3;

const median = (values: readonly number[]): number => {
	const sorted = [...values].sort((a, b) => a - b);
	const middle = sorted.length >> 1;
	return sorted.length % 2 === 1 ? sorted[middle]! : (sorted[middle - 1]! + sorted[middle]!) / 2;
};

/** Samples a contender once: the median time, and its result, which must be the same each time. */
async function sample(
	contender: Contender | RemoteContender,
	samples: number,
): Promise<{ ms: number; result: number }> {
	if ("measure" in contender) return contender.measure(samples);
	const bench = new Bench({ iterations: samples, time: 0, warmup: false, throws: true, retainSamples: true });
	let result = Number.NaN;
	const work = (): void => {
		result = contender.run();
	};
	if (contender.before === undefined) bench.add(contender.name, work);
	else bench.add(contender.name, work, { beforeEach: contender.before });
	bench.runSync();
	const outcome = bench.tasks[0]!.result;
	if (outcome.state !== "completed") throw new Error(`${contender.name}: ${outcome.state}`);
	return { ms: outcome.latency.p50, result };
}

/**
 * Runs a contest.
 *
 * @returns a row per peer, or one row without a peer
 * @throws Error when a contender computes something else than ours does
 */
export async function contest(
	{ name, amount, unit = "GB/s", ours, peers }: Contest,
	options: BenchOptions,
): Promise<Row[]> {
	const all = [ours, ...peers.map(({ contender }) => contender)];
	const rounds = options.smoke ? 2 : ROUNDS;
	const samples = options.smoke ? 1 : SAMPLES;
	const times = all.map((): number[] => []);
	const results: number[] = [];
	// First calls run in the baseline tier, 2 to 4.5 times slower: one round goes uncounted.
	for (let round = -1; round < rounds; round++) {
		const order = all.map((_, i) => i);
		if (round % 2 === 0) order.reverse();
		for (const i of order) {
			const { ms, result } = await sample(all[i]!, round < 0 ? 2 : samples);
			results[i] ??= result;
			if (results[i] !== result) throw new Error(`${name}, ${all[i]!.name}: ${result} after ${results[i]}`);
			if (round >= 0) times[i]!.push(ms);
		}
	}
	for (const [i, { differs, contender }] of peers.entries())
		if (differs !== true && results[i + 1] !== results[0])
			throw new Error(`${name}: ${contender.name} computes ${results[i + 1]}, ours ${results[0]}`);
	const value = (ms: number): number => (unit === "ns" ? (ms * 1e6) / amount : amount / (ms * 1e6));
	const mine = value(median(times[0]!));
	if (peers.length === 0) return [{ name, value: mine, unit, peer: null, peerValue: null, ratio: null }];
	return peers.map(({ contender, goal }, i) => ({
		name,
		value: mine,
		unit,
		peer: contender.name,
		peerValue: value(median(times[i + 1]!)),
		ratio: median(times[i + 1]!.map((theirs, round) => theirs / times[0]![round]!)),
		...(goal === undefined ? {} : { goal }),
	}));
}

/** The ratio of two sizes, as a row: how many times smaller ours is. */
export function sizeRow(name: string, ours: number, peer: string, theirs: number, goal?: number): Row {
	const row = { name, value: ours, unit: "B", peer, peerValue: theirs, ratio: theirs / ours };
	return goal === undefined ? row : { ...row, goal };
}
