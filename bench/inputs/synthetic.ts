// Made-up memory: the same bytes in every run, from a seed.

export const PAGE = 4096;

/** xorshift32. @returns a function that gives whole numbers below its argument */
export function randomBelow(seed: number): (limit: number) => number {
	let state = seed | 1;
	return (limit) => {
		state ^= state << 13;
		state ^= state >>> 17;
		state ^= state << 5;
		return (state >>> 0) % limit;
	};
}

/** Bytes that nothing compresses. */
export function noise(byteLength: number, seed = 1): Uint8Array<ArrayBuffer> {
	const words = new Uint32Array(byteLength / 4);
	let state = seed | 1;
	for (let i = 0; i < words.length; i++) {
		state ^= state << 13;
		state ^= state >>> 17;
		state ^= state << 5;
		words[i] = Math.imul(state, 0x9e3779b1) ^ (state >>> 15);
	}
	return new Uint8Array(words.buffer);
}

/** Which of `pages` pages are chosen, when a share of them is: scattered. */
export function chosenPages(pages: number, share: number, seed = 3): number[] {
	const below = randomBelow(seed);
	return Array.from({ length: pages }, (_, page) => page).filter(() => below(1_000_000) < share * 1_000_000);
}

/** A second version of memory in which a share of the pages has `runs` runs of up to `runBytes` changed bytes. */
export function changedCopy(
	memory: Uint8Array,
	share: number,
	runs: number,
	runBytes: number,
	seed = 5,
): Uint8Array<ArrayBuffer> {
	const copy = new Uint8Array(memory);
	const below = randomBelow(seed);
	for (const page of chosenPages(memory.length / PAGE, share, seed + 2))
		for (let run = 0; run < runs; run++) {
			const from = page * PAGE + below(PAGE);
			const to = Math.min((page + 1) * PAGE, from + 1 + below(runBytes));
			for (let i = from; i < to; i++) copy[i]! ^= 1 + below(255);
		}
	return copy;
}

/** Half zero, a third text-like, the rest noise: the mix of issue 3's whole move. */
export function mixedMemory(pages: number, seed = 7): Uint8Array<ArrayBuffer> {
	const memory = noise(pages * PAGE, seed);
	const below = randomBelow(seed + 1);
	const words = Array.from({ length: 200 }, () => noise(4 + 4 * below(4), below(1 << 30)));
	for (let page = 0; page < pages; page++) {
		const kind = below(6);
		const from = page * PAGE;
		if (kind < 3) memory.fill(0, from, from + PAGE);
		else if (kind < 5)
			for (let at = from; at < from + PAGE; ) {
				const word = words[below(words.length)]!;
				memory.set(word.subarray(0, from + PAGE - at), at);
				at += word.length;
			}
	}
	return memory;
}
