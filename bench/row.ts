// What a bench gives to bench/run.mjs.

/** One measured figure, beside a peer's on the same input in the same run where there is one. */
export interface Row {
	readonly name: string;
	readonly value: number;
	readonly unit: string;
	readonly peer: string | null;
	readonly peerValue: number | null;
	/** How many times better ours is: the median of the rounds' ratios, not the ratio of the medians. */
	readonly ratio: number | null;
	/** The ratio that is wanted at least: printed, not written to JSON. */
	readonly goal?: number;
}

/** What a bench is asked for. */
export interface BenchOptions {
	/** Tiny inputs and few rounds: the bench is only to be seen working, within about a second. */
	readonly smoke: boolean;
}

/** A bench's module. */
export interface Bench {
	readonly title: string;
	readonly rows: (options: BenchOptions) => Promise<Row[]>;
}
