// Addresses whose pages were checked (or marked) earlier on every path, so that a further check can be left out.
//
// A fact says: of base + lowest and base + highest, both pages were done; a base is a local, or the constant 0. For any
// offset between the two, with highest - lowest < one page, the page of base + offset is one of those two: the range
// meets at most two pages, and the accesses themselves, which come with the checks, would have trapped if it wrapped.
//
// A fact made at P may be used at Q if P dominates Q (`scopes.ts` cuts the trail where it does not) and the base keeps
// its value on every way from P to Q. Such a way stays between P and Q in the code, or in loops that begin behind P and
// hold Q: so no set of the local may stand between P and Q, nor, if Q lies in such loops, before the outermost one ends.
const PAGE_BYTES = 4096;
/** Base of constant addresses; locals count from 0. */
export const CONSTANT_BASE = -1;
/** Facts of one base looked at, latest first: more than the last few are almost never of use. */
const FACTS_TRIED = 8;

interface Fact {
	readonly key: number;
	readonly lowest: number;
	readonly highest: number;
	/** Where it was learnt: for a window made of several checks, the last, up to which the others still held. */
	readonly place: number;
	/** Where the base next changes, or the fact ends for another reason. */
	readonly expires: number;
	/** The fact of the same key before it on the trail, or -1. */
	readonly previous: number;
}

export type FactKind = "present" | "marked";

export class KnownPages {
	readonly #trail: Fact[] = [];
	/** Latest fact by key. */
	readonly #latest: Map<number, number> = new Map();
	/** Starts and ends of the loops that may be open, outermost first. */
	readonly #loopStarts: number[] = [];
	readonly #loopEnds: number[] = [];

	begin(): void {
		this.#trail.length = 0;
		this.#latest.clear();
		this.#loopStarts.length = 0;
		this.#loopEnds.length = 0;
	}

	get length(): number {
		return this.#trail.length;
	}

	/** Forgets the facts behind the first `length`. */
	cut(length: number): void {
		while (this.#trail.length > length) {
			const { key, previous } = this.#trail.pop()!;
			if (previous < 0) this.#latest.delete(key);
			else this.#latest.set(key, previous);
		}
	}

	enterLoop(start: number, end: number): void {
		this.#closeLoops(start);
		this.#loopStarts.push(start);
		this.#loopEnds.push(end);
	}

	#closeLoops(place: number): void {
		while (this.#loopEnds.length > 0 && this.#loopEnds.at(-1)! <= place) {
			this.#loopEnds.pop();
			this.#loopStarts.pop();
		}
	}

	/** @returns whether the page of base + offset was done before `place` on every path to it */
	covers(kind: FactKind, base: number, offset: number, place: number): boolean {
		const fact = this.#find(kind, base, place, (known) => known.lowest <= offset && offset <= known.highest);
		return fact !== undefined;
	}

	/**
	 * The page of base + offset is done from `place` on, until `expires`. With what is known already it may span a window.
	 */
	learn(kind: FactKind, base: number, offset: number, place: number, expires: number): void {
		const within = (fact: Fact) => Math.max(fact.highest, offset) - Math.min(fact.lowest, offset) < PAGE_BYTES;
		const window = this.#find(kind, base, place, within);
		const key = keyOf(kind, base);
		const previous = this.#latest.get(key) ?? -1;
		this.#latest.set(key, this.#trail.length);
		this.#trail.push({
			key,
			lowest: Math.min(window?.lowest ?? offset, offset),
			highest: Math.max(window?.highest ?? offset, offset),
			place,
			expires,
			previous,
		});
	}

	#find(kind: FactKind, base: number, place: number, fits: (fact: Fact) => boolean): Fact | undefined {
		this.#closeLoops(place);
		let next = this.#latest.get(keyOf(kind, base)) ?? -1;
		for (let tried = 0; next >= 0 && tried < FACTS_TRIED; tried++) {
			const fact = this.#trail[next]!;
			if (fits(fact) && fact.expires >= this.#holdsTo(fact.place, place)) return fact;
			next = fact.previous;
		}
		return undefined;
	}

	/** @returns the end of what can run between a fact's place and here */
	#holdsTo(learnt: number, place: number): number {
		let low = 0;
		let high = this.#loopStarts.length;
		while (low < high) {
			const middle = (low + high) >> 1;
			if (this.#loopStarts[middle]! > learnt) high = middle;
			else low = middle + 1;
		}
		return this.#loopEnds[low] ?? place;
	}
}

function keyOf(kind: FactKind, base: number): number {
	return 2 * base + (kind === "marked" ? 1 : 0);
}
