// LZ4 blocks the slow way, straight from the format's description: what the engine's coder is compared with.

/** @returns the expanded bytes, or undefined for a malformed block or one that expands to more than `limit` bytes */
export function decodeLz4(block: Uint8Array, limit: number): Uint8Array | undefined {
	const out: number[] = [];
	let at = 0;
	const length = (nibble: number): number => {
		let value = nibble;
		if (nibble !== 15) return value;
		for (;;) {
			const more = block[at++];
			if (more === undefined) return Number.NaN;
			value += more;
			if (more !== 255) return value;
		}
	};
	while (at < block.length) {
		const token = block[at++]!;
		const literals = length(token >> 4);
		if (!(at + literals <= block.length) || out.length + literals > limit) return undefined;
		for (let i = 0; i < literals; i++) out.push(block[at++]!);
		if (at === block.length) return (token & 15) === 0 ? Uint8Array.from(out) : undefined;
		if (at + 2 > block.length) return undefined;
		const offset = block[at]! | (block[at + 1]! << 8);
		at += 2;
		const copied = length(token & 15) + 4;
		if (offset === 0 || offset > out.length || !(out.length + copied <= limit)) return undefined;
		for (let i = 0; i < copied; i++) out.push(out[out.length - offset]!);
	}
	return undefined;
}

/**
 * Where the last match of a valid block starts and ends, counted back from the end of the plain bytes: the format wants
 * at least 12 and 5. Undefined for a block without matches.
 */
export function lastMatch(block: Uint8Array): { readonly start: number; readonly end: number } | undefined {
	let at = 0;
	let length = 0;
	let last: { start: number; end: number } | undefined;
	const continued = (nibble: number): number => {
		let value = nibble;
		if (nibble === 15)
			do value += block[at]!;
			while (block[at++] === 255);
		return value;
	};
	for (;;) {
		const token = block[at++]!;
		const literals = continued(token >> 4);
		at += literals;
		length += literals;
		if (at >= block.length) break;
		at += 2;
		const copied = continued(token & 15) + 4;
		last = { start: length, end: length + copied };
		length += copied;
	}
	return last === undefined ? undefined : { start: length - last.start, end: length - last.end };
}

/** One sequence: literals, then a match (`offset` counts back from the end of the literals). */
export interface Lz4Sequence {
	readonly literals: readonly number[];
	readonly offset: number;
	readonly matchLength: number;
}

/** Writes sequences, then the last literals, as a block. The caller answers for the sense of the offsets. */
export function writeLz4(sequences: readonly Lz4Sequence[], last: readonly number[]): Uint8Array {
	const out: number[] = [];
	const putExcess = (excess: number): void => {
		for (let rest = excess; ; rest -= 255) {
			out.push(Math.min(rest, 255));
			if (rest < 255) return;
		}
	};
	for (const { literals, offset, matchLength } of sequences) {
		out.push((Math.min(literals.length, 15) << 4) | Math.min(matchLength - 4, 15));
		if (literals.length >= 15) putExcess(literals.length - 15);
		out.push(...literals, offset & 255, offset >> 8);
		if (matchLength - 4 >= 15) putExcess(matchLength - 4 - 15);
	}
	out.push(Math.min(last.length, 15) << 4);
	if (last.length >= 15) putExcess(last.length - 15);
	out.push(...last);
	return Uint8Array.from(out);
}
