// Whether compressing pays on a link: pure, fed with what was measured. The encoder asks before each batch.
//
// Compressing and sending are taken as one after the other, since on a fast link both need the CPU. So LZ4 pays while the
// bytes that it saves per millisecond of its own time are more than the link carries in one.

/** LZ4 of a page before anything was measured, in ms: about 1 GB/s. */
const ASSUMED_MS_PER_PAGE = 0.004;
/** What it then saves: half a page. */
const ASSUMED_SAVED_BYTES = 2048;
/** Weight of a new sample: recent pages are the best guess for the next. */
const NEW_WEIGHT = 0.25;
/** Batches between samples: 16 pages of 32 batches of 64 and more cost under 1 %. */
const SAMPLE_INTERVAL = 32;
/** Failed attempts may take up to 1/8 of the time that the link needs anyway. */
const ATTEMPT_SHARE = 8;
/** A region is spared 63 attempts in a row at most, so that it is noticed when its memory changes its nature. */
const SPARE_LIMIT = 63;
/** Without a known rate: attempts on incompressible memory cost at most a quarter of what they would. */
const SPARE_WITHOUT_RATE = 3;
/**
 * Above this rate, 350 MB/s, the word mask's larger deltas are sent sooner than XBZRLE's are encoded (bench/kernels/delta).
 */
const WORD_MASK_BYTES_PER_MS = 350_000;

const mix = (old: number, now: number): number => old + (now - old) * NEW_WEIGHT;

/** What the encoder does with the next batch. */
export interface CompressionChoice {
	/** LZ4 is tried at all. */
	readonly compress: boolean;
	/** Attempts that a region of incompressible pages is spared in a row, at most. */
	readonly spareLimit: number;
	/** Deltas are word masks instead of XBZRLE. */
	readonly wordMask: boolean;
}

/**
 * Learns what LZ4 saves and costs, and chooses.
 *
 * Savings count the pages that LZ4 made smaller: where it fails is a matter of regions, which the kernel remembers and spares
 * up to `spareLimit`, so that a stretch of incompressible memory does not turn it off for what comes after.
 */
export class CompressionPolicy {
	#savedBytesPerPage = ASSUMED_SAVED_BYTES;
	#msPerPage = ASSUMED_MS_PER_PAGE;
	#batches = 0;

	/** @param pages that LZ4 made smaller, by `savedBytes` together */
	observeSavings(pages: number, savedBytes: number): void {
		if (pages > 0) this.#savedBytesPerPage = mix(this.#savedBytesPerPage, savedBytes / pages);
	}

	/** @param pages that LZ4 was tried on, in `ms` together */
	observeTime(pages: number, ms: number): void {
		if (pages > 0 && ms > 0) this.#msPerPage = mix(this.#msPerPage, ms / pages);
	}

	/** Bytes that LZ4 saves in a millisecond: the rate of the fastest link that it pays on. */
	get savedBytesPerMs(): number {
		return this.#savedBytesPerPage / this.#msPerPage;
	}

	/** Counts a batch. @returns whether time is to be taken on a sample of its pages: on the first and every 32nd */
	isSampleDue(): boolean {
		return this.#batches++ % SAMPLE_INTERVAL === 0;
	}

	/** @param linkBytesPerMs the link's rate; undefined when it is not known, which is taken for a slow one */
	choose(linkBytesPerMs: number | undefined): CompressionChoice {
		if (linkBytesPerMs === undefined) return { compress: true, spareLimit: SPARE_WITHOUT_RATE, wordMask: false };
		// What a failed attempt costs, in units of what a missed one loses.
		const relativeCost = (this.#msPerPage * linkBytesPerMs) / ASSUMED_SAVED_BYTES;
		const spared = 2 ** Math.floor(Math.log2(1 + ATTEMPT_SHARE * relativeCost)) - 1;
		return {
			compress: this.savedBytesPerMs > linkBytesPerMs,
			spareLimit: Math.min(SPARE_LIMIT, spared),
			wordMask: linkBytesPerMs > WORD_MASK_BYTES_PER_MS,
		};
	}
}
