/**
 * Where contents are stored already, by their hash: an open-addressing table of 16 bytes a slot, half of it free.
 *
 *   slot   ┌──────────────────────────┬───────────────┬───────────┐
 *          │ low 64 bits of the hash  │ pack slot + 1 │ entry     │      0 in the third word: free
 *          └──────────────────────────┴───────────────┴───────────┘
 *
 * It only says where to look: two contents may have one hash, so whoever shares one compares its bytes first.
 */

import type { Location } from "./image-table.ts";
import type { PackIndex } from "./pack-index.ts";

const SLOT_WORDS = 4;
const FIRST_SLOTS = 1024;
/** Places that are looked at for one hash: a store made to have more contents of one hash costs no more than this. */
const MAX_CANDIDATES = 4;

/** See the head of this file. */
export class PackDirectory {
	readonly #limit: number;
	#words: Uint32Array<ArrayBuffer> = new Uint32Array(FIRST_SLOTS * SLOT_WORDS);
	#mask: number = FIRST_SLOTS - 1;
	#count = 0;

	/** @param limit - entries that it takes; further ones are not remembered. */
	constructor(limit: number) {
		this.#limit = limit;
	}

	/** Entries it holds. */
	get count(): number {
		return this.#count;
	}

	/** What the table costs. */
	get byteLength(): number {
		return this.#words.byteLength;
	}

	/** Adds entries first … first + count − 1 of a pack. */
	add(slot: number, index: PackIndex, first = 0, count: number = index.entries): void {
		for (let entry = first; entry < first + count; entry++) {
			if (this.#count >= this.#limit) return;
			this.#insert(index.hashWord(entry, 0), index.hashWord(entry, 1), slot + 1, entry);
		}
	}

	/** Whether there may be a content of this hash: the quick question, which has the answer no for nearly every page. */
	mayHave(low: number, high: number): boolean {
		for (let at = low & this.#mask; ; at = (at + 1) & this.#mask) {
			const word = at * SLOT_WORDS;
			if (this.#words[word + 2] === 0) return false;
			if (this.#words[word] === low && this.#words[word + 1] === high) return true;
		}
	}

	/** Where contents may lie whose hash begins with these words. */
	candidates(low: number, high: number): Location[] {
		const found: Location[] = [];
		for (let at = low & this.#mask; ; at = (at + 1) & this.#mask) {
			const word = at * SLOT_WORDS;
			const slot = this.#words[word + 2]!;
			if (slot === 0 || found.length >= MAX_CANDIDATES) return found;
			if (this.#words[word] === low && this.#words[word + 1] === high)
				found.push({ slot: slot - 1, entry: this.#words[word + 3]! });
		}
	}

	#insert(low: number, high: number, slot: number, entry: number): void {
		if (2 * (this.#count + 1) > this.#mask + 1) this.#double();
		const words = this.#words;
		let at = low & this.#mask;
		while (words[at * SLOT_WORDS + 2] !== 0) at = (at + 1) & this.#mask;
		const word = at * SLOT_WORDS;
		words[word] = low;
		words[word + 1] = high;
		words[word + 2] = slot;
		words[word + 3] = entry;
		this.#count++;
	}

	#double(): void {
		const old = this.#words;
		this.#words = new Uint32Array(old.length * 2);
		this.#mask = this.#words.length / SLOT_WORDS - 1;
		this.#count = 0;
		for (let word = 0; word < old.length; word += SLOT_WORDS)
			if (old[word + 2] !== 0) this.#insert(old[word]!, old[word + 1]!, old[word + 2]!, old[word + 3]!);
	}
}
