/**
 * What each side durably knows of each move. On the target one word per move id decides who runs:
 *
 *   (none) ── begin ──▶ receiving ──▶ ready ── go ──▶ running
 *                           └──────────┴── failure, deadline or query ──▶ declined
 *
 * and on the source
 *
 *   (none) ── begin ──▶ moving ──▶ released ──▶ moved
 *                          └──────────┴── failure, or the target declined ──▶ kept
 *
 * `running` and `declined` exclude each other because every step is a compare-and-set; `declined` voids a late *go*.
 * Over a {@link Store} the ledger survives the process. In memory it answers only as long as the process lives, and says
 * so: an id it has never seen is then `unknown`, never `declined`.
 */
import { type Store, StoreError } from "../ports/store.ts";

/** See the head of this file. */
export type TargetWord = "receiving" | "ready" | "running" | "declined";
/** See the head of this file. */
export type SourceWord = "moving" | "released" | "moved" | "kept";

/** See the head of this file. Keep one per side and process, not one per move. */
export class MoveLedger<Word extends string> {
	readonly #words = new Map<string, Word>();
	readonly #side: "source" | "target";
	readonly #store: Store | undefined;
	readonly #prefix: string;

	/**
	 * @param side - separates the two ledgers that share a store.
	 * @param store - where to keep the words; in memory if left out.
	 */
	constructor(side: "source" | "target", store?: Store) {
		this.#side = side;
		this.#store = store;
		this.#prefix = `moves/${side}/`;
	}

	/** Whether what was recorded survives this process. */
	get durable(): boolean {
		return this.#store !== undefined;
	}

	/** The word recorded for a move. @throws {StoreError} */
	async read(moveId: string): Promise<Word | undefined> {
		if (this.#store === undefined) return this.#words.get(moveId);
		const bytes = await this.#store.readReference(this.#prefix + moveId);
		if (bytes === undefined) return undefined;
		const word = new TextDecoder().decode(bytes);
		if (!this.#isWord(word)) throw new StoreError("invalid", `the ledger holds '${word}' for the move '${moveId}'`);
		return word;
	}

	/**
	 * Replaces `from` by `to`, durably where there is a store. Resolves `false` if another word stands there.
	 * @param from - `undefined`: the move must not be known yet.
	 * @throws {StoreError}
	 */
	async step(moveId: string, from: Word | undefined, to: Word): Promise<boolean> {
		if (this.#store === undefined) {
			if (this.#words.get(moveId) !== from) return false;
			this.#words.set(moveId, to);
			return true;
		}
		const encode = (word: Word | undefined) => (word === undefined ? undefined : new TextEncoder().encode(word));
		return this.#store.compareAndSetReference(this.#prefix + moveId, encode(from), encode(to));
	}

	#isWord(text: string): text is Word {
		return (WORDS[this.#side] as readonly string[]).includes(text); // allowed (cast): widened to search in it
	}
}

/** The words of each side. */
const WORDS: { readonly source: readonly SourceWord[]; readonly target: readonly TargetWord[] } = {
	source: ["moving", "released", "moved", "kept"],
	target: ["receiving", "ready", "running", "declined"],
};

/** The source's ledger. */
export type SourceLedger = MoveLedger<SourceWord>;
/** The target's ledger. */
export type TargetLedger = MoveLedger<TargetWord>;
