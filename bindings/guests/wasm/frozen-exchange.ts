// Batches of a paused guest, made by its worker while the host stands still for them: both wait on shared memory instead of
// for messages.
//
//   control   words: asked │ answered │ left │ page count │ compress │ byte length │ zero pages │ checksum (u64) │ link's rate │
//             page indices …
//   output    the batch
//
//   host    ask: pages, options; asked + 1 ──▶ stands still until answered = asked
//   worker  serve: stands still until asked ≠ answered, or the host has left; makes the batch; answered = asked
//
// The worker reads no messages meanwhile. So whoever posts one leaves first, and the next batch enters again.
import { batchLimitBytes } from "../../engine/batch.ts";
import { MAX_PROMPT_PAGES } from "../../ports/prompt-pages.ts";

const Word = {
	/** Batches asked for so far. */
	asked: 0,
	/** The last one that was answered. */
	answered: 1,
	/** Changes when the host leaves: what the worker waits on beside `asked`. */
	wake: 2,
	/** 1: the host has left. */
	left: 3,
	pageCount: 4,
	compress: 5,
	/** 0: the worker could not make it. */
	byteLength: 6,
	zeroPages: 7,
	checksum: 8,
	/** Bytes per ms; 0: not named. */
	linkRate: 10,
	pages: 16,
} as const;

/** A worker that has not answered by then has ended, or is not paused: the host asks by a message then, and learns. */
const PATIENCE_MS = 2000;
/** Bytes per ms that a word holds: 2 TB/s stand for every faster link, and for one whose rate is not known. */
const MAX_RATE = 0x7fff_ffff;
/** The worker looks up this often whether its host is still there; each wish wakes it anyway. */
const LOOK_UP_MS = 1000;

/** What host and worker share. */
export interface FrozenMemory {
	readonly control: SharedArrayBuffer;
	readonly output: SharedArrayBuffer;
}

/** What is asked for. */
interface FrozenOrder {
	readonly pageIndices: Uint32Array;
	readonly compress: boolean;
	/** See `EncodeOptions`. */
	readonly linkBytesPerMs?: number | undefined;
}

/** What is given back. */
interface FrozenBatch {
	readonly byteLength: number;
	readonly checksum: bigint;
	readonly zeroPages: number;
}

class Exchange {
	readonly words: Int32Array<SharedArrayBuffer>;
	readonly checksum: BigUint64Array<SharedArrayBuffer>;
	readonly output: Uint8Array<SharedArrayBuffer>;

	constructor({ control, output }: FrozenMemory) {
		this.words = new Int32Array(control);
		this.checksum = new BigUint64Array(control, Word.checksum * 4, 1);
		this.output = new Uint8Array(output);
	}

	load(word: number): number {
		return Atomics.load(this.words, word);
	}

	store(word: number, value: number): void {
		Atomics.store(this.words, word, value);
	}
}

/** The host's end. */
export class FrozenAsker {
	readonly memory: FrozenMemory;
	readonly #exchange: Exchange;
	readonly #patienceMs: number;
	#isServed = false;

	/** @param patienceMs how long an answer may take */
	constructor(patienceMs: number = PATIENCE_MS) {
		this.#patienceMs = patienceMs;
		this.memory = {
			control: new SharedArrayBuffer((Word.pages + MAX_PROMPT_PAGES) * 4),
			output: new SharedArrayBuffer(batchLimitBytes(MAX_PROMPT_PAGES)),
		};
		this.#exchange = new Exchange(this.memory);
	}

	/** Whether the worker is where it can answer; else it must be sent the memory first. */
	get isServed(): boolean {
		return this.#isServed;
	}

	/** @returns what the worker must be sent, and only now: it leaves at once where it finds that the host has left. */
	enter(): FrozenMemory {
		this.#exchange.store(Word.left, 0);
		this.#isServed = true;
		return this.memory;
	}

	/** Lets the worker read its messages again: before any is posted. */
	leave(): void {
		if (!this.#isServed) return;
		this.#isServed = false;
		this.#exchange.store(Word.left, 1);
		this.#wake();
	}

	/**
	 * Stands still until the worker has made the batch.
	 * @param into room for `batchLimitBytes` of it
	 * @returns undefined if it cannot, or does not answer
	 * @throws TypeError where this thread may not stand still
	 */
	ask({ pageIndices, compress, linkBytesPerMs }: FrozenOrder, into: Uint8Array): FrozenBatch | undefined {
		const exchange = this.#exchange;
		const { words } = exchange;
		words.set(pageIndices, Word.pages);
		exchange.store(Word.pageCount, pageIndices.length);
		exchange.store(Word.compress, compress ? 1 : 0);
		exchange.store(Word.linkRate, linkBytesPerMs === undefined ? 0 : Math.min(MAX_RATE, Math.ceil(linkBytesPerMs)));
		const before = exchange.load(Word.answered);
		exchange.store(Word.asked, exchange.load(Word.asked) + 1);
		this.#wake();
		while (exchange.load(Word.answered) !== exchange.load(Word.asked))
			if (Atomics.wait(words, Word.answered, before, this.#patienceMs) === "timed-out") return undefined;
		const byteLength = exchange.load(Word.byteLength);
		if (byteLength === 0) return undefined;
		into.set(exchange.output.subarray(0, byteLength));
		return { byteLength, checksum: exchange.checksum[0]!, zeroPages: exchange.load(Word.zeroPages) };
	}

	#wake(): void {
		Atomics.add(this.#exchange.words, Word.wake, 1);
		Atomics.notify(this.#exchange.words, Word.wake);
	}
}

/**
 * The worker's end: makes batches until the host leaves. The worker stands still in between.
 *
 * @param make writes a batch into room for it, or throws
 */
export function serveFrozen(
	memory: FrozenMemory,
	make: (order: FrozenOrder, into: Uint8Array<SharedArrayBuffer>) => FrozenBatch,
): void {
	const exchange = new Exchange(memory);
	const { words, output } = exchange;
	for (;;) {
		const seen = exchange.load(Word.wake);
		const asked = exchange.load(Word.asked);
		if (asked !== exchange.load(Word.answered)) {
			answer(exchange, make, output);
			exchange.store(Word.answered, asked);
			Atomics.notify(words, Word.answered);
		} else if (exchange.load(Word.left) === 1) return;
		else Atomics.wait(words, Word.wake, seen, LOOK_UP_MS);
	}
}

function answer(
	exchange: Exchange,
	make: (order: FrozenOrder, into: Uint8Array<SharedArrayBuffer>) => FrozenBatch,
	output: Uint8Array<SharedArrayBuffer>,
): void {
	const { words } = exchange;
	const pageIndices = new Uint32Array(words.slice(Word.pages, Word.pages + exchange.load(Word.pageCount)));
	try {
		const rate = exchange.load(Word.linkRate);
		const linkBytesPerMs = rate === 0 ? undefined : rate;
		const batch = make({ pageIndices, compress: exchange.load(Word.compress) === 1, linkBytesPerMs }, output);
		exchange.store(Word.byteLength, batch.byteLength);
		exchange.store(Word.zeroPages, batch.zeroPages);
		exchange.checksum[0] = batch.checksum;
	} catch {
		exchange.store(Word.byteLength, 0); // asked again by a message, the failure says what it is
	}
}
